/* gguf_model.c: a GGUF file as the folder that its writer made it from: a config, tensors under their names
 * there, and the writer's changes to be undone when they are read (llama.cpp's gguf-py and converter). */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "gguf_tokenizer.h"

typedef struct name_pair {
    const char *gguf, *folder;
} name_pair;

/* How the converter of an architecture treats its model. */
typedef struct architecture {
    const char *name, *model_type, *class_name;
    const name_pair *names[2]; /* looked through in this order, each ended by NULL */
    const char *layer;         /* of the folder, before a layer's names */
    uint32_t changes;          /* what the converter does to numbers */
} architecture;

enum { NONE = 0, TURNS_NEIGHBOURS = 1, GAINS_HAVE_ONE = 2, TRANSPOSES = 4 };

/* ---- Names ---- */

static const name_pair llama_names[] = {{"token_embd", "model.embed_tokens"},
                                        {"output_norm", "model.norm"},
                                        {"output", "lm_head"},
                                        {"attn_norm", "input_layernorm"},
                                        {"attn_q", "self_attn.q_proj"},
                                        {"attn_k", "self_attn.k_proj"},
                                        {"attn_v", "self_attn.v_proj"},
                                        {"attn_qkv", "self_attn.qkv_proj"},
                                        {"attn_output", "self_attn.o_proj"},
                                        {"attn_q_norm", "self_attn.q_norm"},
                                        {"attn_k_norm", "self_attn.k_norm"},
                                        {"ffn_norm", "post_attention_layernorm"},
                                        {"ffn_gate", "mlp.gate_proj"},
                                        {"ffn_up", "mlp.up_proj"},
                                        {"ffn_down", "mlp.down_proj"},
                                        {NULL, NULL}};
static const name_pair sandwich_names[] = {{"ffn_norm", "pre_feedforward_layernorm"},
                                           {"post_attention_norm", "post_attention_layernorm"},
                                           {"post_ffw_norm", "post_feedforward_layernorm"},
                                           {NULL, NULL}};
static const name_pair phi3_names[] = {{"ffn_up", "mlp.gate_up_proj"}, {NULL, NULL}};
static const name_pair gpt2_names[] = {{"token_embd", "wte"},
                                       {"position_embd", "wpe"},
                                       {"output_norm", "ln_f"},
                                       {"output", "lm_head"},
                                       {"attn_norm", "ln_1"},
                                       {"attn_qkv", "attn.c_attn"},
                                       {"attn_output", "attn.c_proj"},
                                       {"ffn_norm", "ln_2"},
                                       {"ffn_up", "mlp.c_fc"},
                                       {"ffn_down", "mlp.c_proj"},
                                       {NULL, NULL}};
static const name_pair bert_names[] = {{"token_embd", "embeddings.word_embeddings"},
                                       {"position_embd", "embeddings.position_embeddings"},
                                       {"token_types", "embeddings.token_type_embeddings"},
                                       {"token_embd_norm", "embeddings.LayerNorm"},
                                       {"attn_q", "attention.self.query"},
                                       {"attn_k", "attention.self.key"},
                                       {"attn_v", "attention.self.value"},
                                       {"attn_output", "attention.output.dense"},
                                       {"attn_output_norm", "attention.output.LayerNorm"},
                                       {"ffn_up", "intermediate.dense"},
                                       {"ffn_down", "output.dense"},
                                       {"layer_output_norm", "output.LayerNorm"},
                                       {NULL, NULL}};

#define LLAMA "model.layers.%u."
static const architecture architectures[] = {
    {"llama", "llama", "LlamaForCausalLM", {llama_names}, LLAMA, TURNS_NEIGHBOURS},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", {llama_names}, LLAMA, NONE},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", {llama_names}, LLAMA, NONE},
    {"phi3", "phi3", "Phi3ForCausalLM", {phi3_names, llama_names}, LLAMA, NONE},
    {"gemma", "gemma", "GemmaForCausalLM", {llama_names}, LLAMA, GAINS_HAVE_ONE},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", {sandwich_names, llama_names}, LLAMA, GAINS_HAVE_ONE},
    {"gemma3",
     "gemma3_text",
     "Gemma3ForCausalLM",
     {sandwich_names, llama_names},
     LLAMA,
     GAINS_HAVE_ONE},
    {"gpt2", "gpt2", "GPT2LMHeadModel", {gpt2_names}, "h.%u.", TRANSPOSES},
    {"bert", "bert", "BertModel", {bert_names}, "encoder.layer.%u.", NONE},
};

static const char *folder_name(const architecture *a, const char *name, size_t n) {
    for (size_t t = 0; t < 2 && a->names[t]; t++)
        for (const name_pair *p = a->names[t]; p->gguf; p++)
            if (strlen(p->gguf) == n && !memcmp(p->gguf, name, n)) return p->folder;
    return NULL;
}

/* "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; others keep their names. */
static nlp_status rename_tensor(const architecture *a, nlp_source *source, nlp_source_tensor *t,
                                nlp_error *err) {
    unsigned layer = 0;
    int n_prefix = 0;
    bool in_layer = sscanf(t->name, "blk.%5u.%n", &layer, &n_prefix) == 1 && n_prefix;
    const char *name = t->name + n_prefix, *dot = strrchr(name, '.'),
               *found = dot ? folder_name(a, name, (size_t)(dot - name)) : NULL;
    char prefix[64] = "";
    for (const char *at = a->layer; found && in_layer && *at; at++) {
        size_t n = strlen(prefix);
        bool number = at[0] == '%' && at[1] == 'u';
        snprintf(prefix + n, sizeof prefix - n, number ? "%u" : "%c",
                 number ? layer : (unsigned)*at);
        at += number;
    }
    t->name = nlp_arena_format(&source->arena, "%s%s%s", prefix, found ? found : t->name,
                               found ? dot : "");
    return nlp_arena_status(&source->arena, err);
}

static bool ends_with(const char *text, const char *ending) {
    size_t n = strlen(text), n_ending = strlen(ending);
    return n >= n_ending && !strcmp(text + n - n_ending, ending);
}

static void mark_changes(const architecture *a, nlp_source_tensor *t, uint32_t n_heads,
                         uint32_t n_kv_heads) {
    bool turns = a->changes & TURNS_NEIGHBOURS;
    if (turns && strstr(t->name, "self_attn.q_proj.")) t->turned_heads = n_heads;
    if (turns && strstr(t->name, "self_attn.k_proj.")) t->turned_heads = n_kv_heads;
    if ((a->changes & GAINS_HAVE_ONE) && ends_with(t->name, "norm.weight")) t->minus_one = true;
    if ((a->changes & TRANSPOSES) && t->n_dims == 2 && strstr(t->name, ".c_")) {
        uint64_t rows = t->shape[0];
        t->shape[0] = t->shape[1], t->shape[1] = rows;
        t->transposed = true;
    }
}

/* ---- Config ---- */

typedef enum value_kind { WHOLE, REAL } value_kind;
typedef struct key_pair {
    const char *gguf; /* behind the architecture's name */
    value_kind kind;
    const char *folder[2];
} key_pair;

static const key_pair keys[] = {
    {"embedding_length", WHOLE, {"hidden_size", "n_embd"}},
    {"block_count", WHOLE, {"num_hidden_layers", "n_layer"}},
    {"feed_forward_length", WHOLE, {"intermediate_size", "n_inner"}},
    {"context_length", WHOLE, {"max_position_embeddings", "n_positions"}},
    {"attention.head_count", WHOLE, {"num_attention_heads", "n_head"}},
    {"attention.head_count_kv", WHOLE, {"num_key_value_heads", NULL}},
    {"attention.key_length", WHOLE, {"head_dim", NULL}},
    {"attention.sliding_window", WHOLE, {"sliding_window", NULL}},
    {"attention.layer_norm_rms_epsilon", REAL, {"rms_norm_eps", NULL}},
    {"attention.layer_norm_epsilon", REAL, {"layer_norm_eps", "layer_norm_epsilon"}},
    {"attn_logit_softcapping", REAL, {"attn_logit_softcapping", NULL}},
    {"final_logit_softcapping", REAL, {"final_logit_softcapping", NULL}},
};

/* A float of the file as the shortest decimal that means it: 1e-5, not 9.99999974e-06. */
static json_t *decimal(double value) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if ((float)strtod(text, NULL) == (float)value) break;
    }
    return json_real(strtod(text, NULL));
}

/* A number that is none, or a text in no UTF-8, is no value. */
static nlp_status set(json_t *config, const char *key, json_t *value, nlp_error *err) {
    if (json_object_set_new(config, key, value) == 0) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "GGUF: what stands for \"%s\" is no number or text", key);
}

static nlp_status copy_keys(nlp_gguf *g, const char *name, json_t *config, nlp_error *err) {
    char key[160];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "%s.%s", name, keys[i].gguf);
        const nlp_gguf_pair *p = nlp_gguf_find(g, key);
        if (!p || p->is_array || p->type == NLP_GGUF_STRING) continue;
        for (size_t k = 0; k < 2 && keys[i].folder[k]; k++)
            NLP_TRY(set(config, keys[i].folder[k],
                        keys[i].kind == REAL ? decimal(nlp_gguf_real(g, key, 0))
                                             : json_integer(nlp_gguf_integer(g, key, 0)),
                        err));
    }
    return NLP_OK;
}

/* NULL where they are no numbers. */

static json_t *numbers_of(const nlp_source *source, const char *name, nlp_error *err) {
    nlp_source_tensor *t = nlp_source_find(source, name);
    json_t *list = json_array();
    float numbers[1024];
    if (!t || t->n_elements > sizeof numbers / sizeof *numbers ||
        nlp_source_read(source, t, numbers, NULL, err) != NLP_OK) {
        json_decref(list);
        return NULL;
    }
    t->used = true;
    for (uint64_t i = 0; i < t->n_elements; i++)
        json_array_append_new(list, json_real((double)numbers[i]));
    return list;
}

/* Scaled frequencies stand as divisors in tensors, or as a kind and a factor in keys. */
static nlp_status set_rope(nlp_gguf *g, const char *name, const nlp_source *source, json_t *config,
                           nlp_error *err) {
    char key[160];
    snprintf(key, sizeof key, "%s.rope.freq_base", name);
    NLP_TRY(set(config, "rope_theta", decimal(nlp_gguf_real(g, key, 10000)), err));
    snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", name);
    int64_t original = nlp_gguf_integer(g, key, 0);
    if (original)
        NLP_TRY(set(config, "original_max_position_embeddings", json_integer(original), err));
    if (nlp_source_find(source, "rope_factors_long.weight"))
        return set(config, "rope_scaling",
                   json_pack("{s:s, s:o, s:o}", "rope_type", "longrope", "long_factor",
                             numbers_of(source, "rope_factors_long.weight", err), "short_factor",
                             numbers_of(source, "rope_factors_short.weight", err)),
                   err);
    if (nlp_source_find(source, "rope_freqs.weight"))
        return set(config, "rope_scaling",
                   json_pack("{s:s, s:o}", "rope_type", "divided", "factors",
                             numbers_of(source, "rope_freqs.weight", err)),
                   err);
    snprintf(key, sizeof key, "%s.rope.scaling.type", name);
    const char *type = nlp_gguf_text(g, key);
    snprintf(key, sizeof key, "%s.rope.scaling.factor", name);
    if (!type || !strcmp(type, "none")) return NLP_OK;
    return set(
        config, "rope_scaling",
        json_pack("{s:s, s:o}", "rope_type", type, "factor", decimal(nlp_gguf_real(g, key, 1))),
        err);
}

/* A head that turns in part says how many of its numbers do. */
static void set_partial(nlp_gguf *g, const char *name, json_t *config) {
    char key[160];
    snprintf(key, sizeof key, "%s.rope.dimension_count", name);
    int64_t turning = nlp_gguf_integer(g, key, 0),
            heads = json_integer_value(json_object_get(config, "num_attention_heads")),
            dim = json_integer_value(json_object_get(config, "head_dim"));
    if (!dim && heads) dim = json_integer_value(json_object_get(config, "hidden_size")) / heads;
    if (turning > 0 && turning < dim)
        json_object_set_new(config, "partial_rotary_factor",
                            json_real((double)turning / (double)dim));
}

/* Every token that ends an answer. */
static void set_ends(nlp_gguf *g, int64_t n_tokens, json_t *config) {
    static const char *const names[] = {"tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
    json_t *ends = json_array();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t id = nlp_gguf_integer(g, names[i], -1);
        if (id >= 0 && id < n_tokens) json_array_append_new(ends, json_integer(id));
    }
    json_object_set_new(config, "eos_token_id", ends);
}

static const architecture *find_architecture(const char *name) {
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (!strcmp(architectures[i].name, name)) return &architectures[i];
    return NULL;
}

static json_int_t rows_of(const nlp_source *source, const char *name) {
    const nlp_source_tensor *t = nlp_source_find(source, name);
    return t ? (json_int_t)t->shape[0] : 0;
}

static nlp_status read_config(nlp_gguf *g, nlp_source *source, json_t **config, nlp_error *err) {
    const char *name = nlp_gguf_text(g, "general.architecture");
    const architecture *a = name ? find_architecture(name) : NULL;
    *config = NULL;
    if (!a)
        return nlp_fail(err, NLP_EUNSUPPORTED, "GGUF: nlp does not know the architecture \"%.40s\"",
                        name ? name : "");
    json_int_t n_tokens = rows_of(source, "token_embd.weight");
    json_t *c = *config = json_pack(
        "{s:s, s:[s], s:I, s:I, s:b}", "model_type", a->model_type, "architectures", a->class_name,
        "vocab_size", n_tokens, "type_vocab_size", rows_of(source, "token_types.weight"),
        "tie_word_embeddings", nlp_source_find(source, "output.weight") == NULL);
    if (!c) return nlp_fail(err, NLP_ENOMEM, "out of memory for the model's config");
    NLP_TRY(copy_keys(g, name, c, err));
    NLP_TRY(set_rope(g, name, source, c, err));
    set_partial(g, name, c);
    set_ends(g, n_tokens, c);
    uint32_t heads = (uint32_t)json_integer_value(json_object_get(c, "num_attention_heads")),
             kv_heads = (uint32_t)json_integer_value(json_object_get(c, "num_key_value_heads"));
    for (size_t i = 0; i < source->n_tensors; i++) {
        nlp_source_tensor *t = &source->tensors[i];
        NLP_TRY(rename_tensor(a, source, t, err));
        mark_changes(a, t, heads, kv_heads ? kv_heads : heads);
    }
    return NLP_OK;
}

static const char *pooling_of(nlp_gguf *g) {
    static const char *const names[] = {NULL, "mean", "cls", "last"};
    const char *name = nlp_gguf_text(g, "general.architecture");
    char key[160];
    snprintf(key, sizeof key, "%s.pooling_type", name ? name : "");
    int64_t kind = nlp_gguf_integer(g, key, 0);
    return kind >= 0 && kind < 4 ? names[kind] : NULL;
}

/* The text of the token before a text, or NULL. */
static json_t *begin_token(nlp_gguf *g) {
    const nlp_gguf_pair *tokens = nlp_gguf_find(g, "tokenizer.ggml.tokens");
    int64_t id = nlp_gguf_integer(g, "tokenizer.ggml.bos_token_id", -1);
    const char *text = NULL;
    size_t at = 0, n_bytes = 0;
    bool found = tokens && id >= 0;
    while (found && id-- >= 0) found = nlp_gguf_next_text(tokens, &at, &text, &n_bytes);
    return found ? json_stringn(text, n_bytes) : NULL;
}

static nlp_status copy_chat_template(nlp_gguf *g, json_t **tokenizer_config, nlp_error *err) {
    const char *text = nlp_gguf_text(g, "tokenizer.chat_template");
    if (!text) return NLP_OK;
    *tokenizer_config =
        json_pack("{s:s, s:o*}", "chat_template", text, "bos_token", begin_token(g));
    if (*tokenizer_config) return NLP_OK;
    return nlp_fail(err, NLP_EINVAL, "\"tokenizer.chat_template\" is no UTF-8 text");
}

static bool knows(const char *path) {
    char magic[4];
    uint64_t n_bytes;
    return nlp_container_peek(path, magic, sizeof magic, &n_bytes) && !memcmp(magic, "GGUF", 4);
}

static nlp_status read(nlp_model_folder *f, nlp_error *err) {
    nlp_gguf gguf;
    nlp_status status = nlp_gguf_open(&gguf, &f->source, f->path, err);
    if (status == NLP_OK) status = read_config(&gguf, &f->source, &f->config, err);
    if (status == NLP_OK) status = nlp_gguf_tokenizer_compile(&gguf, &f->tokenizer, err);
    if (status == NLP_OK) f->pooling = pooling_of(&gguf);
    if (status == NLP_OK) status = copy_chat_template(&gguf, &f->tokenizer_config, err);
    nlp_gguf_close(&gguf);
    return status;
}

const nlp_container nlp_container_gguf = {"GGUF", true, knows, read};
