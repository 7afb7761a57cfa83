/* prelude.c -- of the C that models carry with them, the functions that this one needs.
 *
 * A text of the runtime is functions and what stands between them. A function begins with NN_INLINE or NN_LOCAL, after the
 * comment that stands right above it, and ends with the first brace at the beginning of a line, or on its only line. It is
 * needed if the model names it, or one that is needed does; what stands between functions stays, if any is needed. */
#include "base/embedded.h"
#include "emit/parts.h"

#include <ctype.h>

enum { LONGEST = 64 /* name, and more */ };

typedef struct Unit {
    const char *begin, *end;
    const char *name; /* of a function, or NULL */
    bool needed;
} Unit;

typedef struct Prelude {
    Arena *arena;
    LIST(Unit) units;
    Names names; /* of its functions: their numbers */
} Prelude;

static const char *text_of(const char *path)
{
    for (const Embedded *e = prelude_files; e->path; e++)
        if (strcmp(e->path, path) == 0)
            return e->text;
    bug("%s is not embedded", path);
}

static const char *next_line(const char *s)
{
    const char *end = strchr(s, '\n');

    return end ? end + 1 : s + strlen(s);
}

static bool begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

/* After the comment at s, if one is there and nothing else on its last line. */
static const char *after_comment(const char *s)
{
    const char *end = begins(s, "/*") ? strstr(s, "*/") : NULL;

    return end && end[2] == '\n' ? end + 3 : s;
}

static const char *function_end(const char *s)
{
    const char *first = next_line(s);

    return memchr(s, '{', (size_t)(first - s)) ? first : strstr(s, "\n}\n") + strlen("\n}\n");
}

static const char *function_name(Arena *a, const char *s)
{
    const char *end = strchr(s, '('), *begin = end;

    while (isalnum((unsigned char)begin[-1]) || begin[-1] == '_')
        begin--;
    return arena_copy(a, begin, (size_t)(end - begin));
}

static void read_units(Prelude *p, const char *s)
{
    while (*s) {
        const char *code = after_comment(s);
        Unit u = {.begin = s, .needed = true};
        if (begins(code, "NN_INLINE ") || begins(code, "NN_LOCAL ")) {
            u.name = function_name(p->arena, code);
            u.end = function_end(code);
            u.needed = false;
            names_add(p->arena, &p->names, u.name, p->units.n);
        } else {
            u.end = code > s ? code : next_line(s);
        }
        PUSH(p->arena, p->units, u);
        s = u.end;
    }
}

/* The functions that a text names, and those that they name. */
static void need(Prelude *p, const char *begin, const char *end)
{
    for (const char *s = begin; (s = memmem(s, (size_t)(end - s), "nn_", 3));) {
        char name[LONGEST] = "";
        const char *stop = s;
        for (int i = 0; isalnum((unsigned char)*stop) || *stop == '_'; i++, stop++)
            if (i + 1 < LONGEST)
                name[i] = *stop;
        int number = names_find(&p->names, name);
        if (number >= 0 && !p->units.at[number].needed) {
            p->units.at[number].needed = true;
            need(p, p->units.at[number].begin, p->units.at[number].end);
        }
        s = stop;
    }
}

static bool is_heading(const Unit *u) { return begins(u->begin, "/* ---- "); }

/* Nothing but blank lines up to the next one. */
static bool is_empty(const Prelude *p, int heading)
{
    for (int i = heading + 1; i < p->units.n && !is_heading(&p->units.at[i]); i++)
        if (p->units.at[i].needed && *p->units.at[i].begin != '\n')
            return false;
    return true;
}

/* There are functions, and none of them is needed. */
static bool is_unwanted(const Prelude *p)
{
    bool functions = false, needed = false;

    for (int i = 0; i < p->units.n; i++) {
        functions |= p->units.at[i].name != NULL;
        needed |= p->units.at[i].name && p->units.at[i].needed;
    }
    return functions && !needed;
}

static void print_units(Text *t, const Prelude *p)
{
    bool blank = false;

    text_print(t, "\n");
    for (int i = 0; i < p->units.n; i++) {
        const Unit *u = &p->units.at[i];
        if (!u->needed || (blank && *u->begin == '\n') || (is_heading(u) && is_empty(p, i)))
            continue;
        blank = *u->begin == '\n';
        text_add(t, u->begin, (size_t)(u->end - u->begin));
    }
}

void print_prelude(Text *t, const char *path, const char *model)
{
    Prelude p = {.arena = arena_new()};

    read_units(&p, text_of(path));
    need(&p, model, model + strlen(model));
    if (!is_unwanted(&p)) {
        for (int i = 0; i < p.units.n; i++)
            if (!p.units.at[i].name)
                need(&p, p.units.at[i].begin, p.units.at[i].end);
        print_units(t, &p);
    }
    arena_free(p.arena);
}
