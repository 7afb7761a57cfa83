/* form.c -- texts of C that differ in numbers only: one text with parameters, and what each of them gives to it.
 *
 * What all have in common stays in the text, what always goes together is one parameter, and what follows from others
 * (2 * a + 3, a * b) is computed. */
#include "loops/form.h"

#include <ctype.h>
#include <stdlib.h>

/* --- tokens --- */

typedef LIST(Token) Tokens;

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_'; }

bool token_is(const Token *t, const char *s) { return t->n > 0 && *t->s == *s && strncmp(t->s, s, (size_t)t->n) == 0 && s[t->n] == '\0'; }

bool token_is_type(const Token *t)
{
    static const char *const types[] = {"long", "int", "float", "double", "nn_v", "nn_m", "nn_i", "int32_t", "uint32_t", "restrict"};

    for (size_t i = 0; i < sizeof types / sizeof *types && t->kind != TOKEN_NUMBER; i++)
        if (token_is(t, types[i]))
            return true;
    return false;
}

bool token_is_blank(const Token *t) { return *t->s == ' ' || *t->s == '\n'; }

static int number_length(const char *s)
{
    int n = (int)strspn(s, "0123456789.");

    if (s[n] == 'e')
        n += 1 + (s[n + 1] == '-' || s[n + 1] == '+') + (int)strspn(s + n + 1 + (s[n + 1] == '-' || s[n + 1] == '+'), "0123456789");
    return n + (s[n] == 'f' || s[n] == 'u');
}

/* A whole number, perhaps written as a float. */
static bool number_type(Token *t)
{
    int digits = (int)strspn(t->s, "0123456789"), rest = t->n - digits;

    t->type = rest == 0 ? "" : rest == 2 ? "(double)" : "(float)";
    return digits < 10 && (rest == 0 || (rest >= 2 && strncmp(t->s + digits, ".0f", (size_t)rest) == 0));
}

/* A double that is no whole number. */
static bool is_double(const Token *t)
{
    return t->kind == TOKEN_TEXT && isdigit((unsigned char)*t->s) && memchr(t->s, '.', (size_t)t->n) && t->s[t->n - 1] != 'f';
}

static Token next_token(const char *s)
{
    Token t = {.s = s, .n = 1};

    if (isdigit((unsigned char)*s)) {
        t.n = number_length(s);
        t.kind = number_type(&t) ? TOKEN_NUMBER : TOKEN_TEXT;
    } else if (is_name(*s)) {
        while (is_name(s[t.n]))
            t.n++;
        t.kind = TOKEN_NAME;
    } else if (*s == ' ') {
        t.n = (int)strspn(s, " ");
    }
    return t;
}

static bool same_name(const Token *x, const Token *y) { return x->n == y->n && x->s[x->n - 1] == y->s[x->n - 1] && memcmp(x->s, y->s, (size_t)x->n) == 0; }

/* The names that the text declares: they follow a type. Other names are those of functions and types, and of what was
 * declared before. */
static bool is_declared(const Tokens *names, const Token *t)
{
    for (int i = 0; i < names->n; i++)
        if (same_name(&names->at[i], t))
            return true;
    return false;
}

static int name_number(Arena *a, Tokens *met, const Token *t)
{
    int i = 0;

    while (i < met->n && !same_name(&met->at[i], t))
        i++;
    if (i == met->n)
        PUSH(a, *met, *t);
    return i;
}

static void make_skeleton(Arena *a, Form *f, const Tokens *declared)
{
    Tokens met = {0};

    f->skeleton = (Text){.arena = a};
    for (int i = 0; i < f->tokens.n; i++) {
        Token *t = &f->tokens.at[i];
        if (t->kind == TOKEN_NAME && !is_declared(declared, t))
            t->kind = TOKEN_TEXT;
        if (t->kind == TOKEN_TEXT)
            text_add(&f->skeleton, t->s, (size_t)t->n);
        else if (t->kind == TOKEN_NAME)
            text_print(&f->skeleton, "$%d", name_number(a, &met, t));
        else if (t->kind == TOKEN_REAL)
            text_print(&f->skeleton, "~");
        else
            text_print(&f->skeleton, "#%s", t->type);
    }
    f->hash = 2166136261u;
    for (size_t i = 0; i < f->skeleton.n; i++)
        f->hash = (f->hash ^ (unsigned char)f->skeleton.s[i]) * 16777619u;
}

void form_read(Arena *a, Form *f, const char *text, bool fixed)
{
    Tokens declared = {0}, steps = {0};
    Token before = {0}, last = {0}; /* without blanks, and the one before that */
    bool head = false, array = false, inside = false;
    bool tile = false; /* the name of a tile was met, and nothing but numbers since */
    int number = 0;    /* where the last number stands */

    f->tokens.n = 0;
    for (const char *s = text; *s;) {
        Token t = next_token(s);
        s += t.n;
        bool blank = token_is_blank(&t);
        bool after_type = token_is_type(&last) || (token_is(&last, "*") && token_is_type(&before));
        if (t.kind == TOKEN_NAME && (after_type || (head && !token_is_type(&t) && token_is(&before, "NN_TILE"))) && !token_is_type(&t)) {
            if (!is_declared(&declared, &t))
                PUSH(a, declared, t);
            if (head)
                PUSH(a, steps, t);
            array = true;
        } else if (!blank && *t.s != '[' && *t.s != ']' && !inside) {
            array = false;
        }
        inside = array && (*t.s == '[' || (inside && *t.s != ']'));
        head = token_is(&t, "NN_UNROLL") || token_is(&t, "NN_TILE") || (head && *t.s != ')');
        tile = t.kind == TOKEN_NAME ? last.n == 1 && *last.s == TILE_MARK : tile;
        t.length = t.kind == TOKEN_NUMBER && inside;
        if (t.kind == TOKEN_NUMBER && fixed && (head || inside || tile))
            t.kind = TOKEN_TEXT;
        if (fixed && is_double(&t))
            t.kind = TOKEN_REAL;
        if (t.kind == TOKEN_NAME && token_is(&last, "*") && before.kind == TOKEN_NUMBER && is_declared(&steps, &t))
            f->tokens.at[number].step = true;
        if (t.kind == TOKEN_NUMBER)
            number = f->tokens.n;
        PUSH(a, f->tokens, t);
        if (!blank) {
            before = last;
            last = t;
        }
    }
    make_skeleton(a, f, &declared);
}

bool form_same(const Form *x, const Form *y)
{
    return x->hash == y->hash && x->skeleton.n == y->skeleton.n && memcmp(x->skeleton.s, y->skeleton.s, x->skeleton.n) == 0;
}

/* --- columns --- */

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

/* The texts of a token in all forms, or NULL if they are the same. */
static const char **reals(const Columns *c, Form *const *forms, int token)
{
    const char **text = NEW_ARRAY(c->arena, const char *, c->forms);
    bool differ = false;

    for (int i = 0; i < c->forms; i++) {
        const Token *t = &forms[i]->tokens.at[token];
        text[i] = arena_copy(c->arena, t->s, (size_t)t->n);
        differ = differ || strcmp(text[0], text[i]) != 0;
    }
    return differ ? text : NULL;
}

/* Where these stand in the list, or its end. */
static int real_place(const Columns *c, const char *const *text)
{
    int i = 0, k = 0;

    for (; i < c->reals.n; i++) {
        for (k = 0; k < c->forms && strcmp(c->reals.at[i][k], text[k]) == 0;)
            k++;
        if (k == c->forms)
            break;
    }
    return i;
}

void columns_make(Columns *c, Arena *a, Form *const *forms, int n, int64_t most)
{
    *c = (Columns){.arena = a, .forms = n, .most = most};
    for (int k = 0; k < forms[0]->tokens.n; k++) {
        const Token *t = &forms[0]->tokens.at[k];
        if (t->kind == TOKEN_NUMBER && !t->length)
            add_column(c, numbers(a, forms, n, k));
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
        const int64_t *at = t->kind == TOKEN_NUMBER ? numbers(c->arena, forms, c->forms, k) : NULL;
        const char **text = t->kind == TOKEN_REAL ? reals(c, forms, k) : NULL;
        if (text)
            text_print(&body, "real%d", real_place(c, text));
        else if (!at || all_equal(at, c->forms))
            text_add(&body, t->s, (size_t)t->n);
        else if (t->length)
            text_print(&body, "%lld", (long long)largest(at, c->forms));
        else
            text_print(&body, "%s%s", t->type, c->list.at[column_place(c, at)].text);
    }
    return body.s;
}
