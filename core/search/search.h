/* search.h: what the files of the search share; what they offer stands in nlp_search.h. */
#ifndef NLP_SEARCH_SEARCH_H
#define NLP_SEARCH_SEARCH_H

#include "nlp_search.h"

#include "base/err.h"
#include "tensor/kernels.h"

enum { NLP_QUERY_STEPS = 4095 }; /* NLP_I16_PART products of these and bytes fit 31 bits */

struct nlp_query {
    uint32_t dims;
    double norm; /* of the steps, squared; exact */
    /* chosen once a query: asking the CPU what it can takes longer than a hundred cosines */
    const nlp_kernels *kernels;
    /* behind it: [nlp_signature_bytes] the signature, then [dims] int16 */
};

static inline const uint8_t *nlp_query_signature(const nlp_query *query) {
    return (const uint8_t *)(query + 1);
}
static inline const int16_t *nlp_query_steps(const nlp_query *query) {
    return (const int16_t *)(const void *)(nlp_query_signature(query) +
                                           nlp_signature_bytes(query->dims));
}

#endif
