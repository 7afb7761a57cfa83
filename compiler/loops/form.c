/* form.c -- texts of C as names and numbers: those that differ in numbers only are of one form. */
#include "loops/form.h"

#include <ctype.h>

typedef LIST(Token) Tokens;

bool token_letter(char c) { return isalnum((unsigned char)c) || c == '_'; }

bool token_is(const Token *t, const char *s) { return t->n > 0 && *t->s == *s && strncmp(t->s, s, (size_t)t->n) == 0 && s[t->n] == '\0'; }

bool token_is_type(const Token *t)
{
    static const char *const types[] = {"long", "int", "float", "double", "nn_v", "nn_m", "nn_i", "int32_t", "uint32_t", "restrict", "nn_in", "nn_out"};

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

/* A double or float that is no whole number. */
static bool is_real(const Token *t)
{
    return t->kind == TOKEN_TEXT && isdigit((unsigned char)*t->s) && memchr(t->s, '.', (size_t)t->n);
}

static bool is_parameter(const Form *f, const char *s, int n)
{
    for (int i = 0; i < f->parameters.n; i++)
        if ((int)strlen(f->parameters.at[i]) == n && memcmp(f->parameters.at[i], s, (size_t)n) == 0)
            return true;
    return false;
}

/* Letters of a sum or product of parameters and whole numbers in parentheses, (4 * (size0 + 2)); 0: it is none. */
static int computed_length(const Form *f, const char *s, bool *named)
{
    const char *at = s + 1;

    for (bool more = true; more;) {
        int n = *at == '(' ? computed_length(f, at, named) : (int)strspn(at, "0123456789");
        if (n == 0 || token_letter(at[n])) {
            for (n = 0; token_letter(at[n]);)
                n++;
            if (!is_parameter(f, at, n))
                return 0;
            *named = true;
        }
        at += n;
        more = at[0] == ' ' && strchr("+-*", at[1]) && at[2] == ' ';
        at += more ? 3 : 0;
    }
    return *at == ')' ? (int)(at + 1 - s) : 0;
}

/* A parameter, or what is computed from some. */
static bool read_named(const Form *f, Token *t)
{
    bool named = false;
    int n = f->parameters.n && *t->s == '(' ? computed_length(f, t->s, &named) : 0;

    if (n > 0 && named)
        t->n = n;
    else if (t->kind != TOKEN_NAME || !is_parameter(f, t->s, t->n))
        return false;
    t->kind = TOKEN_NUMBER;
    t->type = "";
    t->named = true;
    return true;
}

static Token next_token(const char *s)
{
    Token t = {.s = s, .n = 1};

    if (isdigit((unsigned char)*s)) {
        t.n = number_length(s);
        t.kind = number_type(&t) ? TOKEN_NUMBER : TOKEN_TEXT;
    } else if (token_letter(*s)) {
        while (token_letter(s[t.n]))
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
            text_print(&f->skeleton, "~%s", t->type);
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
        read_named(f, &t);
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
        f->odd |= t.length && t.named;
        if (t.kind == TOKEN_NUMBER && fixed && (head || inside || tile))
            t.kind = TOKEN_TEXT;
        if (fixed && is_real(&t)) {
            t.kind = TOKEN_REAL;
            t.type = t.s[t.n - 1] == 'f' ? "(float)" : "";
        }
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

/* "const int o_tile", "long size0". */
static bool is_number_parameter(const char *s, size_t n)
{
    return (n > 10 && (strncmp(s, "const int ", 10) == 0 || strncmp(s, "const long ", 11) == 0)) ||
           (n > 9 && strncmp(s, "long size", 9) == 0 && isdigit((unsigned char)s[9]));
}

void form_read_function(Arena *a, Form *f, const char *body)
{
    Text t = {.arena = a};
    const char *s = body + 1;

    text_print(&t, "(");
    for (bool more = true; more;) {
        size_t n = strcspn(s, ",)"), name = n;
        while (token_letter(s[name - 1]))
            name--;
        if (is_number_parameter(s, n))
            PUSH(a, f->parameters, arena_copy(a, s + name, n - name));
        else
            text_print(&t, "%s%.*s", t.n > 1 ? ", " : "", (int)n, s);
        more = s[n] == ',';
        s += n + (more ? 2 : 0);
    }
    text_print(&t, "%s", s);
    f->text = t.s;
    form_read(a, f, f->text, false);
}

bool form_same(const Form *x, const Form *y)
{
    return x->hash == y->hash && x->skeleton.n == y->skeleton.n && memcmp(x->skeleton.s, y->skeleton.s, x->skeleton.n) == 0;
}
