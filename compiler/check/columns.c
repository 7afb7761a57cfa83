/* columns.c -- the first line of a CSV file: which columns there are, where the file is at hand when compiling. */
#include "check/value.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

enum { LONGEST_HEADER = 1 << 16 };

static const Node *argument(const Node *call, const char *name, int place)
{
    for (int i = 1, k = 0; i < call->n; i++) {
        const Node *a = call->child[i];
        bool named = a->kind == NODE_ARG;
        if (named ? strcmp(a->text, name) == 0 : k++ == place)
            return named ? a->child[0] : a;
    }
    return NULL;
}

static char separator_of(const Node *call, const char *path)
{
    const Node *given = argument(call, "separator", 1);
    size_t n = strlen(path);

    if (given && given->kind == NODE_STRING)
        return strcmp(given->text, "tab") == 0 ? '\t' : *given->text;
    return n > 4 && strcmp(path + n - 4, ".tsv") == 0 ? '\t' : ',';
}

/* Beside the .nn file, or else where nnc was called, as the trainer looks for it. */
static FILE *open_beside(Checker *c, const char *path)
{
    const char *slash = strrchr(c->program->source, '/');
    FILE *f = NULL;

    if (*path != '/' && slash)
        f = fopen(arena_print(c->arena, "%.*s/%s", (int)(slash - c->program->source), c->program->source, path), "rb");
    return f ? f : fopen(path, "rb");
}

/* One cell of the header as a name: what no name can have becomes an underscore. */
static const char *cell_name(Checker *c, const char *s, size_t n)
{
    while (n && isspace((unsigned char)*s))
        s++, n--;
    while (n && isspace((unsigned char)s[n - 1]))
        n--;
    if (n > 1 && s[0] == '"' && s[n - 1] == '"')
        s++, n -= 2;
    char *name = arena_copy(c->arena, s, n);
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && (unsigned char)*p < 128)
            *p = '_';
    return name;
}

int csv_columns(Checker *c, const Node *call, const char ***names)
{
    const Node *path = argument(call, "path", 0);
    LIST(const char *) found = {0};
    static char line[LONGEST_HEADER];

    if (!path || path->kind != NODE_STRING)
        return -1;
    FILE *f = open_beside(c, path->text);
    if (!f) {
        warning_at(path->span, "cannot read \"%s\": %s", path->text, strerror(errno));
        help("the trainer needs it; its columns cannot be checked now");
        return -1;
    }
    errno = 0;
    char *s = fgets(line, sizeof line, f);
    if (!s && errno) /* a directory */
        warning_at(path->span, "cannot read \"%s\": %s", path->text, strerror(errno));
    fclose(f);
    if (!s || !strchr(s, '\n'))
        return -1;
    char separator = separator_of(call, path->text);
    if (!strncmp(s, "\xEF\xBB\xBF", 3))
        s += 3;
    for (char *end; *s; s = *end ? end + 1 : end) {
        for (end = s; *end && *end != separator && *end != '\n'; end++)
            if (*end == '"') /* a separator in quotes is none */
                for (end++; *end && *end != '"';)
                    end++;
        PUSH(c->arena, found, cell_name(c, s, (size_t)(end - s)));
        if (*end == '\n')
            break;
    }
    *names = found.at;
    return found.n;
}
