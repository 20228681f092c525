/* config_layers.c: what differs from layer to layer: windows, rotary tables, shared weights. */
#include <string.h>

#include "family.h"
#include "json.h"

typedef struct layers {
    const nlp_stack_source *stack;
    const json_t *config;
    uint32_t n, window; /* window 0: none */
    bool two_tables, both_ways;
    nlp_layer_spec *specs;
    nlp_error *err;
} layers;

static nlp_status wrong(const layers *l, const char *key) {
    return nlp_fail(l->err, NLP_EINVAL, "config.json: \"%s\" does not say something of %u layers",
                    key, l->n);
}

static void make_local(const layers *l, uint32_t i, bool local) {
    if (!local) return;
    l->specs[i].window = l->window;
    if (l->two_tables) l->specs[i].rope = 1;
}

/* A list with one of two names a layer; `length` entries at least. */
static nlp_status read_names(const layers *l, const char *key, const char *local,
                             const char *global) {
    const json_t *names = json_object_get(l->config, key);
    if (json_array_size(names) < l->n) return wrong(l, key);
    for (uint32_t i = 0; i < l->n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || (strcmp(name, local) && strcmp(name, global)))
            return nlp_fail(l->err, NLP_EUNSUPPORTED,
                            "config.json: \"%s\" has a kind of layer that nlp does not know", key);
        make_local(l, i, !strcmp(name, local));
    }
    return NLP_OK;
}

static nlp_status by_rule(const layers *l) {
    const nlp_window_source *w = &l->stack->window;
    int64_t n = 0;
    if (w->rule == NLP_WINDOW_NAMED) return read_names(l, w->pattern_key, "local", "global");
    if (w->pattern_key)
        NLP_TRY(
            nlp_json_integer(l->config, "config.json", w->pattern_key, 6, 1, 1 << 20, &n, l->err));
    for (uint32_t i = 0; i < l->n; i++) switch (w->rule) {
        case NLP_WINDOW_ALL:
            make_local(l, i, true);
            break;
        case NLP_WINDOW_ALTERNATE:
            make_local(l, i, i % 2 == 0);
            break;
        case NLP_WINDOW_MOST:
            make_local(l, i, (i + 1) % (uint32_t)n != 0);
            break;
        case NLP_WINDOW_AFTER:
            make_local(l, i, i % (uint32_t)n != 0);
            break;
        case NLP_WINDOW_UPPER:
            make_local(l, i, i >= (uint32_t)n);
            break;
        default:
            break;
        }
    return NLP_OK;
}

/* The size of the window, 0 where the config turns it off. */
static nlp_status read_window(layers *l) {
    const nlp_window_source *w = &l->stack->window;
    int64_t size;
    bool on = true;
    if (w->rule == NLP_WINDOW_NONE) return NLP_OK;
    if (w->rule == NLP_WINDOW_UPPER)
        NLP_TRY(
            nlp_json_boolean(l->config, "config.json", "use_sliding_window", false, &on, l->err));
    NLP_TRY(nlp_json_integer(l->config, "config.json", w->key, 0, 0, 1 << 30, &size, l->err));
    l->window = on ? (uint32_t)size / (w->divisor ? w->divisor : 1) : 0;
    /* EmbeddingGemma: a window meant for one side is halved where both are seen */
    if (l->both_ways) l->window /= 2;
    return NLP_OK;
}

/* no_rope_layers of SmolLM3: 0 where a layer does not turn. */
static nlp_status read_turning(const layers *l) {
    const json_t *list = json_object_get(l->config, "no_rope_layers");
    if (!json_is_array(list)) return NLP_OK;
    if (json_array_size(list) < l->n) return wrong(l, "no_rope_layers");
    for (uint32_t i = 0; i < l->n; i++)
        if (json_integer_value(json_array_get(list, i)) == 0) l->specs[i].rope = NLP_ROPE_NONE;
    return NLP_OK;
}

/* ALBERT: n_hidden layers are runs through groups of inner layers. */
static nlp_status read_groups(const layers *l, nlp_arena *arena, nlp_stack_config *out) {
    int64_t n_groups, n_inner;
    NLP_TRY(nlp_json_integer(l->config, "config.json", l->stack->groups_key, 1, 1, l->n, &n_groups,
                             l->err));
    NLP_TRY(nlp_json_integer(l->config, "config.json", l->stack->inner_key, 1, 1, 64, &n_inner,
                             l->err));
    uint32_t n = l->n, inner = (uint32_t)n_inner;
    nlp_layer_spec *specs = NLP_PUSH_ZERO(arena, nlp_layer_spec, (size_t)n * inner);
    NLP_TRY(nlp_arena_status(arena, l->err));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < inner; k++)
            specs[i * inner + k].same_as = i * (uint32_t)n_groups / n * inner + k + 1;
    out->layers = specs;
    out->n_inner = inner;
    out->n_own = (uint32_t)n_groups * inner;
    out->spec.n_layers = n * inner;
    return NLP_OK;
}

nlp_status nlp_config_layers(const nlp_stack_source *stack, const json_t *config, nlp_arena *arena,
                             nlp_stack_config *out, nlp_error *err) {
    layers l = {.stack = stack, .config = config, .n = out->spec.n_layers, .err = err};
    if (out->spec.kind == NLP_KIND_STATIC) return NLP_OK;
    if (!l.n || l.n > 1024)
        return nlp_fail(err, NLP_EINVAL, "config.json: %u layers are not possible", l.n);
    l.specs = NLP_PUSH_ZERO(arena, nlp_layer_spec, l.n);
    NLP_TRY(nlp_arena_status(arena, err));
    l.two_tables = stack->local_theta != 0;
    l.both_ways = out->spec.kind == NLP_KIND_DECODER && !out->spec.causal;
    NLP_TRY(read_window(&l));
    if (l.window && json_is_array(json_object_get(config, "layer_types")))
        NLP_TRY(read_names(&l, "layer_types", "sliding_attention", "full_attention"));
    else if (l.window)
        NLP_TRY(by_rule(&l));
    NLP_TRY(read_turning(&l));
    out->layers = l.specs;
    out->n_own = l.n;
    if (stack->groups_key) return read_groups(&l, arena, out);
    static const nlp_layer_spec plain;
    uint32_t n_plain = 0;
    while (n_plain < l.n && !memcmp(&l.specs[n_plain], &plain, sizeof plain)) n_plain++;
    if (n_plain == l.n && !l.two_tables) out->layers = NULL;
    return NLP_OK;
}
