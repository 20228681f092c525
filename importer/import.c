/* import.c: the whole way: folder, f32 pack, packs of other precisions until one passes the gate,
 * file. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapter.h"
#include "assemble.h"
#include "base/mapfile.h"
#include "base/real.h"
#include "container.h"
#include "gate.h"
#include "precision.h"

typedef struct made_pack {
    nlp_pack_writer *writer;
    const uint8_t *bytes;
    size_t n_bytes;
} made_pack;

static void report_progress(const nlp_import_options *o, const char *step, double fraction) {
    if (o->progress) o->progress(o->progress_context, step, fraction);
}

static nlp_status make_pack(nlp_model_folder *folder, const nlp_import_options *o, const char *name,
                            nlp_dtype precision, const nlp_calibration *calibration,
                            made_pack *pack, nlp_error *err) {
    nlp_poll poll;
    nlp_poll_init(&poll, &o->stop, 0);
    nlp_assemble_options options = {.name = name,
                                    .meta = o->meta,
                                    .precision = precision,
                                    .calibration = calibration,
                                    .poll = &poll};
    NLP_TRY(nlp_pack_writer_open(folder->mem, NLP_PACK_FULL, precision, &pack->writer, err));
    NLP_TRY(nlp_assemble(folder, &options, pack->writer, err));
    return nlp_pack_writer_finish(pack->writer, &pack->bytes, &pack->n_bytes, err);
}

/* ---- Which precision ---- */

static void report_gate(const nlp_gate *gate, nlp_dtype precision, nlp_import_report *report) {
    nlp_import_accuracy *a = &report->accuracy[report->n_accuracies++];
    snprintf(a->precision, sizeof a->precision, "%s", nlp_precision_name(precision));
    a->passed = gate->passed;
    a->n_texts = gate->n_texts;
    a->n_tokens = gate->n_tokens;
    a->mean_cosine = gate->mean_cosine;
    a->min_cosine = gate->min_cosine;
    a->perplexity = gate->n_tokens ? nlp_exp(gate->loss) : 0;
    a->reference_perplexity = gate->n_tokens ? nlp_exp(gate->reference_loss) : 0;
    a->loss_growth = gate->n_tokens ? gate->loss / gate->reference_loss - 1 : 0;
    a->divergence = gate->n_tokens ? gate->divergence / gate->reference_loss : 0;
}

/* Makes a pack beside the f32 one and measures it. */
static nlp_status try_precision(nlp_model_folder *folder, const nlp_import_options *o,
                                const char *name, nlp_dtype precision, const made_pack *f32,
                                made_pack *pack, nlp_gate *gate, nlp_error *err) {
    nlp_arena arena;
    nlp_calibration calibration;
    nlp_status status = NLP_OK;
    nlp_arena_init(&arena, folder->mem);
    report_progress(o, "calibrating", 0.3);
    if (precision == NLP_I8)
        status = nlp_calibrate(f32->bytes, f32->n_bytes, &arena, &o->stop, &calibration, err);
    report_progress(o, "quantising", 0.5);
    if (status == NLP_OK) status = make_pack(folder, o, name, precision, &calibration, pack, err);
    nlp_arena_deinit(&arena);
    report_progress(o, "measuring", 0.7);
    if (status != NLP_OK) return status;
    bool vectors = folder->pipeline.struct_size != 0;
    return nlp_gate_measure(f32->bytes, f32->n_bytes, pack->bytes, pack->n_bytes, vectors, &o->stop,
                            gate, err);
}

/* The wanted precision, or the first that passes: its pack is made in *other. Without one, f32. */
static nlp_status choose(nlp_model_folder *folder, const nlp_import_options *o, const char *name,
                         const made_pack *f32, made_pack *other, nlp_dtype *chosen,
                         nlp_import_report *report, nlp_error *err) {
    nlp_dtype order[NLP_MAX_PRECISIONS];
    size_t n = nlp_precision_order(folder, order);
    *chosen = NLP_F32;
    if (n && o->precision) {
        n = 1;
        NLP_TRY(nlp_precision_find(o->precision, &order[0], err));
    }
    for (size_t i = 0; i < n && order[i] != NLP_F32; i++) {
        nlp_gate gate;
        NLP_TRY(try_precision(folder, o, name, order[i], f32, other, &gate, err));
        report_gate(&gate, order[i], report);
        if (o->precision || gate.passed) {
            *chosen = order[i];
            return NLP_OK;
        }
        nlp_pack_writer_close(other->writer);
        *other = (made_pack){0};
    }
    return NLP_OK;
}

/* ---- Writing ---- */

/* An existing pack of other bytes steps aside under NAME@HEX8.nlp, where heads and pinned names
 * still find it. */
static nlp_status set_aside(const char *path, nlp_error *err) {
    nlp_pack_header header;
    char hex[NLP_SHA256_HEX_BYTES], aside[4096];
    int fd;
    uint64_t n_bytes;
    size_t n = strlen(path);
    NLP_TRY(nlp_file_open(path, &fd, &n_bytes, err));
    nlp_status status = nlp_file_read(fd, 0, &header, sizeof header, NULL, err);
    nlp_file_close(fd);
    if (status != NLP_OK || nlp_pack_check_header(&header, sizeof header, NULL) != NLP_OK)
        return NLP_OK;
    nlp_hex(header.digest, sizeof header.digest, hex);
    if (n > 4 && !strcmp(path + n - 4, ".nlp")) n -= 4;
    if ((size_t)snprintf(aside, sizeof aside, "%.*s@%.8s.nlp", (int)n, path, hex) >= sizeof aside)
        return nlp_fail(err, NLP_EINVAL, "the path is too long");
    if (rename(path, aside) != 0) return nlp_fail(err, NLP_EIO, "%s can't be renamed", path);
    return NLP_OK;
}

static bool same_file(const char *path, const void *pack, size_t pack_bytes) {
    nlp_pack_header header;
    int fd;
    uint64_t n_bytes;
    if (nlp_file_open(path, &fd, &n_bytes, NULL) != NLP_OK) return false;
    bool same = n_bytes == pack_bytes &&
                nlp_file_read(fd, 0, &header, sizeof header, NULL, NULL) == NLP_OK &&
                !memcmp(&header, pack, sizeof header);
    nlp_file_close(fd);
    return same;
}

nlp_status nlp_pack_save(const char *path, const void *pack, size_t pack_bytes, bool replace,
                         nlp_error *err) {
    if (same_file(path, pack, pack_bytes)) return NLP_OK;
    if (replace && access(path, F_OK) == 0) NLP_TRY(set_aside(path, err));
    return nlp_file_write(path, pack, pack_bytes, replace, err);
}

/* ---- The entry ---- */

static void name_of(const nlp_import_options *o, char *name, size_t n) {
    const char *slash = strrchr(o->out, '/');
    snprintf(name, n, "%s", o->name ? o->name : slash ? slash + 1 : o->out);
    char *ending = strstr(name, ".nlp");
    if (ending) *ending = 0;
}

/* The one GGUF file of a folder that is no model's otherwise, into path. */
static void find_gguf(const char *folder, char *path, size_t n) {
    char config[4096];
    struct stat st;
    size_t n_found = 0;
    snprintf(config, sizeof config, "%s/config.json", folder);
    DIR *dir = stat(config, &st) == 0 ? NULL : opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".gguf") != 0) continue;
        if (++n_found == 1) snprintf(path, n, "%s/%s", folder, entry->d_name);
    }
    if (dir) closedir(dir);
    if (n_found > 1) snprintf(path, n, "%s", folder);
}

/* The folder of a source that is a file inside one; a file that has all stands for itself. */
static void folder_of(const char *source, char *folder, size_t n) {
    struct stat st;
    snprintf(folder, n, "%s", source);
    if (stat(source, &st) != 0 || nlp_container_of(source)) return;
    if (S_ISDIR(st.st_mode)) {
        find_gguf(source, folder, n);
        return;
    }
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(folder, n, ".");
}

static nlp_status finish(const nlp_model_folder *folder, const nlp_import_options *o,
                         const made_pack *chosen, nlp_dtype precision, nlp_import_report *report,
                         nlp_error *err) {
    const nlp_pack_header *header = (const nlp_pack_header *)(const void *)chosen->bytes;
    snprintf(report->precision, sizeof report->precision, "%s", nlp_precision_name(precision));
    snprintf(report->family, sizeof report->family, "%s", folder->family->name);
    snprintf(report->notes, sizeof report->notes, "%s", folder->notes);
    nlp_hex(header->digest, sizeof header->digest, report->digest);
    report->pack_bytes = chosen->n_bytes;
    return nlp_pack_save(o->out, chosen->bytes, chosen->n_bytes, o->replace, err);
}

static nlp_status make_adapter(nlp_model_folder *folder, const nlp_import_options *o,
                               const char *name, made_pack *pack, nlp_error *err) {
    nlp_poll poll;
    nlp_poll_init(&poll, &o->stop, 0);
    const nlp_adapter_options options = {
        .folder = folder->path, .base = o->base, .name = name, .meta = o->meta, .poll = &poll};
    if (!o->base) {
        nlp_fail(err, NLP_EINVAL, "%s has an adapter, which needs the pack that it stands on",
                 folder->path);
        nlp_hint(err, "add --base NAME, the pack of the model that the adapter was trained on");
        return NLP_EINVAL;
    }
    NLP_TRY(nlp_pack_writer_open(folder->mem, NLP_PACK_TASK, NLP_F32, &pack->writer, err));
    NLP_TRY(nlp_adapter_assemble(folder, &options, pack->writer, err));
    return nlp_pack_writer_finish(pack->writer, &pack->bytes, &pack->n_bytes, err);
}

static nlp_status import_adapter(const nlp_import_options *o, const char *path, const char *name,
                                 nlp_mem *mem, nlp_import_report *report, nlp_error *err) {
    nlp_model_folder folder;
    made_pack pack = {0};
    nlp_model_folder_init(&folder, mem, path);
    nlp_status status = make_adapter(&folder, o, name, &pack, err);
    if (status == NLP_OK) status = finish(&folder, o, &pack, NLP_F32, report, err);
    nlp_pack_writer_close(pack.writer);
    nlp_model_folder_close(&folder);
    return status;
}

nlp_status nlp_import(const nlp_import_options *o, nlp_import_report *report, nlp_error *err) {
    char path[4096], name[64];
    nlp_mem mem;
    nlp_model_folder folder;
    made_pack f32 = {0}, other = {0};
    nlp_dtype precision = NLP_F32;
    memset(report, 0, sizeof *report);
    if (o->precision) NLP_TRY(nlp_precision_find(o->precision, &precision, err));
    folder_of(o->source, path, sizeof path);
    name_of(o, name, sizeof name);
    nlp_mem_init(&mem, NULL, NULL, 0);
    report_progress(o, "reading", 0.05);
    if (nlp_adapter_is_folder(path)) return import_adapter(o, path, name, &mem, report, err);
    const nlp_model_choices choices = {o->pooling, o->chat_template};
    nlp_status status = nlp_model_folder_open(&folder, &mem, path, &choices, err);
    if (status == NLP_OK) status = make_pack(&folder, o, name, NLP_F32, NULL, &f32, err);
    if (status == NLP_OK) status = choose(&folder, o, name, &f32, &other, &precision, report, err);
    report_progress(o, "writing", 0.95);
    if (status == NLP_OK)
        status = finish(&folder, o, precision == NLP_F32 ? &f32 : &other, precision, report, err);
    nlp_pack_writer_close(f32.writer);
    nlp_pack_writer_close(other.writer);
    nlp_model_folder_close(&folder);
    return status;
}
