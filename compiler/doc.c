/* doc.c -- nnc doc: the library as a list, and the text of one definition. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { COMMENT_COLUMN = 44, LINE = 110 };

typedef struct Search {
    Arena *arena;
    Text out;
    const char *name;  /* of a definition or a namespace; NULL: list everything */
    const char *space, *before; /* the namespace and the definition before */
    int found;
    LIST(const char *) names; /* for "did you mean" */
} Search;

/* conv(c, k, stride = 1) */
static const char *signature(Arena *a, const Node *d)
{
    Text t = {.arena = a};
    const Node *params = d->child[0];

    text_print(&t, "%s", d->text);
    for (int i = 0; i < params->n; i++) {
        text_print(&t, "%s%s", i ? ", " : "(", params->child[i]->text);
        if (params->child[i]->child[0]) {
            text_print(&t, " = ");
            tree_source(&t, params->child[i]->child[0]);
        }
    }
    text_print(&t, "%s", params->n ? ")" : "");
    return t.s;
}

/* The first sentence of a comment, or as much of its first line as there is room for. */
static void print_sentence(Text *t, const char *doc, int room)
{
    int line = (int)strcspn(doc, "\n"), n = 0;

    while (n < line && !(doc[n] == '.' && (doc[n + 1] == ' ' || n + 1 == line)))
        n++;
    if (n < line)
        n++; /* the full stop */
    bool cut = n > room;
    if (cut)
        for (n = room - 4; n > 0 && doc[n] != ' ';)
            n--;
    text_print(t, "%.*s%s", n, doc, cut ? " ..." : "");
}

static void list_definition(Search *s, const Node *d)
{
    const char *call = signature(s->arena, d);
    int length = (int)strlen(call) + 2;

    text_print(&s->out, "  %s", call);
    if (d->doc) {
        if (length + 2 > COMMENT_COLUMN)
            text_print(&s->out, "\n%*s", COMMENT_COLUMN, "");
        else
            text_print(&s->out, "%*s", COMMENT_COLUMN - length, "");
        print_sentence(&s->out, d->doc, LINE - COMMENT_COLUMN);
    }
    text_print(&s->out, "\n");
}

/* The definition as it stands in its file, the comment above it included. */
static void show_definition(Search *s, const char *space, const Node *d)
{
    const Source *source = source_get(d->span.file);
    const char *from = source->text + d->span.start, *to = source->text + d->span.end;

    text_print(&s->out, "%s# %s, in %s\n", s->found ? "\n" : "", space, source->path);
    while (*to && *to != '\n')
        to++; /* a comment at its end */
    while (from > source->text) {
        const char *above = from - 1;
        while (above > source->text && above[-1] != '\n')
            above--;
        if (above[strspn(above, " \t")] != '#')
            break;
        from = above;
    }
    text_add(&s->out, from, (size_t)(to - from));
    text_print(&s->out, "\n");
}

static void visit(void *data, const char *space, const Node *d)
{
    Search *s = data;
    bool all = !s->name || !strcmp(s->name, space);

    PUSH(s->arena, s->names, d->text);
    if (!s->space || strcmp(s->space, space)) {
        PUSH(s->arena, s->names, space);
        if (all)
            text_print(&s->out, "%s%s\n", s->found ? "\n" : "", space);
        s->space = space;
    }
    bool again = s->before && !strcmp(s->before, d->text); /* for an input of another rank */
    s->before = d->text;
    if (all && !again)
        list_definition(s, d);
    else if (all)
        return;
    else if (strcmp(s->name, d->text) != 0)
        return;
    else
        show_definition(s, space, d);
    s->found++;
}

int doc_show(Options *o, Arena *a)
{
    for (int i = 0; i < (o->words.n ? o->words.n : 1); i++) {
        Search s = {.arena = a, .out = {.arena = a}, .name = o->words.n ? o->words.at[i] : NULL};
        library_visit(visit, &s);
        if (s.name && !s.found) {
            const char *near = nearest(s.name, s.names.at, s.names.n);
            usage("the library has no '%s'", s.name);
            fprintf(stderr, near ? "  help: did you mean '%s'?\n" : "  help: nnc doc lists what it has%s\n", near ? near : "");
            return EXIT_USAGE;
        }
        output_text("-", &s.out);
    }
    return error_count() ? EXIT_BUG : EXIT_BUILT;
}
