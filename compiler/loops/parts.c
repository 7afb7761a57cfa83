/* parts.c -- parts of a result that differ in numbers only call one function.
 *
 * The last tile of an index is smaller than the others, the last vector of a row is not full, the last strip is shorter:
 * inside of the loops over the result stands the same text for each part, with other numbers. Where there are several parts
 * it is an inline function, to which they give their numbers as constants: what the C compiler makes of it is the same. */
#include "loops/nest.h"

#include "loops/form.h"

#include <stdlib.h>

enum { PART_MARK = 1 }; /* in the text of a kernel: here stands part number ... */

Text part_begin(Nest *n, int *depth)
{
    Text outside = n->out;

    n->out = (Text){.arena = n->b->arena};
    *depth = n->depth;
    n->depth = 0;
    return outside;
}

void part_end(Nest *n, const Text *outside, int depth)
{
    Inside x = {.text = n->out.s, .partial = n->partial};

    memcpy(x.tile, n->tile, sizeof x.tile);
    memcpy(x.strip, n->strip, sizeof x.strip);
    PUSH(n->b->arena, n->parts, x);
    n->out = *outside;
    n->depth = depth;
    line(&n->out, n->depth, "%c%d", PART_MARK, n->parts.n - 1);
}

/* --- the function of a tile --- */

/* The lines of a part, at the depth of its mark. */
static const char *indented(Arena *a, const char *text, int depth)
{
    Text t = {.arena = a};

    for (const char *end; *text; text = end) {
        end = strchr(text, '\n') + 1;
        text_print(&t, "%*s", 2 * depth, "");
        text_add(&t, text, (size_t)(end - text));
    }
    return t.n ? t.s : "";
}

static bool uses_name(const Form *f, const char *name)
{
    for (int i = 0; i < f->tokens.n; i++)
        if (f->tokens.at[i].kind == TOKEN_TEXT && token_is(&f->tokens.at[i], name))
            return true;
    return false;
}

typedef struct Header {
    const Form *form;
    Text parameters, arguments;
} Header;

static void add_parameter(Header *h, const char *type, const char *name)
{
    const char *comma = h->parameters.n ? ", " : "";

    if (!uses_name(h->form, name))
        return;
    text_print(&h->parameters, "%s%s%s", comma, type, name);
    text_print(&h->arguments, "%s%s", comma, name);
}

/* What the part takes from the loops around it. */
static void add_outside(Header *h, const Nest *n)
{
    Arena *a = n->b->arena;
    const Kernel *k = n->k;

    for (int i = 0; i < k->nargs; i++)
        add_parameter(h, arena_print(a, "%s%s *", k->writes[i] ? "" : "const ", element_type(k->arg[i])), n->arg_name[i]);
    for (int i = 0; i < n->nkeys; i++)
        add_parameter(h, "uint32_t ", arena_print(a, "key%d", i));
    add_parameter(h, "long ", "n");
    add_parameter(h, "long ", "blocks");
    add_parameter(h, "long ", "block");
    for (int i = 0; i < n->nvars; i++) {
        add_parameter(h, "long ", n->var[i].name);
        add_parameter(h, "long ", arena_print(a, "%s_first", n->var[i].name));
    }
}

static int64_t *of_parts(const Nest *n, const int *part, int count, int64_t number(const Inside *x, int k), int k)
{
    int64_t *at = NEW_ARRAY(n->b->arena, int64_t, count);

    for (int i = 0; i < count; i++)
        at[i] = number(&n->parts.at[part[i]], k);
    return at;
}

static int64_t tile_of(const Inside *x, int d) { return x->tile[d]; }
static int64_t strip_of(const Inside *x, int k) { return x->strip[k]; }
static int64_t lanes_in(const Inside *x, int k) { return k == 0 ? x->partial : 0; }

static void name_numbers(Columns *c, Nest *n, const int *part, int count)
{
    Arena *a = n->b->arena;

    for (int d = 0; d < n->c->ntiles; d++)
        columns_call(c, of_parts(n, part, count, tile_of, d), nest_fresh_name(n, arena_print(a, "%stile", n->step_name[d])));
    columns_call(c, of_parts(n, part, count, lanes_in, 0), nest_fresh_name(n, "lanes"));
    for (int k = 0; k < STRIPS; k++)
        columns_call(c, of_parts(n, part, count, strip_of, k), arena_print(a, "strip%d", k));
}

/* Its parts call it instead. */
static Function *make_tile(Nest *n, Arena *scratch, const char *name, Form *const *forms, const int *part, int count)
{
    Columns c;
    Header h = {forms[0], {.arena = scratch}, {.arena = scratch}};
    Text constants = {.arena = scratch};

    columns_make(&c, scratch, forms, count, 0);
    name_numbers(&c, n, part, count);
    columns_name(&c, "count");
    for (int k = 0; k < c.list.n; k++)
        if (c.list.at[k].parameter)
            text_print(&constants, "const int %s, ", c.list.at[k].text);
    add_outside(&h, n);
    Function *f = tile_function(n->b, name, arena_print(n->b->functions->arena, "(%s%s)\n{\n%s}\n", constants.n ? constants.s : "",
                                                        h.parameters.s, indented(scratch, columns_text(&c, forms), 1)));
    for (int i = 0; i < count; i++) {
        Text call = {.arena = scratch};
        for (int k = 0; k < c.list.n; k++)
            if (c.list.at[k].parameter)
                text_print(&call, "%lld, ", (long long)c.list.at[k].at[i]);
        n->parts.at[part[i]].text = arena_print(scratch, "%c%s(%s%s);\n", TILE_MARK, f->name, call.n ? call.s : "", h.arguments.s);
    }
    return f;
}

/* --- the door --- */

/* Of the parts from number i on, those like it; their count. */
static int find_alike(Form *forms, int n, int i, Form **alike, int *part)
{
    int count = 0;

    for (int k = i; k < n; k++)
        if (!forms[k].done && form_same(&forms[i], &forms[k])) {
            alike[count] = &forms[k];
            part[count++] = k;
            forms[k].done = true;
        }
    return count;
}

static void make_tiles(Nest *n, Arena *scratch, const char *name, Tiles *tiles)
{
    enum { WORTH = 300 }; /* letters: a function has a head */
    int parts = n->parts.n, *part = NEW_ARRAY(scratch, int, parts);
    Form *forms = NEW_ARRAY(scratch, Form, parts), **alike = NEW_ARRAY(scratch, Form *, parts);

    for (int i = 0; i < parts; i++)
        form_read(scratch, &forms[i], n->parts.at[i].text, false);
    for (int i = 0; i < parts; i++) {
        int count = forms[i].done ? 0 : find_alike(forms, parts, i, alike, part);
        if ((count - 1) * (int)strlen(n->parts.at[i].text) > WORTH)
            PUSH(n->b->functions->arena, *tiles, make_tile(n, scratch, name, alike, part, count));
    }
}

const char *parts_join(Nest *n, Arena *scratch, const char *name, Tiles *tiles)
{
    Text t = {.arena = scratch};

    if (n->parts.n > 1)
        make_tiles(n, scratch, name, tiles);
    for (const char *s = n->out.s, *end; *s; s = end) {
        size_t blanks = strspn(s, " ");
        end = strchr(s, '\n') + 1;
        if (s[blanks] == PART_MARK)
            text_print(&t, "%s", indented(scratch, n->parts.at[atoi(s + blanks + 1)].text, (int)blanks / 2));
        else
            text_add(&t, s, (size_t)(end - s));
    }
    return t.s;
}
