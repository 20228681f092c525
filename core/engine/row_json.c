/* row_json.c: what a task gave as JSON. */
#include <string.h>

#include "base/json_write.h"

static void put_vector(nlp_json_out *out, const nlp_value *value) {
    nlp_json_put(out, "[", 1);
    for (uint32_t i = 0; i < value->n; i++) {
        if (i) nlp_json_put(out, ",", 1);
        if (value->type == NLP_TYPE_IDS)
            nlp_json_put_integer(out, value->as.ids[i]);
        else
            nlp_json_put_real(out, (double)value->as.vector[i]);
    }
    nlp_json_put(out, "]", 1);
}

static void put_word(nlp_json_out *out, const char *word) {
    nlp_json_put(out, word, strlen(word));
}

static void put_value(nlp_json_out *out, const nlp_value *value) {
    switch (value->type) {
    case NLP_TYPE_TEXT:
        nlp_json_put_text(out, (nlp_text){value->as.text, value->n});
        break;
    case NLP_TYPE_REAL:
        nlp_json_put_real(out, value->as.real);
        break;
    case NLP_TYPE_INTEGER:
        nlp_json_put_integer(out, value->as.integer);
        break;
    case NLP_TYPE_BOOLEAN:
        put_word(out, value->as.boolean ? "true" : "false");
        break;
    case NLP_TYPE_VECTOR:
    case NLP_TYPE_IDS:
        put_vector(out, value);
        break;
    case NLP_TYPE_JSON:
        nlp_json_put(out, value->as.text, value->n);
        break;
    case NLP_TYPE_TEXTS: /* only an operand */
    case NLP_TYPE_NULL:
        put_word(out, "null");
        break;
    }
}

size_t nlp_row_json(const nlp_task_spec *task, const nlp_value *cells, char *json,
                    size_t capacity) {
    nlp_json_out out = {json, capacity, 0};
    uint32_t n_shown = task->n_shown_columns ? task->n_shown_columns : task->n_columns;
    if (!task->returns_rows) {
        put_value(&out, cells);
        return out.n;
    }
    put_word(&out, "{");
    for (uint32_t i = 0; i < n_shown; i++) {
        const char *name = task->columns[i].name;
        if (i) put_word(&out, ",");
        nlp_json_put_text(&out, (nlp_text){name, strlen(name)});
        put_word(&out, ":");
        put_value(&out, &cells[i]);
    }
    put_word(&out, "}");
    return out.n;
}
