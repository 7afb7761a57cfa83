// parse.y -- the grammar of .nn (Lemon), the tree it builds, and what it says when a text does not fit.
%name Parse
%token_prefix T_
%token_type {Token}
%default_type {Node *}
%extra_context {Parser *p}
%stack_size 0
%start_symbol file

%include {
#include "syntax/lex.h"
#include "syntax/make.h"

#include <assert.h>
#include <stdlib.h>
}

%type items {Nodes}
%type bindings {Nodes}
%type paramlist {Nodes}
%type ports {Nodes}
%type stmts {Nodes}
%type settings {Nodes}
%type exprs {Nodes}
%type subs {Nodes}
%type idlist {Nodes}
%type args {Nodes}
%type kind {Token}
%type key {Token}
%type opt_comma {int}

// Soft keywords: where the grammar does not want the keyword, Lemon retries it as a name,
// so `train = 80%`, `state = carry`, `model = 1` stay legal.
%fallback ID IMPORT OPTION DATA FN LAYER MODEL TRAIN ON OF PARAM STATE IN ASSERT GRAD NEXT.

file ::= items(I). { p->tree = make_list(p, NODE_FILE, p->all, I); }

// An error ends with its line, or with the block of its definition.
items(A) ::= .                                { A = (Nodes){0}; }
items(A) ::= error NL.                        { A = (Nodes){0}; }
items(A) ::= items(A) item(I) NL.             { add(p, &A, I); }
items(A) ::= items(A) NL.
items(A) ::= items(A) error NL.

item(A) ::= IMPORT(K) STRING(S).              { A = make_text(p, NODE_IMPORT, K, S); }
item(A) ::= OPTION(K) bindings(B).            { A = make_list(p, NODE_OPTION, K.span, B); }
item(A) ::= ID(N) ASSIGN expr(E).             { A = make_named(p, NODE_CONSTANT, N, N, 1, E); }
item(A) ::= kind(K) ID(N) params(P) inputs(I) outputs(O) body(B).
                                              { A = make_define(p, K, N, P, I, O, B); }
item(A) ::= DATA(K) ID(N) ASSIGN expr(E).     { A = make_named(p, NODE_DATA, K, N, 2, E, NULL); }
item(A) ::= DATA(K) ID(N) ASSIGN expr(E) group(G).
                                              { A = make_named(p, NODE_DATA, K, N, 2, E, G); }
item(A) ::= TRAIN(K) ID(N) group(G).          { A = make_named(p, NODE_TRAIN, K, N, 2, NULL, G); }
item(A) ::= TRAIN(K) ID(N) ON ID(D) group(G). { A = make_named(p, NODE_TRAIN, K, N, 2, make_word(p, NODE_NAME, D), G); }
item(A) ::= kind error.                       { A = NULL; }
item(A) ::= kind error block.                 { A = NULL; }
item(A) ::= DATA error.                       { A = NULL; }
item(A) ::= DATA error group.                 { A = NULL; }
item(A) ::= TRAIN error.                      { A = NULL; }
item(A) ::= TRAIN error group.                { A = NULL; }

bindings(A) ::= binding(B).                   { A = (Nodes){0}; add(p, &A, B); }
bindings(A) ::= bindings(A) COMMA binding(B). { add(p, &A, B); }
binding(A)  ::= ID(N) ASSIGN expr(E).         { A = make_named(p, NODE_SETTING, N, N, 1, E); }

// ---- one header for all three kinds of definition:  kind name(params) of inputs -> outputs
kind(A) ::= FN(K).                            { A = K; A.number = DEFINE_FN; }
kind(A) ::= LAYER(K).                         { A = K; A.number = DEFINE_LAYER; }
kind(A) ::= MODEL(K).                         { A = K; A.number = DEFINE_MODEL; }
params(A) ::= .                               { A = NULL; }
params(A) ::= LP(L) RP(R).                    { A = make_list(p, NODE_PARAMS, span_join(L.span, R.span), (Nodes){0}); }
params(A) ::= LP(L) paramlist(P) opt_comma RP(R).
                                              { A = make_list(p, NODE_PARAMS, span_join(L.span, R.span), P); }
paramlist(A) ::= param(B).                    { A = (Nodes){0}; add(p, &A, B); }
paramlist(A) ::= paramlist(A) COMMA param(B). { add(p, &A, B); }
param(A) ::= ID(N).                           { A = make_named(p, NODE_PARAM, N, N, 1, NULL); }
param(A) ::= ID(N) ASSIGN expr(E).            { A = make_named(p, NODE_PARAM, N, N, 1, E); }
inputs(A) ::= .                               { A = NULL; }
inputs(A) ::= OF ports(P).                    { A = make_list(p, NODE_PORTS, NOWHERE, P); }
outputs(A) ::= .                              { A = NULL; }
outputs(A) ::= ARROW ports(P).                { A = make_list(p, NODE_PORTS, NOWHERE, P); }
ports(A) ::= port(B).                         { A = (Nodes){0}; add(p, &A, B); }
ports(A) ::= ports(A) COMMA port(B).          { add(p, &A, B); }
port(A) ::= ID(N).                            { A = make_named(p, NODE_PORT, N, N, 2, NULL, NULL); }
// x[C, H, W]
port(A) ::= ID(N) LB(L) exprs(E) opt_comma RB(R).
                                              { A = make_named(p, NODE_PORT, N, N, 2, make_list(p, NODE_LIST, span_join(L.span, R.span), E), NULL); }
// image: 1x28x28   text: class(V)[T]
port(A) ::= ID(N) COLON postfix(E).           { A = make_named(p, NODE_PORT, N, N, 2, NULL, E); }
body(A) ::= ASSIGN expr(E).                   { A = E; }
body(A) ::= block(B).                         { A = B; }

// ---- statements
block(A) ::= LC(L) stmts(S) RC(R).            { A = make_list(p, NODE_BLOCK, span_join(L.span, R.span), S); }
stmts(A) ::= .                                { A = (Nodes){0}; }
stmts(A) ::= error NL.                        { A = (Nodes){0}; }
stmts(A) ::= stmts(A) stmt(S) NL.             { add(p, &A, S); }
stmts(A) ::= stmts(A) NL.
stmts(A) ::= stmts(A) error NL.
// the last one is the result
stmt(A) ::= exprs(E).                         { A = make_list(p, NODE_RESULT, NOWHERE, E); }
// y = e   q, k, v = e   y[o] = e   y[o] += e
stmt(A) ::= exprs(T) ASSIGN(O) exprs(E).      { A = make_assign(p, T, O, E, 0); }
stmt(A) ::= exprs(T) PLUSEQ(O) exprs(E).      { A = make_assign(p, T, O, E, 1); }
// param w[O, C] ~ kaiming   param b[O] = 0   state mean[C] = 0   state mean[C] ~ mean(x)
stmt(A) ::= PARAM(K) port(P) ASSIGN expr(E).  { A = make_draw(p, K, P, E, 0, 0); }
stmt(A) ::= PARAM(K) port(P) TILDE expr(E).   { A = make_draw(p, K, P, E, 0, 1); }
stmt(A) ::= STATE(K) port(P) ASSIGN expr(E).  { A = make_draw(p, K, P, E, 1, 0); }
stmt(A) ::= STATE(K) port(P) TILDE expr(E).   { A = make_draw(p, K, P, E, 1, 1); }
stmt(A) ::= ASSERT(K) expr(E).                { A = make(p, NODE_ASSERT, K.span, 1, E); }
stmt(A) ::= branch(B).                        { A = B; }
// on a setting: chosen when compiling
branch(A) ::= IF(K) expr(C) block(T).         { A = make(p, NODE_BRANCH, K.span, 3, C, T, NULL); }
branch(A) ::= IF(K) expr(C) block(T) ELSE block(E).
                                              { A = make(p, NODE_BRANCH, K.span, 3, C, T, E); }
branch(A) ::= IF(K) expr(C) block(T) ELSE branch(E).
                                              { A = make(p, NODE_BRANCH, K.span, 3, C, T, make(p, NODE_BLOCK, NOWHERE, 1, E)); }
branch(A) ::= IF error block.                 { A = NULL; }
branch(A) ::= IF error block ELSE block.      { A = NULL; }

group(A) ::= LC(L) settings(S) RC(R).         { A = make_list(p, NODE_SETTINGS, span_join(L.span, R.span), S); }
settings(A) ::= .                             { A = (Nodes){0}; }
settings(A) ::= error NL.                     { A = (Nodes){0}; }
settings(A) ::= settings(A) setting(S) NL.    { add(p, &A, S); }
settings(A) ::= settings(A) NL.
settings(A) ::= settings(A) error NL.
setting(A) ::= key(K) ASSIGN exprs(E).        { A = make_setting(p, K, E); }
setting(A) ::= key(K) group(G).               { A = make_named(p, NODE_GROUP, K, K, 1, G); }
key(A) ::= ID(N).                             { A = N; }
key(A) ::= key(K) DOT ID(N).                  { A = make_key(p, K, N); }

// ---- expressions, loosest first
exprs(A) ::= expr(E).                         { A = (Nodes){0}; add(p, &A, E); }
exprs(A) ::= exprs(A) COMMA expr(E).          { add(p, &A, E); }
opt_comma ::= .
opt_comma ::= COMMA.

expr(A) ::= pipe(A).
expr(A) ::= pipe(B) DOTDOT(O) pipe(C).        { A = make_binary(p, NODE_RANGE, B, O, C); }
expr(A) ::= IF(K) expr(C) THEN expr(T) ELSE expr(E).
                                              { A = make(p, NODE_CHOOSE, K.span, 3, C, T, E); }

pipe(A) ::= or(A).
// x -> layer, and a checked shape ... : 16x5x5
pipe(A) ::= pipe(B) ARROW(O) prod(C).         { A = make_binary(p, NODE_PIPE, B, O, C); }
pipe(A) ::= pipe(B) COLON(O) prod(C).         { A = make_binary(p, NODE_SHAPE, B, O, C); }

or(A)  ::= and(A).
or(A)  ::= or(B) OR(O) and(C).                { A = make_binary(p, NODE_BINARY, B, O, C); }
and(A) ::= not(A).
and(A) ::= and(B) AND(O) not(C).              { A = make_binary(p, NODE_BINARY, B, O, C); }
not(A) ::= cmp(A).
not(A) ::= NOT(O) not(B).                     { A = make_unary(p, O, B); }
cmp(A) ::= sum(A).
cmp(A) ::= sum(B) REL(O) sum(C).              { A = make_binary(p, NODE_BINARY, B, O, C); }

sum(A) ::= term(A).
sum(A) ::= sum(B) PLUS(O) term(C).            { A = make_binary(p, NODE_BINARY, B, O, C); }
sum(A) ::= sum(B) MINUS(O) term(C).           { A = make_binary(p, NODE_BINARY, B, O, C); }

// a reduction binds looser than * and tighter than +, as a capital sigma does on paper
term(A) ::= prod(A).
term(A) ::= red(A).
term(A) ::= MINUS(O) red(B).                  { A = make_unary(p, O, B); }
term(A) ::= prod(B) STAR(O) red(C).           { A = make_binary(p, NODE_BINARY, B, O, C); }
term(A) ::= prod(B) SLASH(O) red(C).          { A = make_binary(p, NODE_BINARY, B, O, C); }
// sum[c, p, q] w[..] * x[..]
red(A)  ::= REDUCER(R) LB(L) idlist(I) RB(K) term(E).
                                              { A = make_reduce(p, R, make_list(p, NODE_LIST, span_join(L.span, K.span), I), E); }
idlist(A) ::= index(I).                       { A = (Nodes){0}; add(p, &A, I); }
idlist(A) ::= idlist(A) COMMA index(I).       { add(p, &A, I); }
index(A) ::= ID(N).                           { A = make_named(p, NODE_REDUCED, N, N, 1, NULL); }
// max[p in K]: a range that nothing else gives
index(A) ::= ID(N) IN expr(E).                { A = make_named(p, NODE_REDUCED, N, N, 1, E); }
index(A) ::= ELLIPSIS(T).                     { A = make(p, NODE_ELLIPSIS, T.span, 0); }

// numbers multiply; layer * n repeats; 7 // 2 is 3; a / b that is not whole is an error in a size
prod(A) ::= unary(A).
prod(A) ::= prod(B) STAR(O) unary(C).         { A = make_binary(p, NODE_BINARY, B, O, C); }
prod(A) ::= prod(B) SLASH(O) unary(C).        { A = make_binary(p, NODE_BINARY, B, O, C); }
prod(A) ::= prod(B) IDIV(O) unary(C).         { A = make_binary(p, NODE_BINARY, B, O, C); }
prod(A) ::= prod(B) MOD(O) unary(C).          { A = make_binary(p, NODE_BINARY, B, O, C); }
prod(A) ::= prod(B) AT(O) unary(C).           { A = make_binary(p, NODE_BINARY, B, O, C); }
unary(A) ::= power(A).
unary(A) ::= MINUS(O) unary(B).               { A = make_unary(p, O, B); }
power(A) ::= postfix(A).
power(A) ::= postfix(B) CARET(O) unary(C).    { A = make_binary(p, NODE_BINARY, B, O, C); }

postfix(A) ::= primary(A).
postfix(A) ::= postfix(F) LP RP(R).           { A = make_postfix(p, NODE_CALL, F, (Nodes){0}, R, 0); }
postfix(A) ::= postfix(F) LP args(E) opt_comma RP(R).
                                              { A = make_postfix(p, NODE_CALL, F, E, R, 0); }
postfix(A) ::= postfix(F) LB subs(E) opt_comma RB(R).
                                              { A = make_postfix(p, NODE_SUBSCRIPT, F, E, R, 0); }
// x?[i + p] reads 0 outside
postfix(A) ::= postfix(F) QLB exprs(E) opt_comma RB(R).
                                              { A = make_postfix(p, NODE_SUBSCRIPT, F, E, R, 1); }
postfix(A) ::= postfix(F) DOT ID(N).          { A = make_member(p, F, N); }
subs(A) ::= sub(E).                           { A = (Nodes){0}; add(p, &A, E); }
subs(A) ::= subs(A) COMMA sub(E).             { add(p, &A, E); }
sub(A) ::= expr(A).
// y[k in 8] = e
sub(A) ::= ID(N) IN expr(E).                  { A = make_named(p, NODE_REDUCED, N, N, 1, E); }
args(A) ::= arg(E).                           { A = (Nodes){0}; add(p, &A, E); }
args(A) ::= args(A) COMMA arg(E).             { add(p, &A, E); }
arg(A) ::= expr(A).
arg(A) ::= ID(N) ASSIGN expr(E).              { A = make_named(p, NODE_ARG, N, N, 1, E); }

primary(A) ::= ID(T).                         { A = make_word(p, NODE_NAME, T); }
primary(A) ::= NUMBER(T).                     { A = make_word(p, NODE_NUMBER, T); }
// 1x28x28
primary(A) ::= DIMS(T).                       { A = make_dims(p, T); }
primary(A) ::= PERCENT(T).                    { A = make_word(p, NODE_PERCENT, T); }
// 5 epochs, 200 steps, 30 min
primary(A) ::= DURATION(T).                   { A = make_word(p, NODE_DURATION, T); }
primary(A) ::= STRING(T).                     { A = make_word(p, NODE_STRING, T); }
primary(A) ::= TRUE(T).                       { A = make_word(p, NODE_BOOL, T); A->number = 1; }
primary(A) ::= FALSE(T).                      { A = make_word(p, NODE_BOOL, T); }
primary(A) ::= LP(L) expr(E) RP(R).           { A = E; A->span = span_join(L.span, R.span); }
primary(A) ::= LP(L) expr(E) COMMA exprs(F) opt_comma RP(R).
                                              { A = make_tuple(p, span_join(L.span, R.span), E, F); }
// a list of layers is a fork
primary(A) ::= LB(L) exprs(E) opt_comma RB(R).
                                              { A = make_list(p, NODE_LIST, span_join(L.span, R.span), E); }
// x[C, ...]
primary(A) ::= ELLIPSIS(T).                   { A = make(p, NODE_ELLIPSIS, T.span, 0); }
// next mean[c] = e: a state after this step; grad z = grad y * ...: your own derivative
primary(A) ::= NEXT(K) ID(N).                 { A = make_named(p, NODE_NEXT, K, N, 0); }
primary(A) ::= GRAD(K) ID(N).                 { A = make_named(p, NODE_GRAD, K, N, 0); }
// compose the body for each i
primary(A) ::= FOR(K) ID(N) IN expr(E) block(B).
                                              { A = make_named(p, NODE_FOR, K, N, 2, E, B); }

%code {

/* --- what would have fitted --- */

/* How a token is called in a message. An operator, or what begins an expression, is not listed by itself. */
typedef enum { SAY, OPERATOR, START, KEYWORD } Class;
static const struct { const char *name; Class class; } words[YYNTOKEN] = {
    [0] = {"the end of the file", SAY},
    [T_NL] = {"the end of the line", SAY}, [T_COMMA] = {"','", SAY}, [T_RP] = {"')'", SAY}, [T_RB] = {"']'", SAY},
    [T_RC] = {"'}'", SAY}, [T_LC] = {"'{'", SAY}, [T_ASSIGN] = {"'='", SAY}, [T_PLUSEQ] = {"'+='", OPERATOR},
    [T_TILDE] = {"'~'", SAY}, [T_THEN] = {"'then'", SAY}, [T_ELSE] = {"'else'", SAY}, [T_ON] = {"'on'", SAY},
    [T_OF] = {"'of'", SAY}, [T_IN] = {"'in'", SAY}, [T_ID] = {"a name", SAY}, [T_STRING] = {"a text in quotes", SAY},
    [T_LP] = {"'('", SAY}, [T_LB] = {"'['", SAY}, [T_QLB] = {"'?['", OPERATOR}, [T_DOT] = {"'.'", SAY},
    [T_COLON] = {"':'", SAY}, [T_ARROW] = {"'->'", SAY}, [T_ELLIPSIS] = {"'...'", SAY},
    [T_NUMBER] = {"a number", START}, [T_DIMS] = {"a size", START}, [T_PERCENT] = {"a percentage", START},
    [T_DURATION] = {"a duration", START}, [T_TRUE] = {"'true'", START}, [T_FALSE] = {"'false'", START},
    [T_NEXT] = {"'next'", START}, [T_GRAD] = {"'grad'", START}, [T_FOR] = {"'for'", START}, [T_IF] = {"'if'", START},
    [T_NOT] = {"'not'", START}, [T_REDUCER] = {"a reduction", START},
    [T_DOTDOT] = {"'..'", OPERATOR}, [T_OR] = {"'or'", OPERATOR}, [T_AND] = {"'and'", OPERATOR},
    [T_REL] = {"a comparison", OPERATOR}, [T_PLUS] = {"'+'", OPERATOR}, [T_MINUS] = {"'-'", OPERATOR},
    [T_STAR] = {"'*'", OPERATOR}, [T_SLASH] = {"'/'", OPERATOR}, [T_IDIV] = {"'//'", OPERATOR},
    [T_MOD] = {"'mod'", OPERATOR}, [T_AT] = {"'@'", OPERATOR}, [T_CARET] = {"'^'", OPERATOR},
    [T_IMPORT] = {"'import'", KEYWORD}, [T_OPTION] = {"'option'", KEYWORD}, [T_DATA] = {"'data'", KEYWORD},
    [T_FN] = {"'fn'", KEYWORD}, [T_LAYER] = {"'layer'", KEYWORD}, [T_MODEL] = {"'model'", KEYWORD}, [T_TRAIN] = {"'train'", KEYWORD},
    [T_PARAM] = {"'param'", KEYWORD}, [T_STATE] = {"'state'", KEYWORD}, [T_ASSERT] = {"'assert'", KEYWORD},
};

/* Whether the parser, as it stands, could go on to shift token t: its moves are tried on the state numbers alone.
 * Asked before a wrong token reaches the parser, which might reduce before it sees that nothing fits. */
static bool fits(const yyParser *y, int t)
{
    enum { ROOM = 64 };
    YYACTIONTYPE over[ROOM]; /* states pushed while trying, on top of the stack up to `top` */
    const yyStackEntry *top = y->yytos;
    int n = 0;

    for (;;) {
        YYACTIONTYPE a = yy_find_shift_action((YYCODETYPE)t, n ? over[n - 1] : top->stateno);
        if (a <= YY_MAX_SHIFTREDUCE || a == YY_ACCEPT_ACTION)
            return true;
        if (a < YY_MIN_REDUCE)
            return false;
        int rule = a - YY_MIN_REDUCE, pop = -yyRuleInfoNRhs[rule];
        for (; pop > 0 && n > 0; pop--)
            n--;
        top -= pop;
        if (n == ROOM)
            return false;
        over[n] = yy_find_reduce_action(n ? over[n - 1] : top->stateno, (YYCODETYPE)yyRuleInfoLhs[rule]);
        n++;
    }
}

static void list_word(Text *t, int *said, const char *word, bool last)
{
    text_print(t, "%s%s", *said == 0 ? "" : last ? " or " : ", ", word);
    ++*said;
}

/* "',' or ')'": what fits, with all operators and all beginnings of an expression as one thing each. */
static const char *expected(Parser *p, const yyParser *y)
{
    bool ok[YYNTOKEN];
    const char *list[YYNTOKEN + 4];
    Text text = {.arena = p->arena};
    int n = 0, said = 0;

    for (int t = 0; t < YYNTOKEN; t++)
        ok[t] = words[t].name && fits(y, t) &&
                !(words[t].class == SAY && ParseFallback(t) && fits(y, ParseFallback(t))); /* only as a name */
    bool start = ok[T_NUMBER], item = ok[0] && ok[T_ID], statement = start && ok[T_RC];
    bool setting = ok[T_ID] && ok[T_RC] && !start, operator = ok[T_PLUS] || ok[T_STAR];
    for (int t = 0; t < YYNTOKEN; t++) {
        if (words[t].class != SAY || !ok[t])
            continue;
        if (start && (t == T_ID || t == T_STRING || t == T_LP || t == T_LB || t == T_ELLIPSIS || t == T_NL))
            continue;
        if (operator && (t == T_ARROW || t == T_COLON || t == T_DOT || t == T_LP || t == T_LB))
            continue;
        if ((item || setting) && (t == 0 || t == T_NL || t == T_ID))
            continue;
        list[n++] = words[t].name;
    }
    if (start)
        list[n++] = statement ? "a statement" : "an expression";
    if (setting)
        list[n++] = "a setting";
    if (item)
        list[n++] = "a definition (data, fn, layer, model, train, option or import)";
    if (operator)
        list[n++] = "an operator";
    for (int i = 0; i < n; i++)
        list_word(&text, &said, list[i], i == n - 1);
    return said ? text.s : NULL;
}

static const char *spoken(Parser *p, Token t)
{
    if (t.kind == T_NL)
        return t.text;
    const char *s = source_get(p->file)->text + t.span.start;
    int n = t.span.end - t.span.start;
    if (t.kind == 0 || n > 40)
        return words[t.kind].name;
    return arena_print(p->arena, t.kind == T_STRING ? "%.*s" : "'%.*s'", n, s);
}

static bool same_line(Token a, Token b)
{
    const char *text = source_get(b.span.file)->text;

    return !memchr(text + a.span.end, '\n', (size_t)(b.span.start - a.span.end));
}

/* `mean[K]` as a port, `all[t] + ...`, `max[0]`: a reduction's name for something else. */
static bool takes_reducer(const Parser *p, const yyParser *y, Token t)
{
    bool port = t.kind == T_REDUCER && fits(y, T_ID), operand = p->before.kind == T_RB && fits(y, T_REDUCER);

    return port || (p->reducer.text && (operand || (fits(y, T_ELLIPSIS) && fits(y, T_ID) && !fits(y, T_NUMBER))));
}

/* What people of other languages mean. */
static void advise(const Parser *p, const yyParser *y, Token t)
{
    static const struct { const char *word, *advice; } table[] = {
        {"return", "the last line of a block is its result; there is no 'return'"},
        {"let", "a name is bound by 'name = value' alone"},
        {"var", "a name is bound by 'name = value' alone"},
        {"def", "a function of numbers is a 'fn', of tensors a 'layer'"},
        {"function", "a function of numbers is a 'fn', of tensors a 'layer'"},
        {"class", "a part of a network is a 'layer'"},
        {"while", "repetition is 'layer * n' or 'for i in 0..n { ... }'"},
        {"elif", "write 'else if'"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (p->before.text && !strcmp(p->before.text, table[i].word)) {
            help("%s", table[i].advice);
            return;
        }
    if (takes_reducer(p, y, t))
        help("'%s' before '[' is a reduction: a tensor needs another name", t.kind == T_REDUCER ? t.text : p->reducer.text);
    else if (t.kind == T_ASSIGN && fits(y, T_REL))
        help("equality is written ==");
    else if (p->before.kind == T_NUMBER && t.kind == T_ID)
        help("a duration has epochs, steps, samples, seconds, minutes or hours after its number; a product is written a * b");
    else if ((t.kind == T_PLUS || t.kind == T_MINUS) && fits(y, T_ARROW))
        help("a pipeline within a sum stands in parentheses: (x -> f) + y; so does [f, g] -> add");
    else if (t.kind == T_COLON && fits(y, T_ASSIGN) && fits(y, T_LC))
        help("a setting is written name = value");
    else if (t.kind == T_IDIV && fits(y, T_MODEL))
        help("a comment begins with #");
    else if (t.kind == T_ID && t.text[0] == 'x' && fits(y, T_STAR) && p->before.kind != T_RP)
        help("sizes with names are a list: (C, H * W), or [C, H, W] in a header; a product is written a * b");
    else if (t.kind == T_ID && fits(y, T_STAR) && same_line(p->before, t))
        help("what is applied stands after '->': x -> f; a product is written a * b");
    else if (t.kind == T_NL && fits(y, T_TILDE))
        help("a parameter begins with something: param w[O, C] ~ he, param b[O] = 0");
    else if (t.kind == T_STAR && p->before.kind == T_STAR)
        help("a power is written x^2");
    else if (t.kind == T_LC && fits(y, T_THEN))
        help("an 'if' that gives a value is written 'if c then a else b'");
}

static void unexpected(const yyParser *y, Token t)
{
    Parser *p = y->p;
    const Bracket *b = lex_open(p->lexer);
    const char *what = expected(p, y), *found = spoken(p, t);
    bool closer = b && fits(y, b->kind == T_LP ? T_RP : T_RB) && t.kind != T_RP && t.kind != T_RB;
    int line, column, here;

    if (!what) {
        error_at(t.span, "%s does not belong here", found);
    } else if (closer) {
        source_place(t.span, &here, &column);
        source_place(b->span, &line, &column);
        const char *to = b->kind == T_LP ? "(" : "[";
        if (line == here)
            error_at(t.span, "expected %s, but found %s", what, found);
        else
            error_marks(t.span, &(Mark){b->span, "opened here"}, 1, "expected %s to close '%s' of line %d, but found %s",
                        what, to, line, found);
    } else {
        error_at(t.span, "expected %s, but found %s", what, found);
    }
    advise(p, y, t);
    lex_forgive(p->lexer);
}

/* --- the door --- */

/* Text that is no text at all ends the matter; a byte that is not UTF-8 is one error among others. */
static bool readable(int file)
{
    const Source *s = source_get(file);
    const char *nul = memchr(s->text, '\0', (size_t)s->size);

    if (nul) {
        int at = (int)(nul - s->text);
        error_at((Span){file, at, at + 1}, "this is not a text file: it contains a NUL byte");
        return false;
    }
    int bad = utf8_error(s->text, s->size);
    if (bad >= 0) {
        error_at((Span){file, bad, bad + 1}, "the file is not in UTF-8: the byte 0x%02X begins no character",
                 (unsigned char)s->text[bad]);
        help("save it as UTF-8 in your editor, or convert it: iconv -f latin1 -t utf-8");
        return false;
    }
    return true;
}

/* A block in what an error makes the parser skip is skipped as a whole: its '}' must not end another one. */
static void skip_block(Lexer *x)
{
    for (int depth = 1; depth > 0;) {
        Token t = lex_next(x);
        depth = t.kind ? depth + (t.kind == T_LC) - (t.kind == T_RC) : 0;
    }
}

Node *parse(Arena *a, int file)
{
    yyParser y;
    Lexer lexer;
    Parser parser = {.arena = a, .file = file, .lexer = &lexer, .all = {file, 0, source_get(file)->size}}, *p = &parser;
    Token t = {.kind = T_NL};

    lex_begin(&lexer, a, file);
    ParseInit(&y, p);
    for (bool go = readable(file); go; go = t.kind && error_count() <= MAX_ERRORS) {
        t = lex_next(&lexer);
        if (t.made_up)
            y.yyerrcnt = 3; /* the lexer has said it */
        else if (y.yyerrcnt < 0 && !fits(&y, t.kind))
            unexpected(&y, t);
        Parse(&y, t.kind, t);
        if (t.kind == T_LC && y.yytos->major == YYERRORSYMBOL)
            skip_block(&lexer);
        if (t.kind == T_NL && y.yytos->major == T_NL)
            y.yyerrcnt = -1; /* a new line: its errors are news */
        p->before = t;
        if (t.kind == T_REDUCER || t.kind == T_NL)
            p->reducer = t.kind == T_REDUCER ? t : (Token){0};
    }
    ParseFinalize(&y);
    return p->tree && !p->too_deep ? p->tree : make_list(p, NODE_FILE, p->all, (Nodes){0});
}
}
