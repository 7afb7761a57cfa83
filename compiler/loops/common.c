/* common.c -- kernels that must know their numbers have their text in common.
 *
 * What share.c left apart differs in numbers that the C compiler must know: tiles, strides inside of them. The text becomes an
 * inline function that takes them as constants; one kernel calls it with the constants that are asked for. Tiles (parts.c) need no function of their own for
 * that: they are inline already. */
#include "loops/build.h"
#include "loops/form.h"

#include <stdlib.h>

enum { SMALL = 32, CALL = 100 /* letters */ };

typedef struct Group {
    Arena *arena, *scratch;
    Form **forms;
    int n;
    Columns columns;
} Group;

/* The names of the parameters, with commas between them. */
static const char *argument_names(Arena *a, const char *body)
{
    Text t = {.arena = a};
    const char *end = strchr(body, ')');

    for (const char *s = body + 1, *stop; s < end; s = stop + 1) {
        const char *name = stop = s + strcspn(s, ",)");
        while (name[-1] != ' ' && name[-1] != '*')
            name--;
        text_print(&t, "%s%.*s", t.n ? ", " : "", (int)(stop - name), name);
    }
    return t.n ? t.s : "";
}

/* What a form gives to the parameters; in its own parameters, where it has some. */
static const char *constants(const Group *g, int number)
{
    Text t = {.arena = g->scratch};

    for (int k = 0; k < g->columns.list.n; k++)
        if (g->columns.list.at[k].parameter)
            text_print(&t, "%lld, ", (long long)g->columns.list.at[k].at[number]);
    for (int k = 0; k < g->columns.named.n; k++)
        if (g->columns.named.at[k].parameter)
            text_print(&t, "%s, ", g->columns.named.at[k].at[number]);
    return t.n ? t.s : "";
}

/* Pointers of an inline function are those of the kernel, which says that they are apart. */
static const char *without_restrict(Arena *a, const char *s)
{
    static const char *const words[][2] = {{"restrict ", ""}, {"nn_in ", "const float *"}, {"nn_out ", "float *"}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        Text t = {.arena = a};
        for (const char *word; (word = strstr(s, words[i][0])); s = word + strlen(words[i][0])) {
            text_add(&t, s, (size_t)(word - s));
            text_print(&t, "%s", words[i][1]);
        }
        text_print(&t, "%s", s);
        s = t.s;
    }
    return s;
}

static Function *make_common(Group *g, Functions *all)
{
    Function *one = NEW(g->arena, Function);
    const Function *first = g->forms[0]->function;
    const char *prefix = "number";
    Text head = {.arena = g->scratch};

    while (strstr(first->body, prefix))
        prefix = arena_print(g->scratch, "%s_", prefix);
    columns_make(&g->columns, g->scratch, g->forms, g->n, SMALL);
    columns_name(&g->columns, prefix);
    for (int k = 0; k < g->columns.list.n; k++)
        if (g->columns.list.at[k].parameter)
            text_print(&head, "const long %s, ", g->columns.list.at[k].text);
    for (int k = 0; k < g->columns.named.n; k++)
        if (g->columns.named.at[k].parameter)
            text_print(&head, "const long %s, ", g->columns.named.at[k].text);
    *one = *first;
    one->body = arena_print(g->arena, "(%s%s", head.n ? head.s : "", without_restrict(g->scratch, columns_text(&g->columns, g->forms)) + 1);
    one->is_tile = true;
    for (int i = 2; names_find(&all->names, one->name) >= 0; i++)
        one->name = arena_print(g->arena, i == 2 ? "%s_any" : "%s_any_%d", first->name, i - 1);
    names_add(g->arena, &all->names, one->name, 0);
    return one;
}

static int most_sizes(const Group *g)
{
    int most = 0;

    for (int i = 0; i < g->n; i++)
        most = g->forms[i]->function->nsizes > most ? g->forms[i]->function->nsizes : most;
    return most;
}

/* The head of a kernel with the sizes of all, and one more number: which set of constants it is to take. Doubles stay last. */
static const char *head_of(const Group *g)
{
    const char *body = g->forms[0]->text, *real = strstr(body, ", double real");
    int head = (int)(strchr(body, ')') - body), sizes = head;
    Text t = {.arena = g->scratch};

    if (real && real < body + head)
        sizes = (int)(real - body);
    text_add(&t, body, (size_t)sizes);
    for (int i = 0; i < most_sizes(g); i++)
        text_print(&t, ", long size%d", i);
    text_print(&t, ", long which%.*s)", head - sizes, body + sizes);
    return t.s;
}

/* One kernel for all, which calls the common function with the constants of each. */
static Function *call_common(const Group *g, const Function *common)
{
    Function *one = NEW(g->arena, Function);
    Text calls = {.arena = g->scratch};
    const Function *first = g->forms[0]->function;

    *one = *first;
    one->text = "";
    one->uses = 0;
    one->nsizes = most_sizes(g) + 1;
    for (int i = 0; i < g->n; i++) {
        Function *f = g->forms[i]->function;
        text_print(&calls, i + 1 < g->n ? "  case %d: " : "  default: ", i);
        text_print(&calls, "%c%s(%s%s); break;\n", TILE_MARK, common->name, constants(g, i), argument_names(g->scratch, g->forms[0]->text));
        one->uses += f->uses;
        f->shared = one;
        f->which = i;
    }
    one->body = arena_print(g->arena, "%s\n{\n  switch (which) {\n%s  }\n}\n", head_of(g), calls.s);
    return one;
}

static bool is_worth(const Group *g)
{
    int64_t saved = 0, spent = 0;

    for (int i = 0; i < g->n; i++) {
        const char *body = g->forms[i]->function->body;
        saved += i > 0 ? (int64_t)strlen(body) : 0;
        spent += (i == 0 ? strchr(body, ')') - body : 0) + CALL;
    }
    return saved > spent;
}

/* --- tiles --- */

/* A tile that is no more: what stands for it, and what that is given. */
typedef struct Instead {
    const char *name, *constants;
    const Function *tile;
} Instead;

typedef struct Gone {
    Names names; /* of tiles, by number in the list */
    LIST(Instead) list;
} Gone;

/* Parameters of the tile, by their names, as a call gives them. */
typedef struct Call {
    Arena *arena;
    LIST(const char *) names, given;
    LIST(bool) number;
} Call;

/* The next of them, up to a comma or to the end of all. */
static const char *next_argument(Arena *a, const char **s)
{
    const char *begin = *s;
    size_t n = 0;

    for (int depth = 0; depth > 0 || !strchr(",)", begin[n]); n++)
        depth += (begin[n] == '(') - (begin[n] == ')');
    *s += n + (begin[n] == ',' ? 2 : 0);
    return arena_copy(a, begin, n);
}

/* Returns the end of the arguments. */
static const char *read_call(Call *c, const Function *tile, const char *arguments)
{
    Form form = {0};

    form_read_function(c->arena, &form, tile->body);
    for (const char *s = tile->body + 1; *s != ')';) {
        const char *parameter = next_argument(c->arena, &s), *name = parameter + strlen(parameter);
        bool number = false;
        while (name > parameter && name[-1] != ' ' && name[-1] != '*')
            name--;
        for (int i = 0; i < form.parameters.n; i++)
            number |= strcmp(form.parameters.at[i], name) == 0;
        PUSH(c->arena, c->names, name);
        PUSH(c->arena, c->given, next_argument(c->arena, &arguments));
        PUSH(c->arena, c->number, number);
    }
    return arguments;
}

/* What is written in the tile's parameters, as the call gives them. */
static const char *as_given(const Call *c, const char *s)
{
    Text t = {.arena = c->arena};

    while (*s) {
        size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz_0123456789");
        const char *name = arena_copy(c->arena, s, n), *is = n ? name : arena_copy(c->arena, s, n = 1);
        for (int i = 0; i < c->names.n; i++)
            if (strcmp(c->names.at[i], name) == 0)
                is = c->given.at[i];
        text_print(&t, "%s", is);
        s += n;
    }
    return t.n ? t.s : "";
}

/* A sum of products of numbers and of such sums in parentheses. */
static int64_t sum_of(const char **s)
{
    int64_t sum = 0, product = 1;

    for (bool minus = false;; *s += 3) {
        if (**s == '(') {
            ++*s;
            product *= sum_of(s);
            ++*s;
        } else {
            product *= strtoll(*s, (char **)s, 10);
        }
        if (**s == ' ' && (*s)[1] == '*')
            continue;
        sum += minus ? -product : product;
        if (**s != ' ')
            return sum;
        product = 1;
        minus = (*s)[1] == '-';
    }
}

/* What numbers alone are in is worked out, so that kernels are alike that have the same numbers. */
static const char *worked_out(Arena *a, const char *text)
{
    Text t = {.arena = a};

    for (const char *s = text; *s;) {
        if (*s == '(' && s[strspn(s, "()0123456789 +-*")] == ',')
            text_print(&t, "%lld", (long long)sum_of(&s));
        else
            text_add(&t, s++, 1);
    }
    return t.n ? t.s : "";
}

static const char *call_instead(Arena *a, Arena *scratch, const Gone *gone, const char *body)
{
    Text t = {.arena = scratch};
    const char *s = body;

    for (const char *mark; (mark = strchr(s, TILE_MARK));) {
        size_t n = strcspn(mark, "(");
        int number = names_find(&gone->names, arena_copy(scratch, mark + 1, n - 1));
        text_add(&t, s, (size_t)(mark - s));
        s = mark + n + 1;
        if (number < 0) {
            text_add(&t, mark, n + 1);
            continue;
        }
        const Instead *x = &gone->list.at[number];
        Call c = {.arena = scratch};
        s = read_call(&c, x->tile, s);
        text_print(&t, "%c%s(%s", TILE_MARK, x->name, worked_out(scratch, as_given(&c, x->constants)));
        for (int i = 0, first = 1; i < c.names.n; i++)
            if (!c.number.at[i]) {
                text_print(&t, "%s%s", first ? "" : ", ", c.given.at[i]);
                first = 0;
            }
    }
    return s == body ? body : arena_print(a, "%s%s", t.s, s);
}

static void call_common_tiles(const Group *g, const Function *one, Gone *gone)
{
    for (int i = 0; i < g->n; i++) {
        Function *f = g->forms[i]->function;
        f->uses = 0;
        names_add(g->scratch, &gone->names, f->name, gone->list.n);
        PUSH(g->scratch, gone->list, ((Instead){one->name, constants(g, i), f}));
    }
}

/* --- the door --- */

static void find_alike(Group *g, Form *form, int n, int i)
{
    g->n = 0;
    for (int k = i; k < n && !form[i].done; k++)
        if (!form[k].done && !form[k].odd && (k == i || form_same(&form[i], &form[k]))) {
            g->forms[g->n++] = &form[k];
            if (k > i)
                form[k].done = true;
        }
}

static void make_all_common(Functions *all, bool tiles)
{
    Arena *scratch = arena_new();
    int n = all->list.n;
    Function **old = all->list.at;
    Form *form = NEW_ARRAY(scratch, Form, n);
    Group g = {.arena = all->arena, .scratch = scratch, .forms = NEW_ARRAY(scratch, Form *, n)};
    Gone gone = {0};

    for (int i = 0; i < n; i++) {
        form[i].function = old[i];
        form[i].done = old[i]->is_tile != tiles || old[i]->uses == 0;
        if (!form[i].done)
            form_read_function(scratch, &form[i], old[i]->body);
    }
    memset(&all->list, 0, sizeof all->list);
    for (int i = 0; i < n; i++) {
        find_alike(&g, form, n, i);
        if (g.n > 1 && (tiles || is_worth(&g))) {
            Function *one = make_common(&g, all);
            PUSH(all->arena, all->list, one);
            if (tiles)
                call_common_tiles(&g, one, &gone);
            else
                PUSH(all->arena, all->list, call_common(&g, one));
        }
        if (old[i]->uses > 0 && !old[i]->shared)
            PUSH(all->arena, all->list, old[i]);
    }
    for (int i = 0; i < all->list.n && tiles; i++)
        all->list.at[i]->body = call_instead(all->arena, scratch, &gone, all->list.at[i]->body);
    arena_free(scratch);
}

/* Functions that share one which is in common now. */
static void follow(Arena *a, Function *f, const Function *one)
{
    int sizes = f == one ? 0 : f->nsizes, all = one->shared->nsizes;
    int64_t *size = NEW_ARRAY(a, int64_t, all);

    for (int i = 0; i < sizes; i++)
        size[i] = f->size[i];
    size[all - 1] = one->which;
    f->shared = one->shared;
    f->size = size;
    f->nsizes = all;
}

void functions_common(Functions *all, Function **every, int n)
{
    const Function **one = NEW_ARRAY(all->arena, const Function *, n);

    for (int i = 0; i < n; i++)
        one[i] = every[i]->shared ? every[i]->shared : every[i];
    make_all_common(all, true);
    make_all_common(all, false);
    for (int i = 0; i < n; i++)
        if (one[i]->shared && !one[i]->is_tile)
            follow(all->arena, every[i], one[i]);
}
