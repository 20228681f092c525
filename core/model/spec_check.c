/* spec_check.c: what a spec may say. A pack is a stranger's file: later code multiplies these
 * numbers without looking again. */
#include <math.h>
#include <string.h>

#include "model/binding.h"

nlp_status nlp_section_read(const nlp_pack *pack, const char *name, void *out, size_t n_bytes,
                            nlp_error *err) {
    nlp_span s = nlp_pack_section_find(pack, name);
    memset(out, 0, n_bytes);
    if (!s.n_bytes) return NLP_OK;
    memcpy(out, s.bytes, s.n_bytes < n_bytes ? s.n_bytes : n_bytes);
    for (size_t i = n_bytes; i < s.n_bytes; i++)
        if (s.bytes[i]) {
            nlp_fail(err, NLP_EUNSUPPORTED,
                     "the pack's section %s says more than this library knows", name);
            nlp_hint(err, "import the model again with this version of nlp, or use a newer nlp");
            return NLP_EUNSUPPORTED;
        }
    return NLP_OK;
}

static nlp_status impossible(nlp_error *err, const char *what, uint64_t has, uint64_t limit) {
    return nlp_fail(err, NLP_ECORRUPT, "the pack's spec is not possible: %s is %llu (limit %llu)",
                    what, (unsigned long long)has, (unsigned long long)limit);
}

static nlp_status check_ranges(const nlp_arch_spec *s, nlp_error *err) {
    const struct {
        const char *name;
        uint32_t value, min, max;
    } ranges[] = {{"kind", s->kind, NLP_KIND_ENCODER, NLP_KIND_STATIC},
                  {"vocabulary", s->vocabulary, 1, 1 << 20},
                  {"hidden size", s->hidden_size, 1, 1 << 16},
                  {"layers", s->n_layers, s->kind != NLP_KIND_STATIC, 1024},
                  {"heads", s->n_heads, 1, 1024},
                  {"key heads", s->n_kv_heads, 1, s->n_heads},
                  {"head size", s->head_dim, 1, 1024},
                  {"ffn size", s->ffn_size, 1, 1 << 20},
                  {"positions", s->n_positions, 1, 1 << 20},
                  {"position scheme", s->position, NLP_POSITION_NONE, NLP_POSITION_ROPE},
                  {"position offset", s->position_offset, 0, 16},
                  {"token types", s->n_types, 0, 16},
                  {"embedding norm", s->embedding_norm, 0, NLP_EMBEDDING_NORM_LAST},
                  {"norm", s->norm, NLP_NORM_LAYER, NLP_NORM_RMS},
                  {"norm place", s->norm_place, NLP_PLACE_POST, NLP_PLACE_SANDWICH},
                  {"activation", s->activation, 0, NLP_ACT_SILU},
                  {"token limit", s->max_tokens, 1, 1 << 20},
                  {"causal", s->causal, 0, 1},
                  {"gated", s->gated, 0, 1},
                  {"embedding width", s->embedding_width, 0, 1 << 16},
                  {"rotary size", s->rotary_dim, 0, s->head_dim},
                  {"bias", s->bias, 0, NLP_BIAS_DISENTANGLED},
                  {"bias reach", s->bias_reach, 0, 1 << 16},
                  {"relative rows", s->n_relative, 0, 1 << 16},
                  {"convolution", s->convolution, 0, NLP_ACT_SILU + 1},
                  {"outputs", s->n_outputs, 0, 1 << 20},
                  {"memory width", s->memory_width, 0, 1 << 16},
                  {"recurrence", s->recurrence, 0, 1}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return impossible(err, ranges[i].name, ranges[i].value, ranges[i].max);
    return NLP_OK;
}

static nlp_status check_agreement(const nlp_arch_spec *s, nlp_error *err) {
    if (s->n_heads % s->n_kv_heads) return impossible(err, "heads", s->n_heads, s->n_kv_heads);
    if (s->n_heads * s->head_dim > 1 << 17)
        return impossible(err, "heads x head size", (uint64_t)s->n_heads * s->head_dim, 1 << 17);
    if (s->position == NLP_POSITION_ROPE ? !s->rotary_dim || s->rotary_dim % 2 : s->rotary_dim)
        return impossible(err, "rotary size", s->rotary_dim, s->head_dim);
    if (s->position == NLP_POSITION_LEARNED && s->max_tokens + s->position_offset > s->n_positions)
        return impossible(err, "token limit", s->max_tokens, s->n_positions - s->position_offset);
    if (s->skip_position_of && !s->position_offset)
        return impossible(err, "position offset", s->position_offset, 16);
    if (s->bias == NLP_BIAS_DISENTANGLED && !s->n_relative)
        return impossible(err, "relative rows", s->n_relative, 1 << 16);
    return NLP_OK;
}

/* Ranges first, then what must agree with what. */
nlp_status nlp_spec_read(const nlp_pack *pack, const char *name, nlp_arch_spec *spec,
                         nlp_error *err) {
    NLP_TRY(nlp_section_read(pack, name, spec, sizeof *spec, err));
    if (!spec->struct_size) return nlp_fail(err, NLP_ECORRUPT, "the pack has no section %s", name);
    NLP_TRY(check_ranges(spec, err));
    NLP_TRY(check_agreement(spec, err));
    const float numbers[] = {spec->norm_eps,    spec->attention_scale, spec->embedding_scale,
                             spec->rope_scale,  spec->score_cap,       spec->logit_cap,
                             spec->output_scale};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(numbers[i] >= 0 && numbers[i] <= 1e6f))
            return nlp_fail(
                err, NLP_ECORRUPT,
                "the pack's spec is not possible: an epsilon, scale or cap is out of range");
    return NLP_OK;
}
