/* equations.h -- graphs from text, for tests: the notation that print.c writes, read back.
 *
 *     static const char net[] =
 *         "input x[b,4,6]\n"                  tensors given from outside; a first size b: batched
 *         "input label[b] below 10\n"         whole numbers 0..9
 *         "param w[2,3]\n"
 *         "y[b,o,i 3] = sum[c,p] w[o,p] * x?[b,c,2*i+p-1]\n"   an index has the size of an axis where it
 *         "z[b,o] = tanh(max[i] y[b,o,i] + 1)\n"               stands alone, or the number behind its name
 *         "temp v[6]\n"                       needed before an equation whose places are compound:
 *         "v[2*i+j] += u[i,j]\n";             += sums over every index
 *
 * The index b runs over the batch. A mistake in the text ends the test program. */
#ifndef TEST_EQUATIONS_H
#define TEST_EQUATIONS_H

#include "graph/graph.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Reader {
    Graph *g;
    const char *s;
    Index *index[MAX_BOX]; /* of the equation being read */
    int nindex;
    How how;          /* of the reduction met, else EQ_MAP */
    Expr *reduced[MAX_BOX];
    int nreduced;
    Expr *value;      /* of the reduction */
} Reader;

static Expr *read_expr(Reader *r);

static void read_fail(const Reader *r, const char *what)
{
    fprintf(stderr, "equations.h: %s expected at \"%.40s\"\n", what, r->s);
    exit(99);
}

static void skip_blanks(Reader *r)
{
    while (*r->s == ' ')
        r->s++;
}

static bool accept(Reader *r, const char *what)
{
    size_t n = strlen(what);

    skip_blanks(r);
    if (strncmp(r->s, what, n) != 0)
        return false;
    if (isalpha((unsigned char)*what) && (isalnum((unsigned char)r->s[n]) || r->s[n] == '_' || r->s[n] == '.'))
        return false;
    r->s += n;
    return true;
}

static void need(Reader *r, const char *what)
{
    if (!accept(r, what))
        read_fail(r, what);
}

static const char *read_name(Reader *r)
{
    skip_blanks(r);
    const char *start = r->s;
    while (isalnum((unsigned char)*r->s) || *r->s == '_' || *r->s == '.')
        r->s++;
    if (r->s == start)
        read_fail(r, "a name");
    return arena_copy(r->g->arena, start, (size_t)(r->s - start));
}

static Index *find_index(Reader *r, const char *name)
{
    for (int i = 0; i < r->nindex; i++)
        if (strcmp(r->index[i]->name, name) == 0)
            return r->index[i];
    Index *x = strcmp(name, "b") == 0 ? index_batch(r->g) : index_new(r->g->arena, name, 0);
    r->index[r->nindex++] = x;
    return x;
}

/* Subscripts up to "]"; an index alone takes the size of the axis, or the number behind it. */
static int read_subscripts(Reader *r, Expr **at, const Tensor *t)
{
    int n = 0;

    do {
        Expr *e = at[n] = read_expr(r);
        skip_blanks(r);
        if (e->kind == EXPR_INDEX && e->index->size == 0 && t)
            e->index->size = t->size[n];
        n++;
    } while (accept(r, ","));
    need(r, "]");
    return n;
}

static bool read_reduction(Reader *r, Expr **e)
{
    static const char *const names[] = {"", "sum", "max", "min", "prod", "argmax"};

    for (int how = EQ_SUM; how <= EQ_ARGMAX; how++) {
        size_t n = strlen(names[how]);
        if (strncmp(r->s, names[how], n) != 0 || r->s[n] != '[')
            continue;
        r->s += n + 1;
        r->how = (How)how;
        r->nreduced = accept(r, "]") ? 0 : read_subscripts(r, r->reduced, NULL);
        r->value = NULL;
        *e = expr_result(r->g->arena);
        return true;
    }
    return false;
}

static Expr *make(Reader *r, const char *op, Expr *x, Expr *y)
{
    return expr_op(r->g->arena, op, x, y, NULL);
}

static Expr *read_call(Reader *r, const Op *op)
{
    Expr *args[3] = {0};

    for (int i = 0; i < op->arity; i++) {
        need(r, i ? "," : "(");
        args[i] = read_expr(r);
    }
    need(r, ")");
    return expr_apply(r->g->arena, op, args);
}

static Expr *read_product(Reader *r);

static Expr *read_atom(Reader *r)
{
    Expr *e;

    skip_blanks(r);
    if (isdigit((unsigned char)*r->s))
        return expr_number(r->g->arena, strtod(r->s, (char **)&r->s));
    if (accept(r, "inf"))
        return expr_number(r->g->arena, HUGE_VAL);
    if (accept(r, "(")) {
        e = read_expr(r);
        need(r, ")");
        return e;
    }
    if (read_reduction(r, &e)) {
        r->value = read_product(r);
        return e;
    }
    const char *name = read_name(r);
    if (strcmp(name, "random") == 0 && accept(r, "(")) {
        uint32_t stream = (uint32_t)strtoul(r->s, (char **)&r->s, 10);
        need(r, ",");
        e = expr_random(r->g->arena, stream, read_expr(r));
        need(r, ")");
        return e;
    }
    if (*r->s == '(' && op_find(name))
        return read_call(r, op_find(name));
    Tensor *t = graph_find(r->g, name);
    if (!t) {
        Index *x = find_index(r, name);
        if (r->s[0] == ' ' && isdigit((unsigned char)r->s[1]))
            x->size = strtoll(r->s, (char **)&r->s, 10);
        return expr_index(r->g->arena, x);
    }
    Expr *at[MAX_RANK] = {0};
    bool padded = accept(r, "?");
    if (t->rank) {
        need(r, "[");
        if (read_subscripts(r, at, t) != t->rank)
            read_fail(r, "another number of subscripts");
    }
    return expr_load(r->g->arena, t, at, padded);
}

static Expr *read_factor(Reader *r)
{
    if (accept(r, "-"))
        return make(r, "neg", read_factor(r), NULL);
    Expr *e = read_atom(r);
    return accept(r, "^") ? make(r, "pow", e, read_factor(r)) : e;
}

static Expr *read_product(Reader *r)
{
    Expr *e = read_factor(r);

    for (;;) {
        if (accept(r, "*"))
            e = make(r, "mul", e, read_factor(r));
        else if (accept(r, "//"))
            e = make(r, "idiv", e, read_factor(r));
        else if (accept(r, "/"))
            e = make(r, "div", e, read_factor(r));
        else if (accept(r, "%"))
            e = make(r, "mod", e, read_factor(r));
        else
            return e;
    }
}

static Expr *read_sum(Reader *r)
{
    Expr *e = read_product(r);

    for (;;) {
        if (accept(r, "+"))
            e = make(r, "add", e, read_product(r));
        else if (accept(r, "-"))
            e = make(r, "sub", e, read_product(r));
        else
            return e;
    }
}

static Expr *read_comparison(Reader *r)
{
    static const char *const signs[][2] = {{"<=", "le"}, {">=", "ge"}, {"==", "eq"},
                                           {"!=", "ne"}, {"<", "lt"},  {">", "gt"}};

    if (accept(r, "not"))
        return make(r, "not", read_comparison(r), NULL);
    Expr *e = read_sum(r);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (accept(r, signs[i][0]))
            return make(r, signs[i][1], e, read_sum(r));
    return e;
}

static Expr *read_expr(Reader *r)
{
    if (accept(r, "if")) {
        Expr *c = read_expr(r);
        need(r, "then");
        Expr *x = read_expr(r);
        need(r, "else");
        return expr_op(r->g->arena, "select", c, x, read_expr(r));
    }
    Expr *e = read_comparison(r);
    for (;;) {
        if (accept(r, "and"))
            e = make(r, "and", e, read_comparison(r));
        else if (accept(r, "or"))
            e = make(r, "or", e, read_comparison(r));
        else
            return e;
    }
}

/* "x[b,4,6]", perhaps "below 10" */
static Tensor *read_tensor(Reader *r, Role role)
{
    const char *name = read_name(r);
    int64_t size[MAX_RANK];
    int rank = 0;
    bool batched = false;

    if (accept(r, "["))
        do {
            skip_blanks(r);
            batched |= *r->s == 'b';
            size[rank++] = accept(r, "b") ? r->g->batch : strtoll(r->s, (char **)&r->s, 10);
        } while (accept(r, ",") || (need(r, "]"), false));
    Tensor *t = graph_tensor(r->g, name, role, rank, size);
    t->batched = batched;
    if (accept(r, "below")) {
        t->integer = true;
        skip_blanks(r);
        t->below = strtoll(r->s, (char **)&r->s, 10);
    }
    return t;
}

static Tensor *read_target(Reader *r, Expr **at)
{
    const char *name = read_name(r);
    Tensor *declared = graph_find(r->g, name);
    int64_t size[MAX_RANK] = {0};

    if (declared) {
        if (declared->rank) {
            need(r, "[");
            read_subscripts(r, at, declared);
        }
        return declared;
    }
    int rank = accept(r, "[") ? read_subscripts(r, at, NULL) : 0;
    Tensor *t = graph_tensor(r->g, name, ROLE_TEMP, rank, size);
    t->batched = rank && at[0]->kind == EXPR_INDEX && at[0]->index->batch;
    return t;
}

static void read_equation(Reader *r)
{
    Expr *at[MAX_RANK] = {0};

    r->nindex = r->nreduced = 0;
    r->how = EQ_MAP;
    const char *start = r->s;
    while (isalnum((unsigned char)*r->s) || *r->s == '_' || *r->s == '.')
        r->s++;
    bool padded = *r->s == '?';
    r->s = start;
    if (padded)
        *strchr((char *)r->s, '?') = ' ';
    Tensor *out = read_target(r, at);
    bool scatter = accept(r, "+=");
    if (!scatter)
        need(r, "=");
    Expr *e = read_expr(r);
    for (int k = 0; k < out->rank; k++)
        if (out->size[k] == 0)
            out->size[k] = at[k]->kind == EXPR_INDEX ? at[k]->index->size : 1;
    for (int i = 0; i < r->nindex; i++)
        if (r->index[i]->size == 0)
            read_fail(r, r->index[i]->name);
    bool reduces = r->how != EQ_MAP;
    Equation *q = graph_equation(r->g, out, at, scatter ? EQ_SUM : r->how, reduces ? r->value : e);
    q->padded = padded;
    if (reduces && e->kind != EXPR_RESULT)
        q->tail = e;
    out->integer |= r->how == EQ_ARGMAX && !q->tail;
    for (int i = 0; i < r->nreduced; i++) { /* an index that the value does not mention */
        bool there = false;
        for (int k = 0; k < q->nbox; k++)
            there |= q->box[k] == r->reduced[i]->index;
        if (!there)
            q->box[q->nbox++] = r->reduced[i]->index;
    }
}

static inline Graph *graph_read(Arena *a, int64_t batch, const char *text)
{
    Reader r = {.g = graph_new(a, "test", batch), .s = arena_copy(a, text, strlen(text))};

    while (skip_blanks(&r), *r.s) {
        if (accept(&r, "\n"))
            continue;
        if (accept(&r, "input"))
            read_tensor(&r, ROLE_INPUT);
        else if (accept(&r, "param"))
            read_tensor(&r, ROLE_PARAM);
        else if (accept(&r, "state"))
            read_tensor(&r, ROLE_STATE);
        else if (accept(&r, "scalar"))
            read_tensor(&r, ROLE_SCALAR);
        else if (accept(&r, "temp"))
            read_tensor(&r, ROLE_TEMP);
        else
            read_equation(&r);
        skip_blanks(&r);
        if (*r.s && *r.s != '\n')
            read_fail(&r, "the end of the line");
    }
    return r.g;
}

/* Every equation as print.c writes it, a line each, from number `first` on. */
static inline const char *graph_lines(const Graph *g, int first)
{
    Text t = {.arena = g->arena};

    text_print(&t, "%s", "");
    for (int i = first; i < g->equations.n; i++) {
        equation_print(&t, g->equations.at[i]);
        text_print(&t, "\n");
    }
    return t.s;
}

/* Pseudo-random numbers, spread over -1.5..1.5 and never near each other by accident: no ties, no kinks. */
static inline void fill(double *x, int64_t n, unsigned seed)
{
    uint32_t state = seed * 2654435761u + 12345;

    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (double)(state >> 8) / 16777216.0 * 3 - 1.5;
    }
}

/* A run with every tensor from outside filled: whole numbers below their bound, the count full, the rest random. */
static inline Run *run_filled(Arena *a, const Graph *g)
{
    Run *r = run_new(a, g);

    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *t = g->tensors.at[i];
        double *x = r->data[i];
        if (t->role == ROLE_TEMP)
            continue;
        fill(x, tensor_count(t), (unsigned)i + 1);
        for (int64_t k = 0; t->integer && k < tensor_count(t); k++)
            x[k] = (double)((int64_t)((x[k] + 1.5) * 1000) % (t->below ? t->below : 2));
        if (strcmp(t->name, "count") == 0 || strcmp(t->name, "total") == 0)
            x[0] = (double)g->batch;
        else if (t->role == ROLE_SCALAR)
            x[0] = 1;
    }
    return r;
}

#endif
