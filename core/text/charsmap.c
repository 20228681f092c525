/* charsmap.c: SentencePiece's precompiled map of characters: u32 bytes of the trie, the trie as a
 * double array in the layout of Darts-clone, then terminated replacements. */
#include <string.h>

#include "text/tokenizer_parts.h"

typedef struct map {
    const uint8_t *units, *texts;
    size_t n_units, n_text_bytes;
} map;

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static map open_map(const uint8_t *bytes, size_t n_bytes) {
    uint32_t trie_bytes = n_bytes >= 4 ? read_u32(bytes) : 0;
    map m = {0};
    if (n_bytes < 4 || trie_bytes > n_bytes - 4) return m;
    m.units = bytes + 4;
    m.n_units = trie_bytes / 4;
    m.texts = bytes + 4 + trie_bytes;
    m.n_text_bytes = n_bytes - 4 - trie_bytes;
    return m;
}

static uint32_t unit_at(const map *m, size_t at) {
    return read_u32(m->units + 4 * at);
}
static size_t offset_of(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

/* The texts end with a terminator, so any index below their size begins one that ends. */
bool charsmap_is_sound(const uint8_t *bytes, size_t n_bytes) {
    map m = open_map(bytes, n_bytes);
    if (!m.n_units || !m.n_text_bytes || m.texts[m.n_text_bytes - 1]) return false;
    return (size_t)(m.texts - m.units) % 4 == 0;
}

const char *charsmap_find(const nlp_tokenizer *t, const char *bytes, size_t n_bytes, bool longest,
                          size_t *used) {
    if (!t->charsmap) return NULL;
    map m = open_map(t->charsmap, t->extension.charsmap_bytes);
    const char *found = NULL;
    size_t at = offset_of(unit_at(&m, 0));
    for (size_t i = 0; i < n_bytes; i++) {
        at ^= (uint8_t)bytes[i];
        uint32_t unit = at < m.n_units ? unit_at(&m, at) : 0x100;
        if ((unit & 0x800000FF) != (uint8_t)bytes[i]) break;
        at ^= offset_of(unit);
        if (!(unit & 0x100)) continue;
        uint32_t index = at < m.n_units ? unit_at(&m, at) & 0x7FFFFFFF : UINT32_MAX;
        if (index >= m.n_text_bytes) break;
        found = (const char *)m.texts + index;
        *used = i + 1;
        if (!longest) break;
    }
    return found;
}
