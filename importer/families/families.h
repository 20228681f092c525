/* families.h: the names of the tables of this folder; the list is in family.c. */
#ifndef NLP_IMPORTER_FAMILIES_H
#define NLP_IMPORTER_FAMILIES_H

#include "family.h"

/* What many families have in common, for the middle of their tables. */

/* Sizes by the keys that most configs of transformers use. */
#define COMMON_SIZES                                                                               \
    RULE(vocabulary, U32, NLP_NEEDED, "vocab_size"),                                               \
        RULE(hidden_size, U32, NLP_NEEDED, "hidden_size"),                                         \
        RULE(n_layers, U32, NLP_NEEDED, "num_hidden_layers"),                                      \
        RULE(n_heads, U32, NLP_NEEDED, "num_attention_heads"),                                     \
        RULE(ffn_size, U32, NLP_NEEDED, "intermediate_size"),                                      \
        RULE(n_positions, U32, NLP_NEEDED, "max_position_embeddings")

/* BERT's names of tensors: the embeddings, and a layer. */
#define BERT_EMBEDDINGS                                                                            \
    {"embedding.word", {"embeddings.word_embeddings"}, 0, NULL, NULL},                             \
        {"embedding.position", {"embeddings.position_embeddings"}, 0, NULL, NULL}, {               \
        "embedding.norm", {"embeddings.LayerNorm"}, 0, NULL, NULL                                  \
    }
#define BERT_TYPES                                                                                 \
    { "embedding.type", {"embeddings.token_type_embeddings"}, 0, NULL, NULL }
#define BERT_FFN                                                                                   \
    {"ffn.up", {"intermediate.dense"}, 0, NULL, NULL},                                             \
        {"ffn.down", {"output.dense"}, 0, NULL, NULL}, {                                           \
        "ffn.norm", {"output.LayerNorm"}, 0, NULL, NULL                                            \
    }
#define BERT_ATTENTION(query, key, value)                                                          \
    {"attention.qkv", {query, key, value}, 0, NULL, NULL},                                         \
        {"attention.out", {"attention.output.dense"}, 0, NULL, NULL}, {                            \
        "attention.norm", {"attention.output.LayerNorm"}, 0, NULL, NULL                            \
    }
#define BERT_LAYER                                                                                 \
    BERT_ATTENTION("attention.self.query", "attention.self.key", "attention.self.value"), BERT_FFN

#define BERT_DEMANDS                                                                               \
    {"position_embedding_type", "absolute"}, {"is_decoder", NULL}, {                               \
        "add_cross_attention", NULL                                                                \
    }

/* Labels of tokens and answers, of which all encoders have the same heads. */
#define TOKEN_HEADS                                                                                \
    {"ForTokenClassification", NLP_HEAD_TOKENS, "classifier", NULL, NULL, 0, 0, NULL}, {           \
        "ForQuestionAnswering", NLP_HEAD_SPAN, "qa_outputs", NULL, NULL, 0, 0, NULL                \
    }

extern const nlp_family nlp_family_albert, nlp_family_bart, nlp_family_bergamot, nlp_family_bert,
    nlp_family_deberta, nlp_family_distilbert, nlp_family_electra, nlp_family_gemma1,
    nlp_family_gemma2, nlp_family_gemma3, nlp_family_gpt2, nlp_family_gpt_neo, nlp_family_gte,
    nlp_family_jina3, nlp_family_llama, nlp_family_m2m100, nlp_family_marian, nlp_family_mbart,
    nlp_family_mistral, nlp_family_modernbert, nlp_family_mpnet, nlp_family_nomic,
    nlp_family_opennmt, nlp_family_pegasus, nlp_family_phi, nlp_family_qwen2, nlp_family_qwen3,
    nlp_family_roberta, nlp_family_static, nlp_family_t5, nlp_family_umt5;

#endif
