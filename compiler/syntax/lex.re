/* lex.re -- characters to tokens (re2c), newlines that end statements, brackets that match. */
#include "syntax/lex.h"
#include "syntax/tree.h"
#include "parse.h"

#include <math.h>
#include <stdlib.h>

static Span span_of(const Lexer *x, const unsigned char *from, const unsigned char *to)
{
    return (Span){x->file, (int)(from - x->text), (int)(to - x->text)};
}

/* --- parts of tokens --- */

static double number_value(Lexer *x, const unsigned char *s, Span at)
{
    char digits[64];
    size_t n = 0;

    for (; s < x->text + at.end && n < sizeof digits - 1; s++)
        if (*s != '_')
            digits[n++] = (char)*s;
    digits[n] = '\0';
    double v = strtod(digits, NULL);
    if (s < x->text + at.end || isinf(v)) {
        error_at(at, "this number is too %s", isinf(v) ? "large" : "long");
        return 1;
    }
    return v;
}

static const char *string_value(Lexer *x, const unsigned char *s, const unsigned char *end)
{
    Text t = {.arena = x->arena};

    text_print(&t, "%s", "");
    for (; s < end; s++) {
        char c = (char)*s;
        if (c == '\\' && ++s < end) {
            c = *s == 'n' ? '\n' : *s == 't' ? '\t' : (char)*s;
            if (!strchr("nt\"\\", *s)) {
                error_at(span_of(x, s - 1, s + 1), "a string knows only \\n, \\t, \\\" and \\\\");
                help("a path is written with /");
            }
        }
        text_add(&t, &c, 1);
    }
    return t.s;
}

static const char *unit_name(const unsigned char *s, const unsigned char *end)
{
    static const char *const names[] = {"epochs", "steps", "samples", "seconds", "minutes", "hours"};

    while (s < end && !(*s >= 'a' && *s <= 'z'))
        s++;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(names[i], (const char *)s, 3)) /* "sec", "min": three letters tell them apart */
            return names[i];
    return names[0];
}

/* Characters that people and word processors write; what was meant is taken, after an error. */
static int foreign(Lexer *x, const unsigned char *s)
{
    static const struct { const char *found; int kind; const char *meant; } table[] = {
        {"\u2192", T_ARROW, "->"},  {"\u2212", T_MINUS, "-"},  {"\u2013", T_MINUS, "-"},   {"\u00D7", T_STAR, "*"},
        {"\u00B7", T_STAR, "*"},    {"\u22C5", T_STAR, "*"},   {"\u2026", T_ELLIPSIS, "..."}, {"\u2264", T_REL, "<="},
        {"\u2265", T_REL, ">="},    {"\u2260", T_REL, "!="},   {"&&", T_AND, "and"},       {"||", T_OR, "or"},
        {"&", T_AND, "and"},        {"|", T_OR, "or"},         {"!", T_NOT, "not"},        {"%", T_MOD, "mod"},
        {"**", T_CARET, "^"},       {"\u201C", 0, "\""},       {"\u201D", 0, "\""},       
        {"\u00B2", 0, "^2"},        {"\u00A0", 0, " "},        {";", T_NL, NULL},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int n = (int)strlen(table[i].found);
        if (strncmp((const char *)s, table[i].found, (size_t)n))
            continue;
        x->cur = s + n;
        if (table[i].meant)
            error_at(span_of(x, s, x->cur), "'%s' is not a sign of the language; write %s", table[i].found,
                     *table[i].meant == ' ' ? "an ordinary blank" : table[i].meant);
        else
            error_at(span_of(x, s, x->cur), "the end of the line ends a statement; ';' does not");
        return table[i].kind;
    }
    while (x->cur < x->end && (*x->cur & 0xC0) == 0x80)
        x->cur++;
    error_at(span_of(x, s, x->cur), "'%.*s' is not a sign of the language", (int)(x->cur - s), (const char *)s);
    return 0;
}

/* --- one token, every newline included --- */

static void scan(Lexer *x, Token *t)
{
    const unsigned char *s;

again:
    s = x->cur;
#define KIND(k) do { t->kind = (k); t->span = span_of(x, s, x->cur); return; } while (0)
#define SIGN(k) do { t->text = arena_copy(x->arena, (const char *)s, (size_t)(x->cur - s)); KIND(k); } while (0)
/*!re2c
    re2c:define:YYCTYPE = "unsigned char";
    re2c:define:YYCURSOR = x->cur;
    re2c:define:YYMARKER = x->marker;
    re2c:define:YYCTXMARKER = x->context;
    re2c:yyfill:enable = 0;

    N = [0-9] ("_"? [0-9])*;
    F = (N ("." N)? | "." N) ([eE] [-+]? [0-9]+)?;
    I = [A-Za-z_] [A-Za-z_0-9]*;
    U = "epoch" | "step" | "sample" | "sec" | "second" | "min" | "minute" | "hour";

    [ \t\r\f\v]+                    { goto again; }
    "#" [^\n\x00]*                  { goto again; }
    "\n"                            { KIND(T_NL); }
    "\x00"                          { x->cur = s; KIND(0); }

    N ("x" N)+                      { SIGN(T_DIMS); }
    F "%"                           { t->number = number_value(x, s, span_of(x, s, x->cur - 1)); KIND(T_PERCENT); }
    F [ \t]* U "s"? / [^A-Za-z_0-9] {
        const unsigned char *e = s;
        while (strchr("0123456789._", *e))
            e++;
        t->number = number_value(x, s, span_of(x, s, e));
        t->text = unit_name(e, x->cur);
        KIND(T_DURATION);
    }
    F                               { t->number = number_value(x, s, span_of(x, s, x->cur)); SIGN(T_NUMBER); }
    N I                             {
        const unsigned char *e = s;
        while (strchr("0123456789_", *e))
            e++;
        error_at(span_of(x, s, x->cur), "'%.*s' is neither a number nor a name", (int)(x->cur - s), (const char *)s);
        if (*e == 'x' && x->cur - e > 1)
            help("sizes with names stand in brackets: image[3, height, width]");
        else
            help("a product is written %.*s * %.*s", (int)(e - s), (const char *)s, (int)(x->cur - e), (const char *)e);
        KIND(T_NUMBER);
    }
    ["] ([^"\\\n\x00] | "\\" [^\n\x00])* ["] { t->text = string_value(x, s + 1, x->cur - 1); KIND(T_STRING); }
    ["] ([^"\\\n\x00] | "\\" [^\n\x00])*     {
        error_at(span_of(x, s, x->cur), "this text does not end; its closing \" is missing");
        t->text = string_value(x, s + 1, x->cur);
        t->made_up = true;
        KIND(T_STRING);
    }

    ['] [^'\n\x00]* ['] | "\xE2\x80\x9C" [^"\xE2\n\x00]* "\xE2\x80\x9D" {
        error_at(span_of(x, s, x->cur), "a text stands in double quotes, \"");
        t->text = "";
        KIND(T_STRING);
    }

    ("sum"|"prod"|"max"|"min"|"mean"|"logsumexp"|"softmax"|"argmax"|"any"|"all") / [ \t]* "[" { SIGN(T_REDUCER); }
    "import" { SIGN(T_IMPORT); }    "option" { SIGN(T_OPTION); }    "data"   { SIGN(T_DATA); }
    "fn"     { SIGN(T_FN); }        "layer"  { SIGN(T_LAYER); }     "model"  { SIGN(T_MODEL); }
    "train"  { SIGN(T_TRAIN); }     "on"     { SIGN(T_ON); }        "of"     { SIGN(T_OF); }
    "param"  { SIGN(T_PARAM); }     "state"  { SIGN(T_STATE); }     "assert" { SIGN(T_ASSERT); }
    "if"     { SIGN(T_IF); }        "then"   { SIGN(T_THEN); }      "else"   { SIGN(T_ELSE); }
    "for"    { SIGN(T_FOR); }       "in"     { SIGN(T_IN); }        "and"    { SIGN(T_AND); }
    "or"     { SIGN(T_OR); }        "not"    { SIGN(T_NOT); }       "mod"    { SIGN(T_MOD); }
    "true"   { SIGN(T_TRUE); }      "false"  { SIGN(T_FALSE); }
    "grad"   { SIGN(T_GRAD); }      "next"   { SIGN(T_NEXT); }
    I        { SIGN(T_ID); }

    "->"     { SIGN(T_ARROW); }     "..."    { SIGN(T_ELLIPSIS); }  ".."     { SIGN(T_DOTDOT); }
    "+="     { SIGN(T_PLUSEQ); }    "="      { SIGN(T_ASSIGN); }    "~"      { SIGN(T_TILDE); }
    "==" | "!=" | "<=" | ">=" | "<" | ">" { SIGN(T_REL); }
    "+"      { SIGN(T_PLUS); }      "-"      { SIGN(T_MINUS); }     "*"      { SIGN(T_STAR); }
    "/"      { SIGN(T_SLASH); }     "//"     { SIGN(T_IDIV); }      "@"      { SIGN(T_AT); }
    "^"      { SIGN(T_CARET); }     ","      { SIGN(T_COMMA); }     ":"      { SIGN(T_COLON); }
    "."      { SIGN(T_DOT); }
    "("      { SIGN(T_LP); }        "["      { SIGN(T_LB); }        "?["     { SIGN(T_QLB); }
    "{"      { SIGN(T_LC); }
    ")"      { SIGN(T_RP); }        "]"      { SIGN(T_RB); }        "}"      { SIGN(T_RC); }

    *        { int meant = foreign(x, s); if (!meant) goto again; SIGN(meant); }
    "**"     { SIGN(foreign(x, s)); }
*/
}

/* --- newlines --- */

/* A statement can end after such a token; after any other something is still to come. */
static bool can_end(int kind)
{
    switch (kind) {
    case T_ID: case T_NUMBER: case T_DIMS: case T_PERCENT: case T_DURATION: case T_STRING:
    case T_TRUE: case T_FALSE: case T_RP: case T_RB: case T_RC: case T_ELLIPSIS:
    case T_IMPORT: case T_OPTION: case T_DATA: case T_FN: case T_LAYER: case T_MODEL: case T_TRAIN:
    case T_PARAM: case T_STATE: case T_ASSERT: case T_GRAD: case T_NEXT: /* as names */
        return true;
    default:
        return false;
    }
}

static bool is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= '0' && c <= '9');
}

static bool word_at(const unsigned char *s, const char *word)
{
    size_t n = strlen(word);

    return !strncmp((const char *)s, word, n) && !is_letter(s[n]);
}

/* Whether the next line that says anything goes on with this statement; the cursor moves there if so. */
static bool continues(Lexer *x)
{
    const unsigned char *s = x->cur;

    for (;;) {
        while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
            s++;
        if (*s != '#')
            break;
        while (*s && *s != '\n')
            s++;
    }
    if (strncmp((const char *)s, "->", 2) && !word_at(s, "then") && !word_at(s, "else") && !word_at(s, "and") &&
        !word_at(s, "or"))
        return false;
    x->cur = s;
    return true;
}

/* `layer conv...` in the first column: a definition, whatever is still open. */
static bool definition_at(const unsigned char *s)
{
    static const char *const words[] = {"import", "option", "data", "fn", "layer", "model", "train"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (word_at(s, words[i])) {
            s += strlen(words[i]);
            if (*s != ' ' && *s != '\t')
                return false;
            while (*s == ' ' || *s == '\t')
                s++;
            return i == 0 ? *s == '"' : is_letter(*s);
        }
    return false;
}

/* --- brackets --- */

static const struct { int open, close; const char *opener, *closer; } pairs[] = {
    {T_LP, T_RP, "(", ")"}, {T_LB, T_RB, "[", "]"}, {T_LC, T_RC, "{", "}"}};

static int pair_of(int kind)
{
    for (int i = 0; i < 3; i++)
        if (pairs[i].open == kind || pairs[i].close == kind)
            return i;
    return 1; /* ?[ */
}

static const char END_OF_LINE[] = "the end of the line", END_OF_FILE[] = "the end of the file",
                  DEFINITION[] = "a new definition";

/* Where the token handed out before ends. */
static Span after_last(const Lexer *x) { return (Span){x->file, x->last_end, x->last_end}; }

static void push(Lexer *x, int kind, Span at, const char *text, bool made_up)
{
    PUSH(x->arena, x->queue, ((Token){.kind = kind, .span = at, .text = text, .made_up = made_up}));
    x->last = kind;
}

/* The end of the last statement in a block needs no newline of its own. */
static void push_closer(Lexer *x, int kind, Span at, bool made_up)
{
    if (kind == T_RC && x->last != T_NL && x->last != T_LC)
        push(x, T_NL, at, "'}'", made_up);
    push(x, kind, at, pairs[pair_of(kind)].closer, made_up);
}

/* Makes up the closers of all brackets above the lowest `keep`; found NULL: without a word. */
static void close_down(Lexer *x, int keep, Span at, const char *found)
{
    bool said = !found;

    while (x->open.n > keep) {
        Bracket b = x->open.at[--x->open.n];
        int i = pair_of(b.kind), line, column;
        source_place(b.span, &line, &column);
        if (!said)
            error_marks(at, &(Mark){b.span, "opened here"}, 1, "expected '%s' to close '%s' of line %d, but found %s",
                        pairs[i].closer, pairs[i].opener, line, found);
        said = true;
        push_closer(x, pairs[i].close, (Span){at.file, at.start, at.start}, true);
    }
}

static void close_bracket(Lexer *x, const Token *t)
{
    int i = pair_of(t->kind), match = x->open.n - 1;

    while (match >= 0 && x->open.at[match].kind != pairs[i].open)
        match--;
    if (match < 0 && x->open.n > 0 && t->kind != T_RC && x->open.at[x->open.n - 1].kind != T_LC) {
        /* (a, b]: one of the two is a slip of the finger */
        Bracket b = x->open.at[--x->open.n];
        error_marks(t->span, &(Mark){b.span, "opened here"}, 1, "expected '%s', but found '%s'",
                    pairs[pair_of(b.kind)].closer, pairs[i].closer);
        push_closer(x, pairs[pair_of(b.kind)].close, t->span, true);
        return;
    }
    if (match >= 0 && t->kind != T_RC)
        for (int k = match; k < x->open.n; k++)
            if (x->open.at[k].kind == T_LC)
                match = -1; /* a ) does not reach out of its block */
    if (match < 0) {
        if (x->forgiven > 0)
            x->forgiven--;
        else
            error_at(t->span, "there is no '%s' that this '%s' could close", pairs[i].opener, pairs[i].closer);
        return;
    }
    char *found = arena_print(x->arena, "'%s'", pairs[i].closer);
    close_down(x, match + 1, t->span, found);
    x->open.n = match;
    push_closer(x, t->kind, t->span, false);
    if (t->kind == T_RC)
        x->forgiven = 0;
}

static void open_bracket(Lexer *x, const Token *t)
{
    if (x->open.n == MOST_BRACKETS) {
        error_at(t->span, "more than %d brackets are open here", MOST_BRACKETS);
        x->stopped = true;
        return;
    }
    PUSH(x->arena, x->open, ((Bracket){t->kind == T_QLB ? T_LB : t->kind, t->span}));
}

const Bracket *lex_open(const Lexer *x)
{
    const Bracket *b = x->open.n ? &x->open.at[x->open.n - 1] : NULL;

    return b && b->kind != T_LC ? b : NULL;
}

/* Whether the ( and [ of this statement, `depth` of them, are closed in what follows. */
static bool closes(const Lexer *x, int depth)
{
    int blocks = 0;

    for (const unsigned char *s = x->cur; s < x->end; s++) {
        switch (*s) {
        case '(': case '[': depth++; break;
        case ')': case ']': depth--; break;
        case '{': blocks++; break;
        case '}': blocks--; break;
        case '#':
            while (s < x->end && s[1] != '\n')
                s++;
            break;
        case '"':
            while (s < x->end && s[1] != '\n' && s[1] != '"')
                s += 1 + (s[1] == '\\');
            s++;
            break;
        case '\n':
            if (definition_at(s + 1))
                return false;
            break;
        }
        if (depth <= 0 || blocks < 0)
            return depth <= 0;
    }
    return false;
}

void lex_forgive(Lexer *x)
{
    int first = x->open.n;

    while (first > 0 && x->open.at[first - 1].kind != T_LC)
        first--;
    if (first == x->open.n || closes(x, x->open.n - first))
        return;
    x->forgiven += x->open.n - first;
    x->open.n = first;
}

/* A text that does not end has swallowed what closes the ( and [ before it, and the { at the end of its line. */
static void close_torn(Lexer *x, const Token *t)
{
    int keep = x->open.n;

    for (int i = t->span.end; x->text[i - 1] == ' ' || x->text[i - 1] == '{'; i--)
        x->forgiven += x->text[i - 1] == '{';

    while (keep > 0 && x->open.at[keep - 1].kind != T_LC)
        keep--;
    close_down(x, keep, (Span){x->file, t->span.end, t->span.end}, NULL);
}

/* --- the door --- */

void lex_begin(Lexer *x, Arena *a, int file)
{
    const Source *source = source_get(file);

    *x = (Lexer){.arena = a, .file = file, .last = T_NL};
    x->text = x->cur = (const unsigned char *)source->text;
    x->end = x->text + source->size;
    if (!strncmp(source->text, "\xEF\xBB\xBF", 3))
        x->cur += 3;
}

/* Reads on until there is something in the queue. */
static void fill(Lexer *x)
{
    Token t = {0};

    x->queue.n = x->given = 0;
    while (x->queue.n == 0) {
        t = (Token){0};
        x->stopped |= error_count() > MAX_ERRORS;
        if (x->stopped)
            t.span = span_of(x, x->end, x->end);
        else
            scan(x, &t);
        switch (t.kind) {
        case 0:
            if (x->stopped)
                x->open.n = 0;
            close_down(x, 0, after_last(x), END_OF_FILE);
            if (x->last != T_NL)
                push(x, T_NL, after_last(x), END_OF_FILE, x->stopped);
            t.made_up = x->stopped;
            PUSH(x->arena, x->queue, t);
            break;
        case T_NL:
            if (definition_at(x->cur) && (x->open.n || x->last != T_NL)) {
                const unsigned char *e = x->cur;
                bool broken = x->open.n > 0;
                while (is_letter(*e))
                    e++;
                close_down(x, 0, span_of(x, x->cur, e), DEFINITION);
                push(x, T_NL, after_last(x), END_OF_LINE, broken);
                x->forgiven = 0;
            } else if (!lex_open(x) && can_end(x->last) && !continues(x)) {
                push(x, T_NL, after_last(x), END_OF_LINE, false);
            }
            break;
        case T_LP: case T_LB: case T_QLB: case T_LC:
            open_bracket(x, &t);
            PUSH(x->arena, x->queue, t);
            break;
        case T_RP: case T_RB: case T_RC:
            close_bracket(x, &t);
            break;
        default:
            PUSH(x->arena, x->queue, t);
            if (t.kind == T_STRING && t.made_up)
                close_torn(x, &t);
            break;
        }
    }
}

Token lex_next(Lexer *x)
{
    if (x->given == x->queue.n)
        fill(x);
    Token t = x->queue.at[x->given++];
    x->last = t.kind;
    if (t.kind != T_NL && !t.made_up)
        x->last_end = t.span.end;
    return t;
}
