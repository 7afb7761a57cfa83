/* share.c -- kernels that differ in numbers only become one function, which takes the numbers.
 *
 * Layers of one kind in many sizes have kernels that differ in bounds and strides: one function of each form is enough,
 * and every call says its sizes. What all have in common stays in the text, what always goes together is one parameter, and what follows
 * from others (2 * a + 3, a * b) is computed. Sizes of arrays and of unrolled loops stay in the form. */
#include "loops/build.h"

#include <ctype.h>
#include <stdlib.h>

/* A program with fewer functions keeps them apart. So do few functions that would leave the compiler no constants for the
 * addresses inside a tile: without, it runs out of registers. */
enum { FEW_FUNCTIONS = 128, FEW_TILES = 3, MOST_SIZES = 24 };

typedef enum { TOKEN_TEXT, TOKEN_NAME, TOKEN_NUMBER } TokenKind;

typedef struct Token {
    TokenKind kind;
    const char *s;
    int n;
    const char *type; /* of a number: "", or what it is converted to, "(float)" or "(double)" */
    bool step;        /* a number that the step of an unrolled loop is multiplied with */
} Token;

typedef LIST(Token) Tokens;

typedef struct Form {
    Function *function;
    Tokens tokens;
    Text skeleton; /* names and numbers by their order only */
    uint32_t hash;
    bool done;
} Form;

/* --- tokens --- */

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_'; }

static bool is_type(const Token *t)
{
    static const char *const types[] = {"long", "int", "float", "double", "nn_v", "nn_m", "nn_i", "int32_t", "uint32_t", "restrict"};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (t->kind == TOKEN_NAME && strlen(types[i]) == (size_t)t->n && strncmp(types[i], t->s, (size_t)t->n) == 0)
            return true;
    return false;
}

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

static Token next_token(const char *s)
{
    Token t = {TOKEN_TEXT, s, 1, NULL, false};

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

static bool token_is(const Token *t, const char *s) { return strlen(s) == (size_t)t->n && strncmp(t->s, s, (size_t)t->n) == 0; }

/* The names that the text declares: they follow a type. Other names are those of functions and types. */
static bool is_declared(const Tokens *names, const Token *t)
{
    for (int i = 0; i < names->n; i++)
        if (names->at[i].n == t->n && strncmp(names->at[i].s, t->s, (size_t)t->n) == 0)
            return true;
    return false;
}

static int name_number(Arena *a, Tokens *met, const Token *t)
{
    int i = 0;

    while (i < met->n && (met->at[i].n != t->n || strncmp(met->at[i].s, t->s, (size_t)t->n) != 0))
        i++;
    if (i == met->n)
        PUSH(a, *met, *t);
    return i;
}

/* Numbers that must stay: between brackets that belong to a declaration, and in the head of a loop to be unrolled. */
static void form_read(Arena *a, Form *f)
{
    Tokens declared = {0}, steps = {0};
    Token before = {0}, last = {0}; /* without blanks, and the one before that */
    bool head = false, array = false, inside = false;
    int number = 0; /* where the last number stands */

    for (const char *s = f->function->body; *s;) {
        Token t = next_token(s);
        s += t.n;
        bool blank = *t.s == ' ' || *t.s == '\n';
        bool after_type = is_type(&last) || (token_is(&last, "*") && is_type(&before));
        if (t.kind == TOKEN_NAME && after_type && !is_type(&t)) {
            if (!is_declared(&declared, &t))
                PUSH(a, declared, t);
            if (head)
                PUSH(a, steps, t);
            array = true;
        } else if (!blank && *t.s != '[' && *t.s != ']' && !inside) {
            array = false;
        }
        inside = array && (*t.s == '[' || (inside && *t.s != ']'));
        head = token_is(&t, "NN_UNROLL") || (head && *t.s != ')');
        if (t.kind == TOKEN_NUMBER && (head || inside))
            t.kind = TOKEN_TEXT;
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
    Tokens met = {0};
    f->skeleton.arena = a;
    for (int i = 0; i < f->tokens.n; i++) {
        Token *t = &f->tokens.at[i];
        if (t->kind == TOKEN_NAME && !is_declared(&declared, t))
            t->kind = TOKEN_TEXT;
        if (t->kind == TOKEN_TEXT)
            text_add(&f->skeleton, t->s, (size_t)t->n);
        else if (t->kind == TOKEN_NAME)
            text_print(&f->skeleton, "$%d", name_number(a, &met, t));
        else
            text_print(&f->skeleton, "#%s", t->type);
    }
    f->hash = 2166136261u;
    for (size_t i = 0; i < f->skeleton.n; i++)
        f->hash = (f->hash ^ (unsigned char)f->skeleton.s[i]) * 16777619u;
}

/* --- sizes --- */

/* Number j of all functions of a form. */
typedef struct Column {
    const int64_t *at; /* by function */
    const char *text;  /* what stands for it in the shared text: a parameter, or what follows from others */
    bool literal;
} Column;

static bool same_column(int n, const int64_t *x, const int64_t *y) { return memcmp(x, y, (size_t)n * sizeof *x) == 0; }

/* y = a * x + b for all, with whole a > 0 and b. */
static bool is_affine(int n, const int64_t *x, const int64_t *y, int64_t *a, int64_t *b)
{
    int k = 1;

    while (k < n && x[k] == x[0])
        k++;
    if (k == n || (y[k] - y[0]) % (x[k] - x[0]) != 0)
        return false;
    *a = (y[k] - y[0]) / (x[k] - x[0]);
    *b = y[0] - *a * x[0];
    for (int i = 0; i < n; i++)
        if (y[i] != *a * x[i] + *b)
            return false;
    return *a > 0;
}

/* y = a * x * z. */
static bool is_product(int n, const int64_t *x, const int64_t *z, const int64_t *y, int64_t *a)
{
    if (x[0] * z[0] == 0 || y[0] % (x[0] * z[0]) != 0)
        return false;
    *a = y[0] / (x[0] * z[0]);
    for (int i = 0; i < n; i++)
        if (y[i] != *a * x[i] * z[i])
            return false;
    return *a > 0;
}

typedef struct Sizes {
    Arena *arena;
    int functions;
    int n;
    const int64_t *at[MOST_SIZES]; /* the parameters, by function */
} Sizes;

static const char *scaled(Arena *a, int64_t by, const char *x)
{
    return by == 1 ? x : arena_print(a, "%lld * %s", (long long)by, x);
}

/* From parameters there are, or NULL. */
static const char *derived(const Sizes *s, const int64_t *y)
{
    int64_t by, plus;

    for (int i = 0; i < s->n; i++)
        if (same_column(s->functions, s->at[i], y))
            return arena_print(s->arena, "size%d", i);
    for (int i = 0; i < s->n; i++)
        if (is_affine(s->functions, s->at[i], y, &by, &plus)) {
            const char *x = scaled(s->arena, by, arena_print(s->arena, "size%d", i));
            return plus ? arena_print(s->arena, "(%s %c %lld)", x, plus < 0 ? '-' : '+', (long long)(plus < 0 ? -plus : plus))
                        : arena_print(s->arena, "(%s)", x);
        }
    for (int i = 0; i < s->n; i++)
        for (int j = 0; j <= i; j++)
            if (is_product(s->functions, s->at[i], s->at[j], y, &by))
                return arena_print(s->arena, "(%s)", scaled(s->arena, by, arena_print(s->arena, "size%d * size%d", i, j)));
    return NULL;
}

/* What stands for the numbers of a column; NULL when there would be too many parameters. */
static const char *column_text(Sizes *s, const Token *first, const int64_t *y)
{
    int k = 1;

    while (k < s->functions && y[k] == y[0])
        k++;
    if (k == s->functions)
        return arena_copy(s->arena, first->s, (size_t)first->n);
    const char *text = derived(s, y);
    if (!text && s->n == MOST_SIZES)
        return NULL;
    if (!text) {
        s->at[s->n++] = y;
        text = derived(s, y);
    }
    return arena_print(s->arena, "%s%s", first->type, text);
}

/* --- one form --- */

static const int64_t *column(Arena *a, Form *const *forms, int n, int token)
{
    int64_t *at = NEW_ARRAY(a, int64_t, n);

    for (int i = 0; i < n; i++)
        at[i] = strtoll(forms[i]->tokens.at[token].s, NULL, 10);
    return at;
}

/* The sizes come last. */
static const char *with_parameters(Arena *a, const char *body, int sizes)
{
    const char *end = strstr(body, ")\n{");
    Text t = {.arena = a};

    text_add(&t, body, (size_t)(end - body));
    for (int i = 0; i < sizes; i++)
        text_print(&t, ", long size%d", i);
    text_print(&t, "%s", end);
    return t.s;
}

static void share(Arena *a, Form *const *forms, int n)
{
    Sizes sizes = {.arena = a, .functions = n};
    Text body = {.arena = a};

    for (int k = 0; k < forms[0]->tokens.n; k++) {
        const Token *t = &forms[0]->tokens.at[k];
        const char *text = t->kind == TOKEN_NUMBER ? column_text(&sizes, t, column(a, forms, n, k)) : NULL;
        if (t->kind == TOKEN_NUMBER && !text)
            return;
        text_add(&body, text ? text : t->s, text ? strlen(text) : (size_t)t->n);
    }
    Function *f = forms[0]->function, *one = NEW(a, Function);
    *one = *f;
    one->body = with_parameters(a, body.s, sizes.n);
    one->nsizes = sizes.n;
    one->uses = 0;
    for (int i = 0; i < n; i++) {
        Function *x = forms[i]->function;
        x->shared = one;
        x->nsizes = sizes.n;
        x->size = NEW_ARRAY(a, int64_t, sizes.n);
        for (int k = 0; k < sizes.n; k++)
            x->size[k] = sizes.at[k][i];
        one->uses += x->uses;
    }
}

/* --- the door --- */

static bool same_form(const Form *x, const Form *y)
{
    return x->hash == y->hash && x->skeleton.n == y->skeleton.n && memcmp(x->skeleton.s, y->skeleton.s, x->skeleton.n) == 0;
}

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
        if (!forms[k].done && same_form(&forms[i], &forms[k]) && (!steps || same_steps(&forms[i], &forms[k])))
            alike[count++] = &forms[k];
    return count;
}

static int count_tiles(Form *const *alike, int n)
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
    Arena *a = all->arena;
    int n = 0;
    Form *forms = NEW_ARRAY(a, Form, all->list.n), **alike = NEW_ARRAY(a, Form *, all->list.n);

    for (int i = 0; i < all->list.n; i++)
        if (all->list.at[i]->uses > 0)
            forms[n++].function = all->list.at[i];
    if (n < FEW_FUNCTIONS)
        return;
    for (int i = 0; i < n; i++)
        form_read(a, &forms[i]);
    for (int i = 0; i < n; i++) {
        if (forms[i].done)
            continue;
        int count = find_alike(forms, n, i, false, alike);
        if (count_tiles(alike, count) <= FEW_TILES)
            count = find_alike(forms, n, i, true, alike);
        for (int k = 0; k < count; k++)
            alike[k]->done = true;
        if (count > 1)
            share(a, alike, count);
    }
    keep_shared(all);
}
