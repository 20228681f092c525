/* family.c: the list of families, and how their tensors are called. */
#include "family.h"

#include <stdio.h>
#include <string.h>

#include "families/families.h"

static const nlp_family *const families[] = {
    &nlp_family_albert,  &nlp_family_bart,       &nlp_family_bergamot, &nlp_family_bert,
    &nlp_family_deberta, &nlp_family_distilbert, &nlp_family_electra,  &nlp_family_gemma1,
    &nlp_family_gemma2,  &nlp_family_gemma3,     &nlp_family_gpt2,     &nlp_family_gpt_neo,
    &nlp_family_gte,     &nlp_family_jina3,      &nlp_family_llama,    &nlp_family_m2m100,
    &nlp_family_marian,  &nlp_family_mbart,      &nlp_family_mistral,  &nlp_family_modernbert,
    &nlp_family_mpnet,   &nlp_family_nomic,      &nlp_family_opennmt,  &nlp_family_pegasus,
    &nlp_family_phi,     &nlp_family_qwen2,      &nlp_family_qwen3,    &nlp_family_roberta,
    &nlp_family_static,  &nlp_family_t5,         &nlp_family_umt5,
};

const nlp_family *nlp_family_find(const char *model_type) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const char *const *type = families[i]->model_types; *type; type++)
            if (!strcmp(*type, model_type)) return families[i];
    return NULL;
}

const nlp_family *nlp_family_named(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strlen(families[i]->name) == n && !memcmp(families[i]->name, name, n))
            return families[i];
    return NULL;
}

nlp_source_tensor *nlp_family_tensor(const nlp_family *family, const nlp_source *source,
                                     const char *name) {
    char full[256];
    for (size_t i = 0; family->prefixes[i]; i++) {
        snprintf(full, sizeof full, "%s%s", family->prefixes[i], name);
        nlp_source_tensor *t = nlp_source_find(source, full);
        if (t) return t;
    }
    return NULL;
}

/* '*' stands for any run of characters. */
static bool matches(const char *pattern, const char *text) {
    const char *star = NULL, *mark = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = pattern++, mark = text;
        } else if (*pattern == *text) {
            pattern++, text++;
        } else if (star) {
            pattern = star + 1, text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

/* Buffers that every family may have, and that hold nothing learned. */
static const char *const buffers[] = {
    "*position_ids",        "*token_type_ids",      "*attn.bias",
    "*attn.masked_bias",    "*attention.bias",      "*attention.masked_bias",
    "*rotary_emb.inv_freq", "*num_batches_tracked", NULL};

static bool in_list(const char *const *list, const char *tensor) {
    for (; list && *list; list++)
        if (matches(*list, tensor)) return true;
    return false;
}

bool nlp_family_drops(const nlp_family *family, const char *tensor) {
    return in_list(buffers, tensor) || in_list(family->droppable, tensor);
}
