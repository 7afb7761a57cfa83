/* ops.c -- the table of operations as data, and derivatives made from its texts. */
#include "graph/graph.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#define A v[0]
#define B v[1]
#define C v[2]
#define EVAL(name, arity, value, da, db, dc, on_vectors, on_doubles, flags) \
    static double eval_##name(const double *v) { return value; }
OPS(EVAL)

#define TEXT(s) (sizeof(s) > 1 ? (s) : NULL)
#define ROW(op, args, value, da, db, dc, on_vectors, on_doubles, flags)                       \
    {.id = OP_##op, .name = #op, .arity = (args), .eval = eval_##op,                          \
     .derivative = {TEXT(da), TEXT(db), TEXT(dc)},                                            \
     .c_vector = (on_vectors), .c_scalar = (on_doubles),                                      \
     .whole = ((flags) & OP_WHOLE) != 0, .rounds = ((flags) & (OP_ROUNDS | OP_CONDITION)) != 0, \
     .condition = ((flags) & OP_CONDITION) != 0, .dear = ((flags) & OP_DEAR) != 0},
static const Op table[] = {OPS(ROW)};

enum { NOPS = sizeof table / sizeof *table };

const Op *op_at(int i)
{
    return i >= 0 && i < NOPS ? &table[i] : NULL;
}

const Op *op_find(const char *name)
{
    for (int i = 0; i < NOPS; i++)
        if (table[i].name[0] == name[0] && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* --- derivatives --- */

/* What the letters of a derivative stand for. */
typedef struct Reading {
    Arena *arena;
    const char *at;
    Expr *const *args;
    Expr *y;
    const Op *op;
} Reading;

static void expect(Reading *r, char c)
{
    if (*r->at++ != c)
        bug("derivative of %s: '%c' expected before \"%s\"", r->op->name, c, r->at - 1);
}

/* text = number | a | b | c | y | name(text, ...) */
static Expr *read_text(Reading *r)
{
    const char *start = r->at;

    if (isdigit((unsigned char)*start)) {
        char *end;
        double x = strtod(start, &end);
        r->at = end;
        return expr_number(r->arena, x);
    }
    while (isalnum((unsigned char)*r->at))
        r->at++;
    if (r->at - start == 1 && *start == 'y')
        return r->y;
    if (r->at - start == 1 && *start >= 'a' && *start < 'a' + r->op->arity)
        return r->args[*start - 'a'];

    const Op *op = op_find(arena_copy(r->arena, start, (size_t)(r->at - start)));
    if (!op)
        bug("derivative of %s: cannot read \"%s\"", r->op->name, start);
    Expr *args[3];
    for (int i = 0; i < op->arity; i++) {
        expect(r, i ? ',' : '(');
        args[i] = read_text(r);
    }
    expect(r, ')');
    return expr_apply(r->arena, op, args);
}

Expr *op_derivative(Arena *a, const Op *op, int i, Expr *const *args, Expr *y)
{
    if (!op->derivative[i])
        return NULL;
    Reading r = {a, op->derivative[i], args, y, op};
    Expr *d = read_text(&r);
    if (*r.at)
        bug("derivative of %s: too much text: \"%s\"", op->name, r.at);
    return d;
}
