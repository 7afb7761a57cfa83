/* columns.c -- the numbers in which texts of one form differ.
 *
 * What all have in common stays in the text, what always goes together is one parameter, and what follows from others
 * (2 * a + 3, a * b) is computed. */
#include "loops/form.h"

#include <stdlib.h>

static int compare_columns(const Columns *c, const int64_t *x, const int64_t *y)
{
    for (int i = 0; i < c->forms; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* y = a * x + b, with whole a > 0 and a small b: with a large one it would be chance. */
static bool is_affine(const Columns *c, const int64_t *x, const int64_t *y, int64_t *a, int64_t *b)
{
    int k = 1;

    while (k < c->forms && x[k] == x[0])
        k++;
    if (k == c->forms || (y[k] - y[0]) % (x[k] - x[0]) != 0)
        return false;
    *a = (y[k] - y[0]) / (x[k] - x[0]);
    *b = y[0] - *a * x[0];
    for (int i = 0; i < c->forms; i++)
        if (y[i] != *a * x[i] + *b)
            return false;
    return *a > 0 && *b >= -c->most && *b <= c->most;
}

/* y = a * x * z. */
static bool is_product(const Columns *c, const int64_t *x, const int64_t *z, const int64_t *y, int64_t *a)
{
    if (x[0] * z[0] == 0 || y[0] % (x[0] * z[0]) != 0)
        return false;
    *a = y[0] / (x[0] * z[0]);
    for (int i = 0; i < c->forms; i++)
        if (y[i] != *a * x[i] * z[i])
            return false;
    return *a > 0;
}

static const char *scaled(Arena *a, int64_t by, const char *x)
{
    return by == 1 ? x : arena_print(a, "%lld * %s", (long long)by, x);
}

static const char *sum_text(Arena *a, int64_t by, const char *x, int64_t plus)
{
    const char *product = scaled(a, by, x);

    return plus ? arena_print(a, "(%s %c %lld)", product, plus < 0 ? '-' : '+', (long long)(plus < 0 ? -plus : plus))
                : arena_print(a, by == 1 ? "%s" : "(%s)", product);
}

/* Number k from columns that have a text, or NULL. */
static const char *derived(const Columns *c, int k)
{
    const Column *x = c->list.at;
    int64_t by, plus;

    for (int i = 0; i < c->list.n; i++)
        if (x[i].text && is_affine(c, x[i].at, x[k].at, &by, &plus))
            return sum_text(c->arena, by, x[i].text, plus);
    for (int i = 0; i < c->list.n; i++)
        for (int j = 0; j <= i; j++)
            if (x[i].text && x[j].text && is_product(c, x[i].at, x[j].at, x[k].at, &by))
                return arena_print(c->arena, "(%s)", scaled(c->arena, by, arena_print(c->arena, "%s * %s", x[i].text, x[j].text)));
    return NULL;
}

/* Where the numbers of a token stand in the list, or would: its columns are in order. */
static int column_place(const Columns *c, const int64_t *at)
{
    int i = 0;

    while (i < c->list.n && compare_columns(c, c->list.at[i].at, at) < 0)
        i++;
    return i;
}

static int64_t *numbers(Arena *a, Form *const *forms, int n, int token)
{
    int64_t *at = NEW_ARRAY(a, int64_t, n);

    for (int i = 0; i < n; i++)
        at[i] = strtoll(forms[i]->tokens.at[token].s, NULL, 10);
    return at;
}

static bool all_equal(const int64_t *at, int n)
{
    for (int i = 1; i < n; i++)
        if (at[i] != at[0])
            return false;
    return true;
}

static void add_column(Columns *c, int64_t *at)
{
    int k = column_place(c, at);

    if (all_equal(at, c->forms) || (k < c->list.n && compare_columns(c, c->list.at[k].at, at) == 0))
        return;
    PUSH(c->arena, c->list, (Column){0});
    for (int i = c->list.n - 1; i > k; i--)
        c->list.at[i] = c->list.at[i - 1];
    c->list.at[k] = (Column){.at = at};
}

/* The texts of a token in all forms, floats as doubles of the same value; or NULL if they are the same. */
static const char **reals(const Columns *c, Form *const *forms, int token)
{
    const char **text = NEW_ARRAY(c->arena, const char *, c->forms);
    bool differ = false;

    for (int i = 0; i < c->forms; i++) {
        const Token *t = &forms[i]->tokens.at[token];
        text[i] = arena_print(c->arena, "%s%.*s", *t->type ? "(double)" : "", t->n, t->s);
        differ = differ || strcmp(text[0], text[i]) != 0;
    }
    return differ ? text : NULL;
}

static bool same_texts(const Columns *c, const char *const *x, const char *const *y)
{
    for (int i = 0; i < c->forms; i++)
        if (strcmp(x[i], y[i]) != 0)
            return false;
    return true;
}

/* Where these stand in the list, or its end. */
static int real_place(const Columns *c, const char *const *text)
{
    int i = 0;

    while (i < c->reals.n && !same_texts(c, c->reals.at[i], text))
        i++;
    return i;
}

/* --- numbers that are parameters already --- */

static bool any_named(Form *const *forms, int n, int token)
{
    for (int i = 0; i < n; i++)
        if (forms[i]->tokens.at[token].named)
            return true;
    return false;
}

static const char **token_texts(Arena *a, Form *const *forms, int n, int token)
{
    const char **text = NEW_ARRAY(a, const char *, n);

    for (int i = 0; i < n; i++)
        text[i] = arena_copy(a, forms[i]->tokens.at[token].s, (size_t)forms[i]->tokens.at[token].n);
    return text;
}

/* Where these stand in the list, or its end. */
static int named_place(const Columns *c, const char *const *text)
{
    int i = 0;

    while (i < c->named.n && !same_texts(c, c->named.at[i].at, text))
        i++;
    return i;
}

static bool all_the_same(const Columns *c, const char *const *text)
{
    for (int i = 1; i < c->forms; i++)
        if (strcmp(text[0], text[i]) != 0)
            return false;
    return true;
}

/* All its names are parameters of the common text, too. */
static bool names_kept(const Columns *c, const char *s)
{
    while (*(s += strcspn(s, "abcdefghijklmnopqrstuvwxyz_"))) {
        int n = 0, i = 0;
        while (token_letter(s[n]))
            n++;
        while (i < c->named.n && !(c->named.at[i].text && (int)strlen(c->named.at[i].text) == n && memcmp(c->named.at[i].text, s, (size_t)n) == 0))
            i++;
        if (i == c->named.n)
            return false;
        s += n;
    }
    return true;
}

/* A parameter that all forms have keeps its name, and what all compute alike from such ones is computed in the text. */
static void name_named(Columns *c, const char *name, int number)
{
    for (int pass = 0; pass < 3; pass++)
        for (int i = 0; i < c->named.n; i++) {
            Named *x = &c->named.at[i];
            bool same = all_the_same(c, x->at), bare = token_letter(*x->at[0]);
            if (x->text || (pass < 2 && !same) || (pass == 0 && !bare) || (pass == 1 && !names_kept(c, x->at[0])))
                continue;
            x->parameter = pass != 1;
            x->text = pass < 2 ? x->at[0] : arena_print(c->arena, "%s%d", name, number++);
        }
}

void columns_make(Columns *c, Arena *a, Form *const *forms, int n, int64_t most)
{
    *c = (Columns){.arena = a, .forms = n, .most = most};
    for (int k = 0; k < forms[0]->tokens.n; k++) {
        const Token *t = &forms[0]->tokens.at[k];
        bool named = t->kind == TOKEN_NUMBER && any_named(forms, n, k);
        if (t->kind == TOKEN_NUMBER && !t->length && !named)
            add_column(c, numbers(a, forms, n, k));
        const char **texts = named ? token_texts(a, forms, n, k) : NULL;
        if (named && named_place(c, texts) == c->named.n)
            PUSH(a, c->named, ((Named){.at = texts}));
        const char **text = t->kind == TOKEN_REAL ? reals(c, forms, k) : NULL;
        if (text && real_place(c, text) == c->reals.n)
            PUSH(a, c->reals, text);
    }
}

void columns_call(Columns *c, const int64_t *at, const char *name)
{
    int k = column_place(c, at);

    if (k < c->list.n && !c->list.at[k].text && compare_columns(c, c->list.at[k].at, at) == 0) {
        c->list.at[k].text = name;
        c->list.at[k].parameter = true;
    }
}

bool columns_follow(Columns *c, const int64_t *at, const char *name)
{
    for (int k = 0; k < c->list.n; k++) {
        int64_t by, plus;
        if (!is_affine(c, at, c->list.at[k].at, &by, &plus))
            return false;
        c->list.at[k].text = sum_text(c->arena, by, name, plus);
    }
    return true;
}

int columns_name(Columns *c, const char *name)
{
    int parameters = 0, named = 0;

    for (int k = 0; k < c->list.n; k++) {
        Column *x = &c->list.at[k];
        if (!x->text) {
            x->text = derived(c, k);
            x->parameter = !x->text;
            if (x->parameter)
                x->text = arena_print(c->arena, "%s%d", name, named++);
        }
        parameters += x->parameter;
    }
    name_named(c, name, named);
    return parameters;
}

static int64_t largest(const int64_t *at, int n)
{
    int64_t x = at[0];

    for (int i = 1; i < n; i++)
        x = at[i] > x ? at[i] : x;
    return x;
}

const char *columns_text(const Columns *c, Form *const *forms)
{
    Text body = {.arena = c->arena};

    for (int k = 0; k < forms[0]->tokens.n; k++) {
        const Token *t = &forms[0]->tokens.at[k];
        bool named = t->kind == TOKEN_NUMBER && any_named(forms, c->forms, k);
        const int64_t *at = t->kind == TOKEN_NUMBER && !named ? numbers(c->arena, forms, c->forms, k) : NULL;
        const char **text = t->kind == TOKEN_REAL ? reals(c, forms, k) : NULL;
        if (text)
            text_print(&body, "%sreal%d", t->type, real_place(c, text));
        else if (named)
            text_print(&body, "%s%s", t->type, c->named.at[named_place(c, token_texts(c->arena, forms, c->forms, k))].text);
        else if (!at || all_equal(at, c->forms))
            text_add(&body, t->s, (size_t)t->n);
        else if (t->length)
            text_print(&body, "%lld", (long long)largest(at, c->forms));
        else
            text_print(&body, "%s%s", t->type, c->list.at[column_place(c, at)].text);
    }
    return body.s;
}
