/* share.c -- kernels that differ in numbers only become one function, which takes the numbers.
 *
 * Layers of one kind in many sizes have kernels that differ in bounds and strides: one function of each form is enough,
 * and every call says its sizes; so do tiles (parts.c), and then the kernels that call them. Sizes of arrays and of unrolled
 * loops stay in the form. */
#include "loops/build.h"
#include "loops/form.h"

/* A program with fewer functions keeps them apart. So do few functions that would leave the compiler no constants for the
 * addresses inside a tile: without, it runs out of registers. */
enum { FEW_FUNCTIONS = 128, FEW_TILES = 3, SMALL = 32 };

/* The sizes come last, and behind them doubles. */
static const char *with_parameters(Arena *a, Arena *scratch, const char *body, int sizes, int reals)
{
    const char *end = strstr(body, ")\n{");
    Text t = {.arena = scratch};

    for (int i = 0; i < sizes; i++)
        text_print(&t, ", long size%d", i);
    for (int i = 0; i < reals; i++)
        text_print(&t, ", double real%d", i);
    return arena_print(a, "%.*s%s%s", (int)(end - body), body, t.n ? t.s : "", end);
}

static void share(Arena *a, Arena *scratch, Form *const *forms, int n)
{
    Columns c;

    columns_make(&c, scratch, forms, n, SMALL);
    int sizes = columns_name(&c, "size");
    Function *one = NEW(a, Function);
    *one = *forms[0]->function;
    one->body = with_parameters(a, scratch, columns_text(&c, forms), sizes, c.reals.n);
    one->nsizes = sizes;
    one->nreals = c.reals.n;
    one->uses = 0;
    for (int i = 0; i < n; i++) {
        Function *x = forms[i]->function;
        x->shared = one;
        x->nsizes = sizes;
        x->size = NEW_ARRAY(a, int64_t, sizes);
        x->nreals = c.reals.n;
        x->real = NEW_ARRAY(a, const char *, c.reals.n);
        one->uses += x->uses;
        for (int k = 0; k < c.reals.n; k++)
            x->real[k] = arena_print(a, "%s", c.reals.at[k][i]);
        for (int k = 0, size = 0; k < c.list.n; k++)
            if (c.list.at[k].parameter)
                x->size[size++] = c.list.at[k].at[i];
    }
}

/* --- tiles --- */

/* A tile is used by functions that are. */
static void count_tiles_used(const Functions *all)
{
    for (int i = 0; i < all->list.n; i++)
        if (all->list.at[i]->is_tile)
            all->list.at[i]->uses = 0;
    for (int i = 0; i < all->list.n; i++)
        for (int k = 0; k < all->list.at[i]->ntiles && all->list.at[i]->uses > 0; k++)
            all->list.at[i]->tile[k]->uses++;
}

/* Calls of the tile are calls of the shared one, with its sizes. */
static const char *call_shared(Arena *a, const char *body, const Function *tile)
{
    const char *name = arena_print(a, "%c%s(", TILE_MARK, tile->name);
    Text t = {.arena = a};

    for (const char *call; (call = strstr(body, name));) {
        const char *end = strchr(call, ')');
        text_add(&t, body, (size_t)(call - body));
        text_print(&t, "%c%s", TILE_MARK, tile->shared->name);
        text_add(&t, call + strlen(name) - 1, (size_t)(end - call) - strlen(name) + 1);
        for (int i = 0; i < tile->nsizes; i++)
            text_print(&t, ", %lld", (long long)tile->size[i]);
        for (int i = 0; i < tile->nreals; i++)
            text_print(&t, ", %s", tile->real[i]);
        body = end;
    }
    text_print(&t, "%s", body);
    return t.s;
}

static void call_shared_tiles(const Functions *all)
{
    for (int i = 0; i < all->list.n; i++) {
        Function *f = all->list.at[i];
        for (int k = 0; k < f->ntiles; k++)
            if (f->tile[k]->shared)
                f->body = call_shared(all->arena, f->body, f->tile[k]);
    }
}

/* --- the door --- */

static bool same_steps(const Form *x, const Form *y)
{
    for (int k = 0; k < x->tokens.n; k++) {
        const Token *t = &x->tokens.at[k], *u = &y->tokens.at[k];
        if (t->step && (t->n != u->n || strncmp(t->s, u->s, (size_t)t->n) != 0))
            return false;
    }
    return true;
}

/* Of those from number i on, the ones like it; their count. */
static int find_alike(Form *forms, int n, int i, bool steps, Form **alike)
{
    int count = 0;

    for (int k = i; k < n; k++)
        if (!forms[k].done && form_same(&forms[i], &forms[k]) && (!steps || same_steps(&forms[i], &forms[k])))
            alike[count++] = &forms[k];
    return count;
}

static int count_steps(Form *const *alike, int n)
{
    int tiles = 0;

    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < i && !same_steps(alike[k], alike[i]))
            k++;
        tiles += k == i;
    }
    return tiles;
}

static void share_all(const Functions *all, bool tiles)
{
    Arena *scratch = arena_new();
    int n = 0;
    Form *forms = NEW_ARRAY(scratch, Form, all->list.n), **alike = NEW_ARRAY(scratch, Form *, all->list.n);

    for (int i = 0; i < all->list.n; i++)
        if (all->list.at[i]->uses > 0 && all->list.at[i]->is_tile == tiles)
            forms[n++].function = all->list.at[i];
    for (int i = 0; i < n; i++)
        form_read(scratch, &forms[i], forms[i].function->body, true);
    for (int i = 0; i < n; i++) {
        if (forms[i].done)
            continue;
        int count = find_alike(forms, n, i, false, alike);
        if (count_steps(alike, count) <= FEW_TILES)
            count = find_alike(forms, n, i, true, alike);
        for (int k = 0; k < count; k++)
            alike[k]->done = true;
        if (count > 1)
            share(all->arena, scratch, alike, count);
    }
    arena_free(scratch);
}

/* In the list the shared one stands where the first of its form stood. */
static void keep_shared(Functions *all)
{
    int n = 0;

    for (int i = 0; i < all->list.n; i++) {
        Function *f = all->list.at[i], *one = f->shared ? f->shared : f;
        if (one->name == f->name)
            all->list.at[n++] = one;
    }
    all->list.n = n;
}

void functions_share(Functions *all)
{
    int n = 0;

    count_tiles_used(all);
    for (int i = 0; i < all->list.n; i++)
        n += all->list.at[i]->uses > 0 && !all->list.at[i]->is_tile;
    if (n < FEW_FUNCTIONS)
        return;
    share_all(all, true);
    call_shared_tiles(all);
    share_all(all, false);
    Function **every = NEW_ARRAY(all->arena, Function *, all->list.n);
    n = all->list.n;
    memcpy(every, all->list.at, sizeof *every * (size_t)n);
    keep_shared(all);
    functions_common(all, every, n);
}
