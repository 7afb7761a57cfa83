/* common.c -- kernels that must know their numbers have their text in common.
 *
 * What share.c left apart differs in numbers that the C compiler must know: tiles, strides inside of them. The text becomes an
 * inline function that takes them as constants; one kernel calls it with the constants that are asked for. Tiles (parts.c) need no function of their own for
 * that: they are inline already. */
#include "loops/build.h"
#include "loops/form.h"

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

static const char *constants(const Group *g, int number)
{
    Text t = {.arena = g->scratch};

    for (int k = 0; k < g->columns.list.n; k++)
        if (g->columns.list.at[k].parameter)
            text_print(&t, "%lld, ", (long long)g->columns.list.at[k].at[number]);
    return t.n ? t.s : "";
}

/* Pointers of an inline function are those of the kernel, which says that they are apart. */
static const char *without_restrict(Arena *a, const char *s)
{
    Text t = {.arena = a};

    for (const char *word; (word = strstr(s, "restrict ")); s = word + strlen("restrict "))
        text_add(&t, s, (size_t)(word - s));
    text_print(&t, "%s", s);
    return t.s;
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
    *one = *first;
    one->body = arena_print(g->arena, "(%s%s", head.n ? head.s : "", without_restrict(g->scratch, columns_text(&g->columns, g->forms)) + 1);
    one->is_tile = true;
    for (int i = 2; names_find(&all->names, one->name) >= 0; i++)
        one->name = arena_print(g->arena, i == 2 ? "%s_any" : "%s_any_%d", first->name, i - 1);
    names_add(g->arena, &all->names, one->name, 0);
    return one;
}

/* The head of a kernel with one more number: which set of constants it is to take. Doubles stay last. */
static const char *head_of(Arena *a, const char *body)
{
    int head = (int)(strchr(body, ')') - body), sizes = head;
    const char *real = strstr(body, ", double real");

    if (real && real < body + head)
        sizes = (int)(real - body);
    return arena_print(a, "%.*s, long which%.*s)", sizes, body, head - sizes, body + sizes);
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
    one->nsizes = first->nsizes + 1;
    for (int i = 0; i < g->n; i++) {
        Function *f = g->forms[i]->function;
        text_print(&calls, i + 1 < g->n ? "  case %d: " : "  default: ", i);
        text_print(&calls, "%c%s(%s%s); break;\n", TILE_MARK, common->name, constants(g, i), argument_names(g->scratch, first->body));
        one->uses += f->uses;
        f->shared = one;
        f->which = i;
    }
    one->body = arena_print(g->arena, "%s\n{\n  switch (which) {\n%s  }\n}\n", head_of(g->scratch, first->body), calls.s);
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

/* What stands for a tile that is no more. */
typedef struct Instead {
    const char *name, *constants;
} Instead;

typedef struct Gone {
    Names names; /* of tiles, by number in the list */
    LIST(Instead) list;
} Gone;

static const char *call_instead(Arena *a, Arena *scratch, const Gone *gone, const char *body)
{
    Text t = {.arena = scratch};
    const char *s = body;

    for (const char *mark; (mark = strchr(s, TILE_MARK));) {
        size_t n = strcspn(mark, "(");
        int number = names_find(&gone->names, arena_copy(scratch, mark + 1, n - 1));
        text_add(&t, s, (size_t)(mark - s));
        if (number >= 0)
            text_print(&t, "%c%s(%s", TILE_MARK, gone->list.at[number].name, gone->list.at[number].constants);
        else
            text_add(&t, mark, n + 1);
        s = mark + n + 1;
    }
    return s == body ? body : arena_print(a, "%s%s", t.s, s);
}

static void call_common_tiles(const Group *g, const Function *one, Gone *gone)
{
    for (int i = 0; i < g->n; i++) {
        Function *f = g->forms[i]->function;
        f->uses = 0;
        names_add(g->scratch, &gone->names, f->name, gone->list.n);
        PUSH(g->scratch, gone->list, ((Instead){one->name, constants(g, i)}));
    }
}

/* --- the door --- */

static void find_alike(Group *g, Form *form, int n, int i)
{
    g->n = 0;
    for (int k = i; k < n && !form[i].done; k++)
        if (!form[k].done && (k == i || form_same(&form[i], &form[k]))) {
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
            form_read(scratch, &form[i], old[i]->body, false);
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
    int sizes = f == one ? 0 : f->nsizes;
    int64_t *size = NEW_ARRAY(a, int64_t, sizes + 1);

    for (int i = 0; i < sizes; i++)
        size[i] = f->size[i];
    size[sizes] = one->which;
    f->shared = one->shared;
    f->size = size;
    f->nsizes = sizes + 1;
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
