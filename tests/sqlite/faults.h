/* faults.h: what fails on demand: files below SQLite, SQLite's memory, the core's memory. Calls of one kind are
 * counted, and one of them fails, or that and all behind it. */
#ifndef NLP_TEST_FAULTS_H
#define NLP_TEST_FAULTS_H

#include <stdbool.h>

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_FILES,
    FAULT_SQLITE_MEMORY,
    FAULT_CORE_MEMORY
} fault_kind;

typedef struct fault {
    fault_kind kind; /* that is counted */
    long at;         /* the call that fails, from 1 on; 0: none */
    bool lasts; /* so do all behind it. Of files: nothing is written any more, as by a power cut */
    int write_code; /* what a failed write says: SQLITE_IOERR_WRITE or SQLITE_FULL */
    long n, failed; /* calls, and those that failed */
} fault;

extern fault nlp_test_fault;

/* Before anything else of SQLite: its allocator, without lookaside, and the VFS "faults" as the default. */
bool nlp_test_install_faults(void);

#endif
