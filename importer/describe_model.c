/* describe_model.c: the numbers of a spec and the rules of a tokenizer as words. */
#include <stdio.h>
#include <string.h>

#include "describe.h"
#include "model/binding.h"
#include "nn/pooling.h"
#include "text/tokenizer_parts.h"

#define NAME(list, number) ((number) < sizeof(list) / sizeof *(list) ? (list)[number] : "?")

/* ---- Model ---- */

static void tell_attention(const teller *t, const char *group, const nlp_arch_spec *s) {
    static const char *const biases[] = {"none", "relative distances", "slopes", "disentangled"};
    if (s->recurrence) {
        tell(t, group, "recurrence", "SSRU in place of self attention");
        return;
    }
    tell(t, group, "attention", "%u heads of %u, %u of keys, %s", s->n_heads, s->head_dim,
         s->n_kv_heads, s->causal ? "causal" : "both ways");
    if (s->bias)
        tell(t, group, "bias of scores", "%s, reach %u", NAME(biases, s->bias), s->bias_reach);
    if (s->attention_scale != 0)
        tell(t, group, "scale of scores", "%g", (double)s->attention_scale);
    if (s->score_cap > 0) tell(t, group, "cap of scores", "%g", (double)s->score_cap);
    if (s->logit_cap > 0) tell(t, group, "cap of logits", "%g", (double)s->logit_cap);
}

static void tell_positions(const teller *t, const char *group, const nlp_arch_spec *s) {
    static const char *const positions[] = {"none", "a table", "rotary"};
    tell(t, group, "positions", "%s, %u, a text has at most %u tokens",
         NAME(positions, s->position), s->n_positions - s->position_offset, s->max_tokens);
    if (s->rotary_dim)
        tell(t, group, "rotary", "%u of %u numbers of a head", s->rotary_dim, s->head_dim);
    if (s->rope_switch) tell(t, group, "rotary", "another table beyond %u tokens", s->rope_switch);
}

/* "4 5, 4 5" : the windows of layers where they have any. */
static void tell_windows(const teller *t, const nlp_pack *pack, const char *prefix,
                         const char *group, uint32_t n_layers) {
    char section[32], list[256] = "";
    snprintf(section, sizeof section, "%slayers", prefix);
    nlp_span s = nlp_pack_section_find(pack, section);
    size_t n = 0;
    bool any = false;
    for (uint32_t i = 0; i < n_layers && (i + 1) * sizeof(nlp_layer_spec) <= s.n_bytes; i++) {
        nlp_layer_spec layer;
        memcpy(&layer, (const uint8_t *)s.bytes + i * sizeof layer, sizeof layer);
        any = any || layer.window;
        if (n + 12 < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, layer.window ? "%s%u" : "%sall",
                                  i ? " " : "", layer.window);
    }
    if (any) tell(t, group, "windows by layer", "%s", list);
}

static void tell_stack(const teller *t, const nlp_pack *pack, const char *prefix) {
    static const char *const kinds[] = {"?", "encoder", "decoder", "encoder of a pair",
                                        "static vectors"};
    static const char *const norms[] = {"LayerNorm", "RMS"}, *const places[] = {
                                                                 "behind each block",
                                                                 "before each block",
                                                                 "on both sides of each block"};
    static const char *const activations[] = {"none", "gelu",    "gelu (tanh)", "relu",
                                              "tanh", "sigmoid", "silu"};
    char section[32];
    nlp_arch_spec s;
    const char *group = *prefix ? "decoder" : "spec";
    snprintf(section, sizeof section, "%sspec", prefix);
    if (nlp_spec_read(pack, section, &s, NULL) != NLP_OK) return;
    tell(t, group, "kind", "%s", NAME(kinds, s.kind));
    tell(t, group, "vocabulary", "%u", s.vocabulary);
    tell(t, group, "hidden size", "%u", s.hidden_size);
    if (s.embedding_width) tell(t, group, "embedding size", "%u", s.embedding_width);
    if (s.kind == NLP_KIND_STATIC) return;
    tell(t, group, "layers", "%u", s.n_layers);
    tell_attention(t, group, &s);
    tell(t, group, "ffn", "%u, %s%s", s.ffn_size, NAME(activations, s.activation),
         s.gated ? ", gated" : "");
    tell(t, group, "norm", "%s %s, eps %g", NAME(norms, s.norm), NAME(places, s.norm_place),
         (double)s.norm_eps);
    tell_positions(t, group, &s);
    tell_windows(t, pack, prefix, group, s.n_layers);
    if (s.n_outputs) tell(t, group, "output", "scores of %u tokens", s.n_outputs);
}

static void tell_head(const teller *t, const nlp_pack *pack) {
    static const char *const heads[] = {"none",
                                        "one answer a text",
                                        "one answer a vector",
                                        "one answer a vector, two layers",
                                        "a label a token",
                                        "start and end of an answer",
                                        "masked words"},
                             *const scores[] = {"softmax", "sigmoid", "raw"};
    nlp_head_spec h;
    if (nlp_section_read(pack, "head", &h, sizeof h, NULL) != NLP_OK || !h.struct_size) return;
    tell(t, "head", "kind", "%s, %u outputs, %s", NAME(heads, h.head), h.n_labels,
         NAME(scores, h.score));
}

static void tell_generation(const teller *t, const nlp_pack *pack) {
    nlp_generation_spec g;
    char ends[128] = "";
    size_t n = 0;
    if (nlp_section_read(pack, "generation", &g, sizeof g, NULL) != NLP_OK || !g.struct_size)
        return;
    for (uint32_t i = 0; i < g.n_ends && i < 8; i++)
        n += (size_t)snprintf(ends + n, sizeof ends - n, " %u", g.ends[i]);
    tell(t, "generation", "ends", "%s", *ends ? ends + 1 : "none");
    if (g.start) tell(t, "generation", "start", "%u", g.start - 1);
    if (g.n_beams > 1) tell(t, "generation", "beams", "%u", g.n_beams);
}

static void tell_pooling(const teller *t, const nlp_pooling_spec *p) {
    static const char *const kinds[] = {"cls",           "max", "mean", "mean over roots",
                                        "weighted mean", "last"};
    char list[256] = ""; /* all kinds and NLP_MAX_STAGES stages */
    size_t n = 0;
    for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (p->pooling >> i & 1)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? " + " : "", kinds[i]);
    for (uint32_t i = 0; i < p->n_stages && i < NLP_MAX_STAGES; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, ", %s",
                              p->stages[i] == NLP_STAGE_DENSE ? "dense" : "normalise");
    tell(t, "spec", "pooling", "%s, %u numbers", list, p->dims);
}

void describe_model(const teller *t, const nlp_pack *pack) {
    nlp_arch_spec s;
    nlp_pooler pooler;
    if (!nlp_pack_section_find(pack, "spec").n_bytes) return;
    tell_stack(t, pack, "");
    if (nlp_pack_section_find(pack, "decoder.spec").n_bytes) tell_stack(t, pack, "decoder.");
    tell_head(t, pack);
    tell_generation(t, pack);
    if (nlp_spec_read(pack, "spec", &s, NULL) == NLP_OK &&
        nlp_pooler_bind(pack, s.hidden_size, &pooler, NULL) == NLP_OK && pooler.spec.struct_size)
        tell_pooling(t, &pooler.spec);
}

/* ---- Tokenizer ---- */

static void tell_rules(const teller *t, const char *group, const char *key,
                       const nlp_text_rule *rules, uint32_t n, const char *const *names,
                       size_t n_names) {
    char list[256] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < n && used + 40 < sizeof list; i++) {
        const char *name = rules[i].kind < n_names ? names[rules[i].kind] : "?";
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", name);
        if (rules[i].kind == NLP_SPLIT_PATTERN && !strcmp(key, "pre-tokenizer"))
            used += (size_t)snprintf(list + used, sizeof list - used, " %u", rules[i].flags);
    }
    if (n) tell(t, group, key, "%s", list);
}

static void tell_components(const teller *t, const char *group, const nlp_tokenizer *k) {
    static const char *const normalizers[] = {"?",
                                              "Unicode form",
                                              "lower case",
                                              "strip accents",
                                              "strip",
                                              "replace",
                                              "runs",
                                              "prepend",
                                              "charsmap",
                                              "nmt",
                                              "clean text",
                                              "Chinese characters",
                                              "SentencePiece"},
                             *const splits[] = {"?",           "pattern",
                                                "BERT",        "metaspace",
                                                "words",       "white space",
                                                "punctuation", "digits",
                                                "prefix",      "behind blanks"},
                             *const decoders[] = {
                                 "WordPiece", "bytes",  "metaspace", "SentencePiece (reference)",
                                 "blanks",    "suffix", "joined",    "SentencePiece"};
    if (k->header.model == NLP_MODEL_WORDPIECE) {
        uint32_t f = k->header.flags;
        tell(t, group, "normalizer", "BERT:%s%s%s%s", f & NLP_TEXT_CLEAN ? " clean" : "",
             f & NLP_TEXT_LOWER ? " lower" : "", f & NLP_TEXT_STRIP_ACCENTS ? " strip accents" : "",
             f & NLP_TEXT_CHINESE ? " Chinese characters" : "");
        return;
    }
    tell_rules(t, group, "normalizer", k->normalizers, k->extension.n_normalizers, normalizers,
               sizeof normalizers / sizeof *normalizers);
    tell_rules(t, group, "pre-tokenizer", k->splits, k->extension.n_splits, splits,
               sizeof splits / sizeof *splits);
    tell(t, group, "decoder", "%s", NAME(decoders, k->extension.decoder));
}

void describe_tokenizer(const teller *t, const nlp_pack *pack, const char *section) {
    nlp_mem mem;
    nlp_tokenizer *tokenizer;
    nlp_tokenizer_info info;
    nlp_span blob = nlp_pack_section_find(pack, section);
    nlp_mem_init(&mem, NULL, NULL, 0);
    if (!blob.n_bytes ||
        nlp_tokenizer_open(blob.bytes, blob.n_bytes, &mem, &tokenizer, NULL) != NLP_OK)
        return;
    nlp_tokenizer_get_info(tokenizer, &info);
    tell(t, section, "model", "%s of %u pieces, %u added tokens", info.model, info.vocabulary,
         tokenizer->header.n_added);
    tell_components(t, section, tokenizer);
    tell(t, section, "special tokens", "%u for a text, %u for a pair; unknown %d, pad %d, mask %d",
         info.n_special_single, info.n_special_pair, info.unknown_id, info.pad_id, info.mask_id);
    nlp_tokenizer_close(tokenizer);
}
