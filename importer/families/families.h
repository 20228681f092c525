/* families.h: the names of the tables of this folder; the list is in family.c. */
#ifndef NLP_IMPORTER_FAMILIES_H
#define NLP_IMPORTER_FAMILIES_H

#include "family.h"

extern const nlp_family nlp_family_albert, nlp_family_bart, nlp_family_bergamot, nlp_family_bert,
    nlp_family_deberta, nlp_family_distilbert, nlp_family_electra, nlp_family_gemma1,
    nlp_family_gemma2, nlp_family_gemma3, nlp_family_gpt2, nlp_family_gpt_neo, nlp_family_gte,
    nlp_family_jina3, nlp_family_llama, nlp_family_m2m100, nlp_family_marian, nlp_family_mbart,
    nlp_family_mistral, nlp_family_modernbert, nlp_family_mpnet, nlp_family_nomic,
    nlp_family_opennmt, nlp_family_pegasus, nlp_family_phi, nlp_family_qwen2, nlp_family_qwen3,
    nlp_family_roberta, nlp_family_static, nlp_family_t5, nlp_family_umt5;

#endif
