/* pickle.c: a stack of typed values. Nothing is called or built: a known global with the arguments that
 * torch gives it becomes a typed value, everything else is refused by name. (Opcodes: CPython's
 * pickletools.py; globals: torch/_utils.py and torch/serialization.py.) */
#include "pickle.h"

#include <stdio.h>
#include <string.h>

enum { MOST_VALUES = 1 << 20, MOST_STEPS = 1 << 25, MOST_TEXT = 4096 };

typedef enum kind {
    KIND_MARK,
    KIND_NONE, /* None, a boolean, a float: nothing that matters */
    KIND_INT,
    KIND_TEXT,
    KIND_TUPLE,
    KIND_DICT, /* or a list */
    KIND_GLOBAL,
    KIND_STORAGE,
    KIND_TENSOR
} kind;

typedef enum global {
    GLOBAL_REBUILD_TENSOR,
    GLOBAL_REBUILD_PARAMETER,
    GLOBAL_REBUILD_FROM_TYPE,
    GLOBAL_ORDERED_DICT,
    GLOBAL_STORAGE, /* with a dtype */
    GLOBAL_TYPE     /* a class that is named and not used */
} global;

struct tuple;
struct dict;
typedef struct value {
    kind kind;
    union {
        int64_t number;
        struct {
            const char *text;
            uint32_t n_bytes;
        };
        const struct tuple *tuple;
        struct dict *dict;
        const struct known_global *global;
        nlp_pickle_tensor *tensor; /* of STORAGE too: the fields of the storage */
    };
} value;

typedef struct tuple {
    uint32_t n;
    value items[];
} tuple;

typedef struct entry {
    struct entry *next;
    value key, value;
} entry;
typedef struct dict {
    entry *first, *last;
} dict;

typedef struct known_global {
    const char *name; /* module and name, a blank between */
    global what;
    nlp_source_dtype dtype;
    uint32_t element_bytes;
} known_global;

static const known_global known_globals[] = {
    {"torch._utils _rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR, 0, 0},
    {"torch._utils _rebuild_parameter", GLOBAL_REBUILD_PARAMETER, 0, 0},
    {"torch._tensor _rebuild_from_type_v2", GLOBAL_REBUILD_FROM_TYPE, 0, 0},
    {"collections OrderedDict", GLOBAL_ORDERED_DICT, 0, 0},
    {"torch Tensor", GLOBAL_TYPE, 0, 0},
    {"torch.nn.parameter Parameter", GLOBAL_TYPE, 0, 0},
    {"torch FloatStorage", GLOBAL_STORAGE, NLP_SOURCE_F32, 4},
    {"torch HalfStorage", GLOBAL_STORAGE, NLP_SOURCE_F16, 2},
    {"torch BFloat16Storage", GLOBAL_STORAGE, NLP_SOURCE_BF16, 2},
    {"torch DoubleStorage", GLOBAL_STORAGE, NLP_SOURCE_F64, 8},
    {"torch LongStorage", GLOBAL_STORAGE, NLP_SOURCE_OTHER, 8},
    {"torch IntStorage", GLOBAL_STORAGE, NLP_SOURCE_OTHER, 4},
    {"torch ShortStorage", GLOBAL_STORAGE, NLP_SOURCE_OTHER, 2},
    {"torch CharStorage", GLOBAL_STORAGE, NLP_SOURCE_OTHER, 1},
    {"torch ByteStorage", GLOBAL_STORAGE, NLP_SOURCE_OTHER, 1},
    {"torch BoolStorage", GLOBAL_STORAGE, NLP_SOURCE_OTHER, 1},
};

typedef struct machine {
    nlp_pickle *pickle;
    nlp_cursor c;
    nlp_error *err;
    value *stack, *memo;
    size_t n_stack, stack_capacity, n_memo, memo_capacity;
} machine;

static nlp_status damaged(const machine *m, const char *what) {
    return nlp_fail(m->err, NLP_ECORRUPT, "the pickle is damaged: %s", what);
}

/* ---- Stack and memo ---- */

static nlp_status grow(machine *m, value **values, size_t n, size_t *capacity) {
    nlp_arena *arena = &m->pickle->arena;
    if (n < *capacity) return NLP_OK;
    if (n >= MOST_VALUES) return nlp_fail(m->err, NLP_ELIMIT, "the pickle has too many values");
    size_t wider = n + n / 2 + 64;
    value *copy = NLP_PUSH_ZERO(arena, value, wider);
    NLP_TRY(nlp_arena_status(arena, m->err));
    if (*capacity) memcpy(copy, *values, *capacity * sizeof *copy);
    *values = copy, *capacity = wider;
    return NLP_OK;
}

static nlp_status push(machine *m, value v) {
    NLP_TRY(grow(m, &m->stack, m->n_stack, &m->stack_capacity));
    m->stack[m->n_stack++] = v;
    return NLP_OK;
}

static nlp_status push_kind(machine *m, kind of) {
    return push(m, (value){.kind = of});
}

/* The value on top; a mark is none. */
static nlp_status pop(machine *m, value *v) {
    *v = (value){.kind = KIND_NONE};
    if (!m->n_stack || m->stack[m->n_stack - 1].kind == KIND_MARK)
        return damaged(m, "it takes a value that is not there");
    *v = m->stack[--m->n_stack];
    return NLP_OK;
}

/* Values above the last mark, which goes too. */
static nlp_status pop_to_mark(machine *m, const value **first, size_t *n) {
    size_t at = m->n_stack;
    *first = NULL, *n = 0;
    while (at && m->stack[at - 1].kind != KIND_MARK) at--;
    if (!at) return damaged(m, "there is no mark");
    *first = m->stack + at;
    *n = m->n_stack - at;
    m->n_stack = at - 1;
    return NLP_OK;
}

static nlp_status put(machine *m, uint32_t index) {
    value v;
    NLP_TRY(pop(m, &v));
    m->n_stack++;
    if (index > m->n_memo + 256) return damaged(m, "its memo has a gap");
    NLP_TRY(grow(m, &m->memo, index, &m->memo_capacity));
    m->memo[index] = v;
    if (index >= m->n_memo) m->n_memo = (size_t)index + 1;
    return NLP_OK;
}

static nlp_status get(machine *m, uint32_t index) {
    if (index >= m->n_memo) return damaged(m, "it takes from the memo what is not there");
    return push(m, m->memo[index]);
}

/* ---- Values ---- */

static nlp_status push_tuple(machine *m, const value *items, size_t n) {
    nlp_arena *arena = &m->pickle->arena;
    if (n > MOST_VALUES) return damaged(m, "a tuple is too long");
    tuple *t = nlp_arena_push(arena, sizeof *t + n * sizeof *items, 1);
    NLP_TRY(nlp_arena_status(arena, m->err));
    t->n = (uint32_t)n;
    if (n) memcpy(t->items, items, n * sizeof *items);
    return push(m, (value){.kind = KIND_TUPLE, .tuple = t});
}

static nlp_status push_top(machine *m, size_t n) {
    if (m->n_stack < n) return damaged(m, "a tuple takes what is not there");
    m->n_stack -= n;
    for (size_t i = 0; i < n; i++)
        if (m->stack[m->n_stack + i].kind == KIND_MARK) return damaged(m, "a tuple takes a mark");
    return push_tuple(m, m->stack + m->n_stack, n);
}

static nlp_status push_dict(machine *m) {
    dict *d = NLP_PUSH_ZERO(&m->pickle->arena, dict, 1);
    NLP_TRY(nlp_arena_status(&m->pickle->arena, m->err));
    return push(m, (value){.kind = KIND_DICT, .dict = d});
}

static nlp_status push_text(machine *m, uint64_t n) {
    const char *text = n <= MOST_TEXT ? nlp_read_bytes(&m->c, (size_t)n) : NULL;
    if (!text) return damaged(m, "a text is cut or too long");
    return push(m, (value){.kind = KIND_TEXT, .text = text, .n_bytes = (uint32_t)n});
}

static nlp_status find_global(machine *m, const char *name, size_t n) {
    for (size_t i = 0; i < sizeof known_globals / sizeof *known_globals; i++) {
        const known_global *g = &known_globals[i];
        if (strlen(g->name) == n && !memcmp(g->name, name, n))
            return push(m, (value){.kind = KIND_GLOBAL, .global = g});
    }
    nlp_fail(m->err, NLP_EUNSUPPORTED, "the pickle names %.*s, which no state dict needs",
             n < 80 ? (int)n : 80, name);
    nlp_hint(m->err, "convert the file to safetensors where its origin can be trusted");
    return NLP_EUNSUPPORTED;
}

/* Two lines: module and name. */
static nlp_status read_global(machine *m) {
    char name[256];
    size_t n = 0;
    for (int lines = 0; lines < 2;) {
        uint8_t byte = nlp_read_u8(&m->c);
        if (m->c.failed || n == sizeof name) return damaged(m, "a global is cut or too long");
        if (byte == '\n') {
            if (++lines == 1) name[n++] = ' ';
            continue;
        }
        name[n++] = (char)byte;
    }
    return find_global(m, name, n);
}

static nlp_status stack_global(machine *m) {
    char name[512];
    value second, first;
    NLP_TRY(pop(m, &second));
    NLP_TRY(pop(m, &first));
    if (first.kind != KIND_TEXT || second.kind != KIND_TEXT ||
        first.n_bytes + second.n_bytes > sizeof name - 2)
        return damaged(m, "a global's name is no text");
    int n = snprintf(name, sizeof name, "%.*s %.*s", (int)first.n_bytes, first.text,
                     (int)second.n_bytes, second.text);
    return find_global(m, name, (size_t)n);
}

static nlp_status push_little(machine *m, uint32_t n_bytes) {
    uint64_t number = 0;
    for (uint32_t i = 0; i < n_bytes; i++) {
        uint8_t byte = nlp_read_u8(&m->c);
        if (i < 8) number |= (uint64_t)byte << 8 * i;
    }
    if (n_bytes && n_bytes < 8 && (number >> (8 * n_bytes - 1) & 1)) number |= ~0ull << 8 * n_bytes;
    return n_bytes > 8 ? damaged(m, "a number is too long")
                       : push(m, (value){.kind = KIND_INT, .number = (int64_t)number});
}

/* ---- Dicts ---- */

static nlp_status set_items(machine *m, const value *pairs, size_t n) {
    nlp_arena *arena = &m->pickle->arena;
    if (n % 2) return damaged(m, "a key has no value");
    if (!m->n_stack || m->stack[m->n_stack - 1].kind != KIND_DICT)
        return damaged(m, "items are set in what is no dict");
    dict *d = m->stack[m->n_stack - 1].dict;
    for (size_t i = 0; i < n; i += 2) {
        entry *e = NLP_PUSH_ZERO(arena, entry, 1);
        NLP_TRY(nlp_arena_status(arena, m->err));
        e->key = pairs[i], e->value = pairs[i + 1];
        if (d->last)
            d->last->next = e;
        else
            d->first = e;
        d->last = e;
    }
    return NLP_OK;
}

static nlp_status set_item(machine *m) {
    value pair[2];
    NLP_TRY(pop(m, &pair[1]));
    NLP_TRY(pop(m, &pair[0]));
    return set_items(m, pair, 2);
}

static nlp_status set_marked_items(machine *m) {
    const value *first;
    size_t n;
    NLP_TRY(pop_to_mark(m, &first, &n));
    return set_items(m, first, n);
}

/* ---- Storages and tensors ---- */

static bool is_digits(const value *v) {
    if (v->kind != KIND_TEXT || !v->n_bytes || v->n_bytes > 12) return false;
    for (uint32_t i = 0; i < v->n_bytes; i++)
        if (v->text[i] < '0' || v->text[i] > '9') return false;
    return true;
}

/* ("storage", class, key, place, elements) */
static nlp_status load_storage(machine *m) {
    nlp_arena *arena = &m->pickle->arena;
    value v;
    NLP_TRY(pop(m, &v));
    const tuple *t = v.kind == KIND_TUPLE ? v.tuple : NULL;
    if (!t || t->n != 5 || t->items[1].kind != KIND_GLOBAL ||
        t->items[1].global->what != GLOBAL_STORAGE || !is_digits(&t->items[2]) ||
        t->items[4].kind != KIND_INT || t->items[4].number < 0)
        return damaged(m, "a storage is none");
    nlp_pickle_tensor *tensor = NLP_PUSH_ZERO(arena, nlp_pickle_tensor, 1);
    if (!tensor) return nlp_arena_status(arena, m->err);
    tensor->storage = nlp_arena_text(arena, t->items[2].text, t->items[2].n_bytes);
    tensor->dtype = t->items[1].global->dtype;
    tensor->element_bytes = t->items[1].global->element_bytes;
    tensor->storage_elements = (uint64_t)t->items[4].number;
    NLP_TRY(nlp_arena_status(arena, m->err));
    return push(m, (value){.kind = KIND_STORAGE, .tensor = tensor});
}

static bool read_sizes(const value *v, uint64_t out[NLP_SOURCE_MAX_DIMS], uint32_t *n) {
    if (v->kind != KIND_TUPLE || v->tuple->n > NLP_SOURCE_MAX_DIMS) return false;
    *n = v->tuple->n;
    for (uint32_t i = 0; i < *n; i++) {
        const value *item = &v->tuple->items[i];
        if (item->kind != KIND_INT || item->number < 0) return false;
        out[i] = (uint64_t)item->number;
    }
    return true;
}

/* (storage, offset, size, stride, ...) */
static nlp_status rebuild_tensor(machine *m, const tuple *t) {
    nlp_arena *arena = &m->pickle->arena;
    uint32_t n_strides;
    if (t->n < 4 || t->items[0].kind != KIND_STORAGE || t->items[1].kind != KIND_INT ||
        t->items[1].number < 0)
        return damaged(m, "a tensor has no storage");
    nlp_pickle_tensor *tensor = NLP_PUSH(arena, nlp_pickle_tensor, 1);
    if (!tensor) return nlp_arena_status(arena, m->err);
    *tensor = *t->items[0].tensor;
    tensor->offset = (uint64_t)t->items[1].number;
    if (!read_sizes(&t->items[2], tensor->shape, &tensor->n_dims) ||
        !read_sizes(&t->items[3], tensor->stride, &n_strides) || n_strides != tensor->n_dims)
        return damaged(m, "a tensor's shape is none");
    return push(m, (value){.kind = KIND_TENSOR, .tensor = tensor});
}

/* A callable and its arguments. */
static nlp_status reduce(machine *m) {
    value arguments, callable;
    NLP_TRY(pop(m, &arguments));
    NLP_TRY(pop(m, &callable));
    if (arguments.kind != KIND_TUPLE || callable.kind != KIND_GLOBAL)
        return damaged(m, "something is called that is no function");
    const tuple *t = arguments.tuple;
    switch (callable.global->what) {
    case GLOBAL_ORDERED_DICT:
        return t->n ? damaged(m, "an OrderedDict has arguments") : push_dict(m);
    case GLOBAL_REBUILD_TENSOR:
        return rebuild_tensor(m, t);
    case GLOBAL_REBUILD_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (!t->n || t->items[0].kind != KIND_TENSOR) break;
        return push(m, t->items[0]);
    case GLOBAL_REBUILD_FROM_TYPE: /* (function, type, arguments, state) */
        if (t->n < 3 || t->items[0].kind != KIND_GLOBAL || t->items[2].kind != KIND_TUPLE ||
            t->items[0].global->what != GLOBAL_REBUILD_TENSOR)
            break;
        return rebuild_tensor(m, t->items[2].tuple);
    default:
        break;
    }
    return damaged(m, "a function has other arguments than torch gives it");
}

/* The state of a dict is its metadata. */
static nlp_status build(machine *m) {
    value state;
    NLP_TRY(pop(m, &state));
    if (!m->n_stack || m->stack[m->n_stack - 1].kind != KIND_DICT)
        return damaged(m, "state is set on what is no dict");
    return NLP_OK;
}

/* ---- Program ---- */

static nlp_status mark_tuple(machine *m) {
    const value *first;
    size_t n;
    NLP_TRY(pop_to_mark(m, &first, &n));
    return push_tuple(m, first, n);
}

static nlp_status append(machine *m, bool marked) {
    const value *first;
    value v;
    size_t n;
    NLP_TRY(marked ? pop_to_mark(m, &first, &n) : pop(m, &v));
    return m->n_stack && m->stack[m->n_stack - 1].kind == KIND_DICT
               ? NLP_OK
               : damaged(m, "something is appended to what is no list");
}

static nlp_status skip(machine *m, size_t n) {
    nlp_read_bytes(&m->c, n);
    return NLP_OK;
}

static nlp_status push_number(machine *m, int64_t number) {
    return push(m, (value){.kind = KIND_INT, .number = number});
}

/* Opcodes that make or take plain values; *known is false for the others. */
static nlp_status plain_step(machine *m, uint8_t opcode, bool *known) {
    *known = true;
    switch (opcode) {
    case 0x80: /* PROTO */
        return skip(m, 1);
    case 0x95: /* FRAME */
        return skip(m, 8);
    case '(':
        return push_kind(m, KIND_MARK);
    case 'N': /* None, True, False */
    case 0x88:
    case 0x89:
        return push_kind(m, KIND_NONE);
    case 'G': /* BINFLOAT */
        NLP_TRY(skip(m, 8));
        return push_kind(m, KIND_NONE);
    case 'K':
        return push_number(m, nlp_read_u8(&m->c));
    case 'M':
        return push_number(m, nlp_read_u16(&m->c));
    case 'J':
        return push_number(m, (int32_t)nlp_read_u32(&m->c));
    case 0x8a: /* LONG1 */
        return push_little(m, nlp_read_u8(&m->c));
    case 'X':
        return push_text(m, nlp_read_u32(&m->c));
    case 0x8c: /* SHORT_BINUNICODE */
        return push_text(m, nlp_read_u8(&m->c));
    case 'q':
        return put(m, nlp_read_u8(&m->c));
    case 'r':
        return put(m, nlp_read_u32(&m->c));
    case 0x94: /* MEMOIZE */
        return put(m, (uint32_t)m->n_memo);
    case 'h':
        return get(m, nlp_read_u8(&m->c));
    case 'j':
        return get(m, nlp_read_u32(&m->c));
    default:
        *known = false;
        return NLP_OK;
    }
}

static nlp_status step(machine *m, uint8_t opcode) {
    bool known;
    nlp_status status = plain_step(m, opcode, &known);
    if (known) return status;
    switch (opcode) {
    case ')':
        return push_tuple(m, NULL, 0);
    case 0x85:
    case 0x86:
    case 0x87: /* TUPLE1 ... TUPLE3 */
        return push_top(m, opcode - 0x84u);
    case 't':
        return mark_tuple(m);
    case '}':
    case ']':
        return push_dict(m);
    case 's':
        return set_item(m);
    case 'u':
        return set_marked_items(m);
    case 'a':
    case 'e':
        return append(m, opcode == 'e');
    case 'c':
        return read_global(m);
    case 0x93:
        return stack_global(m);
    case 'Q':
        return load_storage(m);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    default:
        return nlp_fail(m->err, NLP_EUNSUPPORTED,
                        "the pickle has the opcode 0x%02X, which no state dict needs", opcode);
    }
}

/* ---- Result ---- */

static nlp_status keep_tensor(nlp_pickle *p, const value *key, const nlp_pickle_tensor *tensor,
                              nlp_error *err) {
    if (key->kind != KIND_TEXT || memchr(key->text, 0, key->n_bytes))
        return nlp_fail(err, NLP_ECORRUPT, "the pickle is damaged: a tensor's name is no text");
    if (p->n_tensors == p->capacity) {
        p->capacity = 2 * p->capacity + 256;
        nlp_pickle_tensor *wider = NLP_PUSH(&p->arena, nlp_pickle_tensor, p->capacity);
        NLP_TRY(nlp_arena_status(&p->arena, err));
        if (p->n_tensors) memcpy(wider, p->tensors, p->n_tensors * sizeof *wider);
        p->tensors = wider;
    }
    p->tensors[p->n_tensors] = *tensor;
    p->tensors[p->n_tensors++].name = nlp_arena_text(&p->arena, key->text, key->n_bytes);
    return nlp_arena_status(&p->arena, err);
}

/* Training scripts put the state dict under a key of another dict. */
static const dict *state_dict(const dict *d) {
    for (const entry *e = d->first; e; e = e->next)
        if (e->value.kind == KIND_DICT && e->key.kind == KIND_TEXT && e->key.n_bytes == 10 &&
            !memcmp(e->key.text, "state_dict", 10))
            return e->value.dict;
    return d;
}

static nlp_status finish(machine *m) {
    value v;
    NLP_TRY(pop(m, &v));
    if (v.kind != KIND_DICT || m->n_stack) return damaged(m, "it is no state dict");
    for (const entry *e = state_dict(v.dict)->first; e; e = e->next)
        if (e->value.kind == KIND_TENSOR)
            NLP_TRY(keep_tensor(m->pickle, &e->key, e->value.tensor, m->err));
    return m->pickle->n_tensors ? NLP_OK : damaged(m, "it has no tensors");
}

nlp_status nlp_pickle_read(nlp_pickle *p, nlp_mem *mem, const uint8_t *program, size_t n_bytes,
                           nlp_error *err) {
    machine m = {.pickle = p, .c = nlp_cursor_of(program, n_bytes), .err = err};
    *p = (nlp_pickle){0};
    nlp_arena_init(&p->arena, mem);
    for (uint32_t steps = 0; steps < MOST_STEPS && m.c.n_left; steps++) {
        uint8_t opcode = nlp_read_u8(&m.c);
        if (opcode == '.') return finish(&m);
        NLP_TRY(step(&m, opcode));
        if (m.c.failed) return damaged(&m, "it is cut");
    }
    return damaged(&m, "it does not stop");
}

void nlp_pickle_close(nlp_pickle *p) {
    nlp_arena_deinit(&p->arena);
}
