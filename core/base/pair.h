/* pair.h: two doubles side by side, for sums that have lanes on every machine. Compilers make of them
 * what the CPU has; + - * of each lane are those of the language. */
#ifndef NLP_BASE_PAIR_H
#define NLP_BASE_PAIR_H

/* As loose as the doubles that it is laid over. */
typedef double nlp_pair __attribute__((vector_size(16), aligned(8), may_alias));

#define NLP_PAIR_AT(doubles) (*(const nlp_pair *)(doubles))

#endif
