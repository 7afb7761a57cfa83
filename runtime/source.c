/* source.c -- see source.h. */
#include "source.h"

#include "file.h"
#include "settings.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A reader's call that may be changed: there is room for one more part. */
typedef struct Source {
    nn_value call;
    nn_value *parts;
    char (*paths)[PATH_MAX]; /* of files in a folder that was given, a row a part */
} Source;

static bool source_copy(const nn_value *call, Source *s, Fault *f)
{
    s->call = *call;
    s->parts = nn_new(f, "the data section", (size_t)call->n + 1, sizeof *s->parts);
    s->paths = nn_new(f, "the data section", (size_t)call->n + 1, sizeof *s->paths);
    for (int i = 0; i < call->n && s->parts != NULL; i++)
        s->parts[i] = call->parts[i];
    s->call.parts = s->parts;
    return s->parts != NULL && s->paths != NULL;
}

/* Relative paths are looked for as nn_data_open will look for them. */
static bool is_folder(const char *path, const char *directory)
{
    char beside[PATH_MAX];

    snprintf(beside, sizeof beside, "%s/%s", directory, path);
    return (path[0] != '/' && nn_folder_exists(beside)) || nn_folder_exists(path);
}

static void put_folder(Source *s, const char *folder)
{
    const char *name;

    for (int i = 0; i < s->call.n; i++) {
        const char *old = s->parts[i].text, *slash;

        if (nn_data_path(&s->call, i, &name) != DATA_FILE || s->parts[i].kind != NN_TEXT)
            continue;
        slash = strrchr(old, '/');
        snprintf(s->paths[i], sizeof s->paths[i], "%s/%s", folder, slash != NULL ? slash + 1 : old);
        s->parts[i].text = s->paths[i];
    }
}

static bool fail_path(const nn_program *p, const Source *s, const char *given, const char *name, Fault *f)
{
    char known[400] = "";
    size_t n = 0;

    for (int i = 0; i < s->call.n && n < sizeof known; i++) {
        const char *part;

        if (nn_data_path(&s->call, i, &part) != DATA_NO_PATH)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n > 0 ? ", " : "", part);
    }
    if (n == 0)
        return nn_fail(f, EXIT_USAGE, "--data=%s: the data section %s(...) has no path", given, s->call.text);
    return nn_fail(f, EXIT_USAGE, "--data=%s: the data section %s(...) has no path '%s'; say --data PATH%s%s%s, or name one of: %s",
                   given, s->call.text, name, p->data_name != NULL ? ", --data " : "", p->data_name != NULL ? p->data_name : "",
                   p->data_name != NULL ? "=PATH" : "", known);
}

static bool source_replace(const nn_program *p, Source *s, const char *given, const char *directory, Fault *f)
{
    const char *equals = strchr(given, '='), *path = equals != NULL ? equals + 1 : given, *part;
    char name[100] = "";
    int first = -1, named = -1;

    if (equals != NULL)
        snprintf(name, sizeof name, "%.*s", (int)(equals - given), given);
    if (path[0] == '\0')
        return nn_fail(f, EXIT_USAGE, "--data=%s names no path", given);
    if (s->call.n == 0 && nn_data_path(&s->call, 0, &part) != DATA_NO_PATH) { /* fashion_mnist() */
        s->call.n = 1;
        s->parts[0] = (nn_value){.kind = NN_TEXT};
    }
    for (int i = s->call.n; i-- > 0;) {
        if (nn_data_path(&s->call, i, &part) == DATA_NO_PATH)
            continue;
        first = i;
        if (strcmp(part, name) == 0)
            named = i;
    }
    if (named < 0 && (name[0] == '\0' || (p->data_name != NULL && strcmp(p->data_name, name) == 0))) {
        if (first >= 0 && nn_data_path(&s->call, first, &part) == DATA_FILE && is_folder(path, directory)) {
            put_folder(s, path);
            return true;
        }
        named = first;
    }
    if (named < 0)
        return fail_path(p, s, given, name, f);
    s->parts[named].text = path;
    return true;
}

static bool open_call(const nn_program *p, const nn_setting *s, const nn_value *call, const char *directory, Data *data, Fault *f)
{
    Fault why = {0};

    return nn_data_open(call, directory, data, &why) ||
           nn_fail(f, why.status, "%s:%d:%d: %s", p->source, s->line, s->column, why.text);
}

bool nn_source_open(const nn_program *p, const Options *o, Data *data, Fault *f)
{
    const nn_setting *s = nn_setting_find(p->data, p->ndata, "source");
    const char *directory = p->directory != NULL ? p->directory : ".";
    Source around = {0}, reader = {0};
    bool within, fine;

    if (s == NULL || s->value.kind != NN_CALL)
        return nn_fail(f, EXIT_USAGE, "%s has no data section to train on", p->source);
    within = s->value.n > 0 && s->value.parts[0].kind == NN_CALL; /* pairs(mnist("folder")): the paths are mnist's */
    fine = source_copy(&s->value, &around, f) && source_copy(within ? &s->value.parts[0] : &s->value, &reader, f);
    for (int i = 0; i < o->ndata && fine; i++)
        fine = source_replace(p, &reader, o->data[i], directory, f);
    if (fine && within)
        around.parts[0] = reader.call;
    fine = fine && open_call(p, s, within ? &around.call : &reader.call, directory, data, f);
    free(around.parts);
    free(around.paths);
    free(reader.parts);
    free(reader.paths);
    return fine;
}
