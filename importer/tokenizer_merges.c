/* tokenizer_merges.c: merges and byte pieces of a BPE vocabulary, by the ids of their texts. */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "tokenizer_compiler.h"

/* What two pieces become: their texts joined, the second without the prefix of inner pieces. */
static uint32_t joined_id(const compiler *c, const piece_index *index, const piece parts[2]) {
    char text[2 * NLP_TOKENIZER_MAX_PIECE_BYTES];
    size_t n_prefix = c->prefix ? strlen(c->prefix) : 0;
    piece b = parts[1];
    if (n_prefix && b.n_bytes >= n_prefix && !memcmp(b.text, c->prefix, n_prefix))
        b.text += n_prefix, b.n_bytes -= n_prefix;
    if (parts[0].n_bytes + b.n_bytes > sizeof text) return NLP_NO_ID;
    memcpy(text, parts[0].text, parts[0].n_bytes);
    memcpy(text + parts[0].n_bytes, b.text, b.n_bytes);
    return compiler_lookup(c, index, text, parts[0].n_bytes + b.n_bytes);
}

nlp_status compiler_start_merges(compiler *c, size_t n) {
    c->merges = NLP_PUSH(c->arena, merge_rule, n);
    c->n_merges = 0;
    return nlp_arena_status(c->arena, c->err);
}

nlp_status compiler_add_merge(compiler *c, const piece_index *index, const piece parts[2]) {
    merge_rule *m = &c->merges[c->n_merges];
    m->left = compiler_lookup(c, index, parts[0].text, parts[0].n_bytes);
    m->right = compiler_lookup(c, index, parts[1].text, parts[1].n_bytes);
    m->id = joined_id(c, index, parts);
    m->rank = (uint32_t)c->n_merges;
    if (m->left == NLP_NO_ID || m->right == NLP_NO_ID || m->id == NLP_NO_ID)
        return nlp_fail(c->err, NLP_EINVAL,
                        "%s: merge %zu names a piece that is not in the vocabulary", c->file,
                        c->n_merges);
    c->n_merges++;
    return NLP_OK;
}

/* Bytes of texts that people write. Real vocabularies lack some control characters and the first bytes
 * of planes that nobody uses; what UTF-8 never has is refused before it comes here. */
static bool is_common_byte(uint32_t byte) {
    bool control = byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r';
    return !control && byte != 0xC0 && byte != 0xC1 && byte < 0xF1;
}

nlp_status compiler_find_bytes(compiler *c, const piece_index *index, bool letters) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text[8];
        size_t n = letters ? nlp_utf8_encode(nlp_byte_letter((uint8_t)byte), text)
                           : (size_t)snprintf(text, sizeof text, "<0x%02X>", byte);
        c->bytes[byte] = compiler_lookup(c, index, text, n);
        if (letters && c->bytes[byte] == NLP_NO_ID && is_common_byte(byte))
            return nlp_fail(c->err, NLP_EINVAL,
                            "%s: the byte 0x%02X has no piece, so texts would lose it", c->file,
                            byte);
    }
    c->has_bytes = true;
    return NLP_OK;
}
