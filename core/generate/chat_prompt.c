/* chat_prompt.c: opening a model's way of chats, checking messages, the rendered text with the places of its
 * frames, and its ids. */
#include "generate/chat_prompt.h"

#include <string.h>

#include "base/utf8.h"
#include "generate/chat_formats.h"

static const char *const role_names[NLP_CHAT_N_ROLES] = {"system", "user", "assistant"};

nlp_status nlp_chat_role_find(nlp_text name, nlp_chat_role *role, nlp_error *err) {
    for (int i = 0; i < NLP_CHAT_N_ROLES; i++) {
        if (strlen(role_names[i]) != name.n_bytes ||
            memcmp(role_names[i], name.bytes, name.n_bytes))
            continue;
        *role = (nlp_chat_role)i;
        return NLP_OK;
    }
    return nlp_fail(err, NLP_EINVAL, "a message has an unknown role: one is %s, %s or %s",
                    role_names[0], role_names[1], role_names[2]);
}

/* ---- Opening ---- */

static nlp_text of_span(nlp_span span) {
    return span.n_bytes ? (nlp_text){(const char *)span.bytes, span.n_bytes} : (nlp_text){NULL, 0};
}

static nlp_text of_literal(const char *text) {
    return text ? (nlp_text){text, strlen(text)} : (nlp_text){NULL, 0};
}

/* A frame's text up to its next mark, or the token that a mark at its start stands for. */
static nlp_text next_part(const nlp_chat *chat, const char **frame) {
    const char *at = *frame;
    size_t n = strcspn(at, NLP_CHAT_BEGIN NLP_CHAT_END);
    *frame += n ? n : 1;
    return n ? (nlp_text){at, n} : *at == *NLP_CHAT_BEGIN ? chat->begin : chat->end;
}

/* White space is a token of some models, and everybody's. */
static bool has_ink(nlp_text spelling) {
    for (size_t i = 0; i < spelling.n_bytes; i++)
        if (spelling.bytes[i] > ' ' && spelling.bytes[i] < 0x7F) return true;
    return false;
}

static void add_control(nlp_chat *chat, int32_t id) {
    if (!nlp_tokenizer_is_added(chat->tokenizer, id) ||
        !has_ink(nlp_tokenizer_piece(chat->tokenizer, id)))
        return;
    for (uint32_t i = 0; i < chat->n_controls; i++)
        if (chat->controls[i] == id) return;
    if (chat->n_controls < NLP_CHAT_MAX_CONTROLS) chat->controls[chat->n_controls++] = id;
}

/* The tokens of a frame's text can't come from anything else, special or not. */
static nlp_status add_controls(nlp_chat *chat, const char *frame, nlp_arena *work, nlp_error *err) {
    const nlp_encode_options options = {.no_special_tokens = true};
    while (*frame) {
        nlp_encoding e;
        nlp_text part = next_part(chat, &frame);
        if (!part.n_bytes) continue;
        NLP_TRY(nlp_tokenizer_encode(chat->tokenizer, &part, NULL, &options, work, NULL, &e, err));
        for (size_t i = 0; i < e.n; i++) add_control(chat, e.ids[i]);
    }
    return NLP_OK;
}

static nlp_status find_controls_of(nlp_chat *chat, nlp_mem *mem, nlp_error *err) {
    const nlp_chat_format *f = chat->format;
    nlp_arena work;
    nlp_arena_init(&work, mem);
    nlp_status status = add_controls(chat, NLP_CHAT_BEGIN NLP_CHAT_END, &work, err);
    if (status == NLP_OK) status = add_controls(chat, f->prompt, &work, err);
    for (int i = 0; i < NLP_CHAT_N_ROLES && status == NLP_OK; i++) {
        status = add_controls(chat, f->turns[i].before, &work, err);
        if (status == NLP_OK) status = add_controls(chat, f->turns[i].after, &work, err);
    }
    nlp_arena_deinit(&work);
    return status;
}

static nlp_text meta(const nlp_pack *pack, const char *key) {
    return of_span(nlp_pack_pair(pack, "meta", key));
}

nlp_status nlp_chat_open(const nlp_pack *pack, const nlp_tokenizer *tokenizer,
                         const nlp_generation_spec *generation, nlp_arena *arena,
                         const nlp_chat **out, nlp_error *err) {
    nlp_text name = meta(pack, "chat template");
    const nlp_chat_format *format = name.bytes ? nlp_chat_format_find(name) : NULL;
    *out = NULL;
    if (!format) return NLP_OK;
    nlp_chat *chat = NLP_PUSH_ZERO(arena, nlp_chat, 1);
    NLP_TRY(nlp_arena_status(arena, err));
    *chat = (nlp_chat){.format = format,
                       .tokenizer = tokenizer,
                       .begin = meta(pack, "chat begin"),
                       .end = of_literal(format->end),
                       .system = meta(pack, "chat system"),
                       .no_thinking = meta(pack, "chat no thinking")};
    if (!chat->begin.bytes) chat->begin = of_literal(format->begin);
    nlp_tokenizer_info info;
    nlp_tokenizer_get_info(tokenizer, &info);
    if (generation->n_ends && generation->ends[0] < info.vocabulary)
        chat->end = nlp_tokenizer_piece(tokenizer, (int32_t)generation->ends[0]);
    const char *end_of_turn = format->end_of_turn;
    chat->end_of_turn = nlp_tokenizer_find(tokenizer, next_part(chat, &end_of_turn));
    *out = chat;
    return find_controls_of(chat, arena->mem, err);
}

/* ---- Messages ---- */

static nlp_status wrong_role(const nlp_chat *chat, const nlp_chat_request *r, size_t i,
                             const char *what, nlp_error *err) {
    return nlp_fail(err, NLP_EINVAL, "message %zu of %zu has the role %s: %s%s%s", i + 1,
                    r->n_messages, role_names[r->messages[i].role], chat ? "the format " : "",
                    chat ? chat->format->name : "", what);
}

static size_t n_leading_system(const nlp_chat_request *r) {
    return r->messages[0].role == NLP_CHAT_SYSTEM;
}

static nlp_status check_order(const nlp_chat *chat, const nlp_chat_request *r, nlp_error *err) {
    uint32_t flags = chat->format->flags;
    size_t lead = n_leading_system(r);
    for (size_t i = lead; i < r->n_messages; i++) {
        nlp_chat_role role = r->messages[i].role;
        if ((flags & NLP_CHAT_SYSTEM_FIRST) && role == NLP_CHAT_SYSTEM)
            return wrong_role(chat, r, i, " has such a message only at the start", err);
        if ((flags & NLP_CHAT_ALTERNATES) && (role == NLP_CHAT_USER) != ((i - lead) % 2 == 0))
            return wrong_role(chat, r, i, " has user and assistant in turn, a user first", err);
    }
    return NLP_OK;
}

static nlp_status check_messages(const nlp_chat *chat, const nlp_chat_request *r, nlp_error *err) {
    if (!r->n_messages) return nlp_fail(err, NLP_EINVAL, "a chat has no messages");
    for (size_t i = 0; i < r->n_messages; i++)
        if ((uint32_t)r->messages[i].role >= NLP_CHAT_N_ROLES)
            return nlp_fail(err, NLP_EINVAL, "message %zu of %zu has no role", i + 1,
                            r->n_messages);
    NLP_TRY(check_order(chat, r, err));
    size_t last = r->n_messages - 1;
    if (r->messages[last].role == NLP_CHAT_USER) return NLP_OK;
    return wrong_role(NULL, r, last, "what is to be answered ends with a user's", err);
}

/* ---- Rendering ---- */

typedef struct rendering {
    const nlp_chat *chat;
    nlp_buf text;
    nlp_byte_range *frame; /* room for all */
    size_t n_frame;
} rendering;

static void put_frame_text(rendering *r, nlp_text text) {
    size_t start = r->text.n_bytes;
    if (!text.n_bytes) return;
    nlp_buf_push(&r->text, text.bytes, text.n_bytes);
    if (r->n_frame && r->frame[r->n_frame - 1].end == start)
        r->frame[r->n_frame - 1].end = r->text.n_bytes;
    else
        r->frame[r->n_frame++] = (nlp_byte_range){start, r->text.n_bytes};
}

static void put_frame(rendering *r, const char *frame) {
    while (*frame) put_frame_text(r, next_part(r->chat, &frame));
}

static void put_content(rendering *r, nlp_text text) {
    nlp_buf_push(&r->text, text.bytes, text.n_bytes);
}

/* White space as Python has it, in which templates are written: with the four separators of ASCII. */
static bool is_blank(uint32_t c) {
    return nlp_unicode_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

/* Bytes of the text without the white space at its end. */
static size_t end_of_ink(const char *bytes, size_t n) {
    while (n) {
        uint32_t c;
        size_t at = n - 1;
        while (at && n - at < NLP_UTF8_MAX_BYTES && ((uint8_t)bytes[at] & 0xC0) == 0x80) at--;
        nlp_utf8_decode(bytes + at, n - at, &c);
        if (!is_blank(c)) return n;
        n = at;
    }
    return 0;
}

static nlp_text trimmed(nlp_text text) {
    text.n_bytes = end_of_ink(text.bytes, text.n_bytes);
    while (text.n_bytes) {
        uint32_t c;
        size_t n = nlp_utf8_decode(text.bytes, text.n_bytes, &c);
        if (!is_blank(c)) break;
        text.bytes += n, text.n_bytes -= n;
    }
    return text;
}

/* What was written since `start` loses the white space at its end, frames too. */
static void trim_end(rendering *r, size_t start) {
    size_t end = start + end_of_ink((const char *)r->text.bytes + start, r->text.n_bytes - start);
    r->text.n_bytes = end;
    while (r->n_frame && r->frame[r->n_frame - 1].start >= end) r->n_frame--;
    if (r->n_frame && r->frame[r->n_frame - 1].end > end) r->frame[r->n_frame - 1].end = end;
}

/* carried: a system text inside the turn; NULL: none. */
static void put_turn(rendering *r, nlp_chat_role role, nlp_text content, const nlp_text *carried) {
    const nlp_chat_format *f = r->chat->format;
    bool trims = f->flags >> role & 1;
    put_frame(r, f->turns[role].before);
    size_t start = r->text.n_bytes;
    if (carried) {
        put_frame(r, f->turns[NLP_CHAT_SYSTEM].before);
        put_content(r, *carried);
        put_frame(r, f->turns[NLP_CHAT_SYSTEM].after);
    }
    bool whole = carried && (f->flags & NLP_CHAT_TRIM_TURN);
    put_content(r, trims && !whole ? trimmed(content) : content);
    if (whole && !r->text.failed_bytes) trim_end(r, start);
    put_frame(r, f->turns[role].after);
}

/* The system text of a chat, or NULL. */
static const nlp_text *system_text(const nlp_chat *chat, const nlp_chat_request *r) {
    if (n_leading_system(r)) return &r->messages[0].content;
    return chat->system.bytes ? &chat->system : NULL;
}

/* The messages from `first` on, behind the system text. */
static void put_messages(rendering *out, const nlp_chat_request *r, size_t first) {
    const nlp_chat_format *f = out->chat->format;
    const nlp_text *system = system_text(out->chat, r), *carried = NULL;
    size_t carrier = f->system_place == NLP_CHAT_IN_FIRST_USER ? first : r->n_messages - 1;
    if (system && f->system_place == NLP_CHAT_OWN_TURN)
        put_turn(out, NLP_CHAT_SYSTEM, *system, NULL);
    for (size_t i = first; i < r->n_messages; i++) {
        bool carries = f->system_place != NLP_CHAT_OWN_TURN && i == carrier;
        carried = carries ? system : NULL;
        put_turn(out, r->messages[i].role, r->messages[i].content, carried);
    }
}

static nlp_status render_from(const nlp_chat *chat, const nlp_chat_request *r, size_t first,
                              nlp_arena *arena, nlp_chat_prompt *prompt, nlp_error *err) {
    enum { EACH = 2, OTHERS = 8 }; /* most parts of the frame */
    size_t n;
    rendering out = {.chat = chat};
    if (nlp_mul_overflows(r->n_messages, EACH, &n) || nlp_add_overflows(n, OTHERS, &n))
        return nlp_fail(err, NLP_ELIMIT, "a chat has %zu messages", r->n_messages);
    out.frame = NLP_PUSH(arena, nlp_byte_range, n);
    NLP_TRY(nlp_arena_status(arena, err));
    nlp_buf_init(&out.text, arena->mem);
    if (!nlp_chat_frames_begin(chat->format)) put_frame(&out, NLP_CHAT_BEGIN);
    put_messages(&out, r, first);
    put_frame(&out, chat->format->prompt);
    if (r->no_thinking) put_frame_text(&out, chat->no_thinking);
    nlp_status status = nlp_buf_status(&out.text, err);
    *prompt = (nlp_chat_prompt){.frame = out.frame, .n_frame = out.n_frame};
    prompt->text.n_bytes = out.text.n_bytes;
    if (status == NLP_OK)
        prompt->text.bytes = nlp_arena_text(arena, (const char *)out.text.bytes, out.text.n_bytes);
    nlp_buf_deinit(&out.text);
    return status == NLP_OK ? nlp_arena_status(arena, err) : status;
}

nlp_status nlp_chat_render(const nlp_chat *chat, const nlp_chat_request *r, nlp_arena *arena,
                           nlp_chat_prompt *prompt, nlp_error *err) {
    NLP_TRY(check_messages(chat, r, err));
    return render_from(chat, r, n_leading_system(r), arena, prompt, err);
}

/* ---- Ids ---- */

typedef struct fitting {
    const nlp_chat *chat;
    const nlp_chat_request *request;
    nlp_poll *poll;
    nlp_error *err;
} fitting;

/* n_full: tokens of the prompt; with `stop` they need not be counted past the limit. */
static nlp_status encode_from(const fitting *f, size_t first, bool stop, nlp_arena *arena,
                              nlp_chat_prompt *prompt, size_t *n_full) {
    nlp_encoding e;
    NLP_TRY(render_from(f->chat, f->request, first, arena, prompt, f->err));
    const nlp_encode_options options = {.max_tokens = f->request->max_tokens,
                                        .no_special_tokens = true,
                                        .stop_when_full = stop,
                                        .plain_text = true,
                                        .frame = prompt->frame,
                                        .n_frame = prompt->n_frame,
                                        .controls = f->chat->controls,
                                        .n_controls = f->chat->n_controls};
    NLP_TRY(nlp_tokenizer_encode(f->chat->tokenizer, &prompt->text, NULL, &options, arena, f->poll,
                                 &e, f->err));
    prompt->ids = e.ids;
    prompt->n_ids = e.n;
    prompt->n_dropped = first - n_leading_system(f->request);
    *n_full = e.n_full;
    return NLP_OK;
}

static bool fits(const fitting *f, size_t n_full) {
    return !f->request->max_tokens || n_full <= f->request->max_tokens;
}

/* The next place at or behind `i` where a chat may begin: a user's message. */
static size_t next_user(const nlp_chat_request *r, size_t i) {
    while (i + 1 < r->n_messages && r->messages[i].role != NLP_CHAT_USER) i++;
    return i;
}

/* The first user's message in low .. high - 1 from which on the chat fits; `high`, where it does. Each
 * step halves what is left, so a long chat is encoded a few times. */
static nlp_status find_first(const fitting *f, size_t low, size_t high, nlp_arena *work,
                             size_t *first) {
    nlp_status status = NLP_OK;
    while (status == NLP_OK && low < high) {
        size_t mid = next_user(f->request, low + (high - low) / 2), n_full;
        nlp_chat_prompt prompt;
        nlp_arena_reset(work);
        status = encode_from(f, mid, true, work, &prompt, &n_full);
        if (status == NLP_OK && fits(f, n_full))
            high = low + (high - low) / 2;
        else
            low = mid + 1;
    }
    *first = next_user(f->request, high);
    return status;
}

/* Where all of a chat is too long: the most that is not. */
static nlp_status drop_oldest(const fitting *f, nlp_arena *arena, nlp_chat_prompt *prompt) {
    const nlp_chat_request *r = f->request;
    size_t last = r->n_messages - 1, first, n_full;
    nlp_arena work;
    NLP_TRY(encode_from(f, last, false, arena, prompt, &n_full));
    if (!fits(f, n_full))
        return nlp_fail(
            f->err, NLP_ELIMIT, "the last message%s needs %zu tokens in its frame, the limit is %u",
            system_text(f->chat, r) ? " with the system text" : "", n_full, r->max_tokens);
    nlp_arena_init(&work, arena->mem);
    nlp_status status = find_first(f, n_leading_system(r) + 1, last, &work, &first);
    nlp_arena_deinit(&work);
    return status == NLP_OK ? encode_from(f, first, false, arena, prompt, &n_full) : status;
}

nlp_status nlp_chat_encode(const nlp_chat *chat, const nlp_chat_request *r, nlp_arena *arena,
                           nlp_poll *poll, nlp_chat_prompt *prompt, nlp_error *err) {
    const fitting f = {chat, r, poll, err};
    size_t n_full;
    NLP_TRY(check_messages(chat, r, err));
    NLP_TRY(encode_from(&f, n_leading_system(r), true, arena, prompt, &n_full));
    return fits(&f, n_full) ? NLP_OK : drop_oldest(&f, arena, prompt);
}
