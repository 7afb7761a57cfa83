/* cases.c -- reads golden files; their format is told at the top of goldens.py. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>

static char *file_text(Arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0, room = 1 << 22;

    if (!f)
        return NULL;
    char *s = arena_alloc(a, room);
    n = fread(s, 1, room - 1, f);
    fclose(f);
    if (n == room - 1)
        bug("%s is larger than expected", path);
    s[n] = 0;
    return s;
}

static bool named(const char *key)
{
    static const char *const keys[] = {"input", "label", "param", "state", "next", "grad"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static void row_add(Arena *a, Case *c, const char *key, char *rest)
{
    Row r = {.key = key, .name = "", .n = 1};
    char *save = rest;

    if (named(key))
        r.name = strtok_r(NULL, " ", &save);
    if (strcmp(key, "rates") != 0 && strcmp(key, "valid") != 0) {
        char *s = strtok_r(NULL, " ", &save);
        do {
            r.size[r.rank++] = strtol(s, &s, 10);
            r.n *= r.size[r.rank - 1];
        } while (*s++ == 'x');
    } else {
        r.n = 0;
        for (const char *s = save; *s; s++)
            r.n += (s == save || s[-1] == ' ') && *s != ' ';
        r.rank = 1;
        r.size[0] = r.n;
    }
    r.v = NEW_ARRAY(a, double, r.n);
    for (int64_t i = 0; i < r.n; i++) {
        const char *w = strtok_r(NULL, " ", &save);
        if (!w)
            bug("%s, %s %s: %lld numbers expected", c->name, key, r.name, (long long)r.n);
        r.v[i] = strtod(w, NULL);
    }
    PUSH(a, c->rows, r);
}

bool cases_read(Arena *a, const char *path, Cases *out)
{
    char *text = file_text(a, path), *lines;
    Case *c = NULL;

    if (!text)
        return false;
    for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
        if (*line == '#')
            continue;
        char *rest = strchr(line, ' ');
        if (rest)
            *rest++ = 0;
        else
            rest = line + strlen(line);
        if (strcmp(line, "case") == 0) {
            c = NEW(a, Case);
            c->name = rest;
            c->define.arena = a;
            PUSH(a, *out, c);
        } else if (!c) {
            bug("%s begins without a case", path);
        } else if (strcmp(line, "kind") == 0) {
            c->kind = rest;
        } else if (strcmp(line, "expr") == 0) {
            c->expr = rest;
        } else if (strcmp(line, "define") == 0) {
            text_print(&c->define, "%s\n", rest);
        } else if (strcmp(line, "classes") == 0) {
            c->classes = atoi(rest);
        } else if (strcmp(line, "training") == 0) {
            c->training = true;
        } else if (strcmp(line, "lr") == 0) {
            c->lr = strtod(rest, NULL);
        } else if (strcmp(line, "clock") == 0) {
            c->per_epoch = (int)strtol(rest, &rest, 10);
            c->total = (int)strtol(rest, NULL, 10);
        } else {
            row_add(a, c, line, rest);
        }
    }
    return true;
}

const Row *case_row(const Case *c, const char *key, const char *name)
{
    for (int i = 0; i < c->rows.n; i++)
        if (strcmp(c->rows.at[i].key, key) == 0 && (!name || strcmp(c->rows.at[i].name, name) == 0))
            return &c->rows.at[i];
    return NULL;
}
