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
enum { FEW_FUNCTIONS = 128, FEW_TILES = 3 };

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
        if (t.kind == TOKEN_NAME && (after_type || (head && !is_type(&t) && token_is(&before, "NN_TILE"))) && !is_type(&t)) {
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

/* A number of all functions of a form. */
typedef struct Column {
    int64_t *at;      /* by function */
    const char *text; /* what stands for it: a parameter, or what follows from columns before it */
    bool parameter;
} Column;

typedef struct Columns {
    Arena *arena;
    int functions;
    LIST(Column) list; /* that differ somewhere, each once; from small numbers to large ones: strides follow from sizes */
} Columns;

static int compare_columns(const Columns *c, const int64_t *x, const int64_t *y)
{
    for (int i = 0; i < c->functions; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

/* y = a * x + b, with whole a > 0 and a small b: with a large one it would be chance. */
static bool is_affine(int n, const int64_t *x, const int64_t *y, int64_t *a, int64_t *b)
{
    enum { SMALL = 32 };
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
    return *a > 0 && *b >= -SMALL && *b <= SMALL;
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

static const char *scaled(Arena *a, int64_t by, const char *x)
{
    return by == 1 ? x : arena_print(a, "%lld * %s", (long long)by, x);
}

/* Number k from the columns before it, or NULL. */
static const char *derived(const Columns *c, int k)
{
    const Column *x = c->list.at;
    int64_t by, plus;

    for (int i = 0; i < k; i++)
        if (is_affine(c->functions, x[i].at, x[k].at, &by, &plus)) {
            const char *product = scaled(c->arena, by, x[i].text);
            return plus ? arena_print(c->arena, "(%s %c %lld)", product, plus < 0 ? '-' : '+', (long long)(plus < 0 ? -plus : plus))
                        : arena_print(c->arena, "(%s)", product);
        }
    for (int i = 0; i < k; i++)
        for (int j = 0; j <= i; j++)
            if (is_product(c->functions, x[i].at, x[j].at, x[k].at, &by))
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

    if (all_equal(at, c->functions) || (k < c->list.n && compare_columns(c, c->list.at[k].at, at) == 0))
        return;
    PUSH(c->arena, c->list, (Column){0});
    for (int i = c->list.n - 1; i > k; i--)
        c->list.at[i] = c->list.at[i - 1];
    c->list.at[k].at = at;
}

/* How many parameters there are. */
static int name_columns(Columns *c)
{
    int parameters = 0;

    for (int k = 0; k < c->list.n; k++) {
        Column *x = &c->list.at[k];
        x->text = derived(c, k);
        x->parameter = !x->text;
        if (x->parameter)
            x->text = arena_print(c->arena, "size%d", parameters++);
    }
    return parameters;
}

/* --- one form --- */

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

/* The text of the first form with columns in the place of numbers. */
static const char *shared_body(Columns *c, Form *const *forms, int sizes)
{
    Text body = {.arena = c->arena};

    for (int k = 0; k < forms[0]->tokens.n; k++) {
        const Token *t = &forms[0]->tokens.at[k];
        const int64_t *at = t->kind == TOKEN_NUMBER ? numbers(c->arena, forms, c->functions, k) : NULL;
        if (!at || all_equal(at, c->functions))
            text_add(&body, t->s, (size_t)t->n);
        else
            text_print(&body, "%s%s", t->type, c->list.at[column_place(c, at)].text);
    }
    return with_parameters(c->arena, body.s, sizes);
}

static void share(Arena *a, Form *const *forms, int n)
{
    Columns c = {.arena = a, .functions = n};

    for (int k = 0; k < forms[0]->tokens.n; k++)
        if (forms[0]->tokens.at[k].kind == TOKEN_NUMBER)
            add_column(&c, numbers(a, forms, n, k));
    int sizes = name_columns(&c);
    Function *one = NEW(a, Function);
    *one = *forms[0]->function;
    one->body = shared_body(&c, forms, sizes);
    one->nsizes = sizes;
    one->uses = 0;
    for (int i = 0; i < n; i++) {
        Function *x = forms[i]->function;
        x->shared = one;
        x->nsizes = sizes;
        x->size = NEW_ARRAY(a, int64_t, sizes);
        one->uses += x->uses;
        for (int k = 0, size = 0; k < c.list.n; k++)
            if (c.list.at[k].parameter)
                x->size[size++] = c.list.at[k].at[i];
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
