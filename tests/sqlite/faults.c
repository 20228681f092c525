/* faults.c: a VFS over the default one, an allocator over SQLite's, and realloc of the core (the linker's --wrap),
 * each of which fails as nlp_test_fault says. Nothing is synced really: what is tested is a process that ends,
 * and files as they are then. */
#include "faults.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

fault nlp_test_fault;

static bool fails(fault_kind kind) {
    fault *f = &nlp_test_fault;
    if (f->kind != kind) return false;
    f->n++;
    bool now = f->at && (f->lasts ? f->n >= f->at : f->n == f->at);
    f->failed += now;
    return now;
}

/* ---- Files ---- */

typedef struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this */
} faulty_file;

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *file) {
    return ((faulty_file *)file)->real;
}

static int close_file(sqlite3_file *file) {
    sqlite3_file *real = real_of(file);
    return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int read_file(sqlite3_file *file, void *to, int n, sqlite3_int64 at) {
    sqlite3_file *real = real_of(file);
    return fails(FAULT_FILES) ? SQLITE_IOERR_READ : real->pMethods->xRead(real, to, n, at);
}

/* The write that fails is torn: half of it is there. */
static int write_file(sqlite3_file *file, const void *from, int n, sqlite3_int64 at) {
    sqlite3_file *real = real_of(file);
    if (!fails(FAULT_FILES)) return real->pMethods->xWrite(real, from, n, at);
    if (nlp_test_fault.failed == 1 && n > 1) real->pMethods->xWrite(real, from, n / 2, at);
    return nlp_test_fault.write_code;
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size) {
    sqlite3_file *real = real_of(file);
    return fails(FAULT_FILES) ? SQLITE_IOERR_TRUNCATE : real->pMethods->xTruncate(real, size);
}

static int sync_file(sqlite3_file *file, int flags) {
    (void)file, (void)flags;
    return fails(FAULT_FILES) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size) {
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int lock_file(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int unlock_file(sqlite3_file *file, int level) {
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int check_reserved(sqlite3_file *file, int *out) {
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int control_file(sqlite3_file *file, int operation, void *argument) {
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int sector_size(sqlite3_file *file) {
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int characteristics(sqlite3_file *file) {
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out) {
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int shm_lock(sqlite3_file *file, int offset, int n, int flags) {
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shm_barrier(sqlite3_file *file) {
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shm_unmap(sqlite3_file *file, int remove) {
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods methods = {.iVersion = 2, /* no mapping: reads go through xRead */
                                           .xClose = close_file,
                                           .xRead = read_file,
                                           .xWrite = write_file,
                                           .xTruncate = truncate_file,
                                           .xSync = sync_file,
                                           .xFileSize = file_size,
                                           .xLock = lock_file,
                                           .xUnlock = unlock_file,
                                           .xCheckReservedLock = check_reserved,
                                           .xFileControl = control_file,
                                           .xSectorSize = sector_size,
                                           .xDeviceCharacteristics = characteristics,
                                           .xShmMap = shm_map,
                                           .xShmLock = shm_lock,
                                           .xShmBarrier = shm_barrier,
                                           .xShmUnmap = shm_unmap};

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags) {
    faulty_file *f = (faulty_file *)file;
    (void)vfs;
    f->base.pMethods = NULL;
    f->real = (sqlite3_file *)&f[1];
    int rc = real_vfs->xOpen(real_vfs, name, f->real, flags, out_flags);
    if (f->real->pMethods) f->base.pMethods = &methods;
    return rc;
}

static int delete_file(sqlite3_vfs *vfs, const char *name, int sync) {
    (void)vfs, (void)sync;
    return fails(FAULT_FILES) ? SQLITE_IOERR_DELETE : real_vfs->xDelete(real_vfs, name, 0);
}

static bool install_vfs(void) {
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "faults", vfs.pNext = NULL;
    vfs.szOsFile = (int)sizeof(faulty_file) + real_vfs->szOsFile;
    vfs.xOpen = open_file, vfs.xDelete = delete_file;
    return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
}

/* ---- Memory ---- */

static sqlite3_mem_methods real_memory;

static void *sqlite_malloc(int n) {
    return fails(FAULT_SQLITE_MEMORY) ? NULL : real_memory.xMalloc(n);
}

static void *sqlite_realloc(void *old, int n) {
    return fails(FAULT_SQLITE_MEMORY) ? NULL : real_memory.xRealloc(old, n);
}

void *__real_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_realloc(void *old, size_t n) {
    return n && fails(FAULT_CORE_MEMORY) ? NULL : __real_realloc(old, n);
}

bool nlp_test_install_faults(void) {
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods own = real_memory;
    own.xMalloc = sqlite_malloc, own.xRealloc = sqlite_realloc;
    return sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK &&
           sqlite3_config(SQLITE_CONFIG_MALLOC, &own) == SQLITE_OK &&
           sqlite3_initialize() == SQLITE_OK && install_vfs();
}
