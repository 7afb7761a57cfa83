/* value.c -- expressions as C, on sixteen lanes or on doubles.
 *
 * A value that depends on fewer dimensions of the tile than its user becomes a variable (or an array over its own
 * dimensions) further out, so that every load and every operation is done as rarely as it can be. */
#include "loops/nest.h"

#include <math.h>

void line(Text *t, int depth, const char *format, ...)
{
    va_list args;

    text_print(t, "%*s", 2 * depth, ""); /* kernels are deep: by two, not by four */
    va_start(args, format);
    text_vprint(t, format, args);
    va_end(args);
    text_add(t, "\n", 1);
}

static const char *double_text(Arena *a, double x)
{
    if (isnan(x))
        return "__builtin_nan(\"\")";
    if (isinf(x))
        return x > 0 ? "__builtin_inf()" : "-__builtin_inf()";
    const char *s = number_text(a, x);
    return strpbrk(s, ".e") ? s : arena_print(a, "%s.0", s);
}

const char *float_text(Arena *a, double x)
{
    if (isnan(x))
        return "__builtin_nanf(\"\")";
    if (isinf(x) || fabs(x) > 3.4028234663852886e38)
        return x > 0 ? "__builtin_inff()" : "-__builtin_inff()";
    if (x != 0 && fabs(x) < 1.1754943508222875e-38)
        return arena_print(a, "(float)%s", double_text(a, x)); /* no warning about what is lost */
    return arena_print(a, "%sf", double_text(a, x));
}

/* As an operand. */
static const char *operand(Scope *s, Piece p)
{
    return p.atom ? p.text : arena_print(s->n->b->arena, "(%s)", p.text);
}

/* A constant given as text of a whole number. */
static bool is_constant(const char *text)
{
    size_t digits = strspn(text, "-0123456789");
    return digits > 0 && !text[digits];
}

Piece scope_as(Scope *s, Piece p, Type type)
{
    Arena *a = s->n->b->arena;
    const char *x = p.text;

    if (p.type == type)
        return p;
    if (type == TYPE_VECTOR) {
        if (p.type == TYPE_WHOLE)
            x = arena_print(a, is_constant(x) ? "nn_set(%s.0f)" : "nn_set((float)(%s))", x);
        else if (p.type == TYPE_TRUTH)
            x = arena_print(a, "nn_set((%s) ? 1.0f : 0.0f)", x);
        else
            x = arena_print(a, p.type == TYPE_FLOAT ? "nn_set(%s)" : p.type == TYPE_MASK ? "nn_num(%s)" : NULL, x);
        return piece(type, p.dims, true, x);
    }
    if (type == TYPE_MASK) {
        if (p.type == TYPE_TRUTH || p.type == TYPE_WHOLE)
            return piece(type, p.dims, true, arena_print(a, "nn_seti(-(%s != 0))", operand(s, p)));
        p = scope_as(s, p, TYPE_VECTOR);
        return piece(type, p.dims, true, arena_print(a, "nn_ne(%s, nn_set(0.0f))", p.text));
    }
    if (type == TYPE_DOUBLE) {
        if (p.type == TYPE_WHOLE && is_constant(x))
            return piece(type, p.dims, true, arena_print(a, "%s.0", x));
        return piece(type, p.dims, true, arena_print(a, "(double)%s", operand(s, p)));
    }
    if (type == TYPE_TRUTH)
        return piece(type, p.dims, false, arena_print(a, "%s != 0", operand(s, p)));
    if (type == TYPE_FLOAT && p.type == TYPE_WHOLE && is_constant(x))
        return piece(type, p.dims, true, arena_print(a, "%s.0f", x));
    bug("a piece of C of the wrong type");
}

void scope_start(Scope *s, Nest *n, int depth)
{
    s->n = n;
    s->depth = depth;
    s->nmemo = 0;
    for (int i = 0; i <= MAX_TILES; i++)
        s->level[i] = (Text){.arena = n->b->arena};
}

void scope_know(Scope *s, const Expr *e, Piece p)
{
    if (s->nmemo == MAX_TEMPS)
        bug("an expression with more than %d values", MAX_TEMPS);
    s->memo[s->nmemo].e = e;
    s->memo[s->nmemo++].piece = p;
}

static const char *type_name(Type t)
{
    static const char *const name[] = {"long", "int", "float", "nn_v", "nn_m", "double"};

    return name[t];
}

Piece scope_keep(Scope *s, Piece p, const char *hint)
{
    Nest *n = s->n;
    Arena *a = n->b->arena;
    const char *name = nest_fresh_name(n, arena_print(a, "%s%d", hint, ++n->ntemps)), *type = type_name(p.type);
    int level = level_of(p.dims);

    if (level >= 0) {
        line(&s->level[level], s->depth + level, "const %s %s = %s;", type, name, p.text);
        return piece(p.type, p.dims, true, name);
    }
    /* With two dimensions this is the inner one alone: an array. */
    line(&s->level[0], s->depth, "%s %s[%d];", type, name, n->tile[1]);
    line(&s->level[0], s->depth, "NN_TILE(%s, %d)", n->step_name[1], n->tile[1]);
    line(&s->level[0], s->depth + 1, "%s[%s] = %s;", name, n->step_name[1], p.text);
    return piece(p.type, p.dims, true, arena_print(a, "%s[%s]", name, n->step_name[1]));
}

void scope_end(Scope *s, const char *last)
{
    Nest *n = s->n;
    int tiles = n->c->ntiles;

    scope_roll(s, &last);
    for (int d = 0; d <= tiles; d++) {
        text_add(&n->out, s->level[d].n ? s->level[d].s : "", s->level[d].n);
        if (d < tiles)
            line(&n->out, s->depth + d, "NN_TILE(%s, %d) {", n->step_name[d], n->tile[d]);
    }
    line(&n->out, s->depth + tiles, "%s", last);
    for (int d = tiles; d-- > 0;)
        line(&n->out, s->depth + d, "}");
}

/* --- operations --- */

/* The table's text with operands put in. */
static Piece from_table(Scope *s, const Op *op, const Piece *x)
{
    Text t = {.arena = s->n->b->arena};
    const char *form = s->n->doubles ? op->c_scalar : op->c_vector;
    unsigned dims = 0;
    Type type = s->n->doubles ? (op->condition ? TYPE_TRUTH : TYPE_DOUBLE) : op->condition ? TYPE_MASK : TYPE_VECTOR;

    for (int i = 0; i < op->arity; i++)
        dims |= x[i].dims;
    for (const char *f = form; *f; f++)
        if (*f == '%' && f[1] >= 'a' && f[1] <= 'c')
            text_print(&t, "%s", operand(s, x[*++f - 'a']));
        else
            text_add(&t, f, 1);
    bool call = form[0] == 'n' || (form[0] >= 'a' && form[0] <= 'z' && strchr(form, '('));
    return piece(type, dims, call && form[strlen(form) - 1] == ')' && !strstr(form, ") "), t.s);
}

/* Operands of an operation on vectors. C's own operators take a vector and a number. */
static void make_vectors(Scope *s, const Op *op, int n, Piece *x)
{
    bool number[2] = {false, false}, takes = op->id == OP_add || op->id == OP_sub || op->id == OP_mul || op->id == OP_div;

    for (int i = 0; i < n && takes; i++)
        number[i] = x[i].type == TYPE_FLOAT || (x[i].type == TYPE_WHOLE && is_constant(x[i].text));
    for (int i = 0; i < n; i++)
        x[i] = scope_as(s, x[i], takes && number[i] && !number[1 - i] ? TYPE_FLOAT : TYPE_VECTOR);
}

static bool all_whole(const Expr *e, const Piece *x)
{
    switch (e->op->id) {
    case OP_add: case OP_sub: case OP_mul: case OP_neg: case OP_idiv: case OP_mod: case OP_max: case OP_min:
    case OP_lt: case OP_le: case OP_gt: case OP_ge: case OP_eq: case OP_ne: case OP_and: case OP_or: case OP_not:
    case OP_abs:
        break;
    default: return false;
    }
    for (int i = 0; i < e->nargs; i++)
        if (x[i].type != TYPE_WHOLE && x[i].type != TYPE_TRUTH)
            return false;
    return true;
}

/* Logic on conditions of C. */
static Piece truth_op(Scope *s, const Expr *e, const Piece *x)
{
    Arena *a = s->n->b->arena;
    Piece p = scope_as(s, x[0], TYPE_TRUTH), q = e->nargs > 1 ? scope_as(s, x[1], TYPE_TRUTH) : p;
    unsigned dims = p.dims | q.dims;

    if (e->op->id == OP_not)
        return piece(TYPE_TRUTH, dims, true, arena_print(a, "!%s", operand(s, p)));
    return piece(TYPE_TRUTH, dims, false,
                 arena_print(a, e->op->id == OP_and ? "%s && %s" : "%s || %s", operand(s, p), operand(s, q)));
}

/* `b < count` when the samples are walked one by one: the loop ends there. */
static bool always_true(const Nest *n, const Expr *e)
{
    return expr_is(e, OP_lt) && is_batch(e->args[0]) && e->args[1]->kind == EXPR_LOAD &&
           e->args[1]->tensor->role == ROLE_SCALAR && strcmp(e->args[1]->tensor->name, "count") == 0 &&
           !over_samples(n->c);
}

/* Operands of different dimensions: the ones that change less are computed further out. */
static void hoist_operands(Scope *s, int count, Piece *x)
{
    unsigned all = 0;

    for (int i = 0; i < count; i++)
        all |= x[i].dims;
    for (int i = 0; i < count; i++)
        if (x[i].dims != all && !x[i].atom)
            x[i] = scope_keep(s, x[i], "t");
}

static Piece choice(Scope *s, const Piece *x)
{
    Arena *a = s->n->b->arena;
    Piece y[3] = {x[0], x[1], x[2]};
    Type type = s->n->doubles ? TYPE_DOUBLE : TYPE_VECTOR;

    if (x[1].type == x[2].type && (x[1].type == TYPE_WHOLE || x[1].type == TYPE_FLOAT))
        type = x[1].type;
    if (y[0].type == TYPE_WHOLE)
        y[0] = scope_as(s, y[0], TYPE_TRUTH);
    if (y[0].type != TYPE_TRUTH) {
        y[0] = scope_as(s, y[0], TYPE_MASK);
        type = TYPE_VECTOR;
    }
    y[1] = scope_as(s, y[1], type);
    y[2] = scope_as(s, y[2], type);
    hoist_operands(s, 3, y);
    unsigned dims = y[0].dims | y[1].dims | y[2].dims;
    if (y[0].type == TYPE_MASK)
        return piece(type, dims, true, arena_print(a, "nn_select(%s, %s, %s)", y[0].text, y[1].text, y[2].text));
    return piece(type, dims, false, arena_print(a, "%s ? %s : %s", operand(s, y[0]), y[1].text, y[2].text));
}

static Piece operation(Scope *s, const Expr *e)
{
    Nest *n = s->n;
    Piece x[3];
    unsigned dims = 0;

    if (e->op->id == OP_detach)
        return scope_value(s, e->args[0]);
    if (always_true(n, e))
        return piece(TYPE_TRUTH, 0, true, "1");
    if (e->op->id == OP_select && always_true(n, e->args[0]))
        return scope_value(s, e->args[1]);
    for (int i = 0; i < e->nargs; i++)
        x[i] = scope_value(s, e->args[i]);
    if (e->op->id == OP_select)
        return choice(s, x);
    if (all_whole(e, x)) {
        if (e->op->id == OP_and || e->op->id == OP_or || e->op->id == OP_not)
            return truth_op(s, e, x);
        if (expr_whole(e)) {
            const char *text[3] = {"", "", ""};
            hoist_operands(s, e->nargs, x);
            for (int i = 0; i < e->nargs; i++) {
                dims |= x[i].dims;
                text[i] = operand(s, x[i]);
            }
            return piece(e->op->condition ? TYPE_TRUTH : TYPE_WHOLE, dims, true,
                         whole_operation(n->b->arena, e, text));
        }
    }
    bool logic = e->op->id == OP_and || e->op->id == OP_or || e->op->id == OP_not;
    for (int i = 0; i < e->nargs && (n->doubles || logic); i++)
        x[i] = scope_as(s, x[i], n->doubles ? (logic ? TYPE_TRUTH : TYPE_DOUBLE) : TYPE_MASK);
    if (!n->doubles && !logic)
        make_vectors(s, e->op, e->nargs, x);
    hoist_operands(s, e->nargs, x);
    return from_table(s, e->op, x);
}

static Piece value(Scope *s, const Expr *e)
{
    Nest *n = s->n;

    switch (e->kind) {
    case EXPR_NUMBER:
        if (expr_whole(e) && fabs(e->number) < 1e9 && !(e->number == 0 && signbit(e->number)))
            return piece(TYPE_WHOLE, 0, true, arena_print(n->b->arena, "%lld", (long long)e->number));
        if (n->doubles)
            return piece(TYPE_DOUBLE, 0, e->number >= 0, double_text(n->b->arena, e->number));
        return piece(TYPE_FLOAT, 0, true, float_text(n->b->arena, e->number));
    case EXPR_INDEX: return scope_index(s, e);
    case EXPR_LOAD: return scope_load(s, e);
    case EXPR_OP: return operation(s, e);
    case EXPR_RESULT: return s->result;
    case EXPR_RANDOM: return scope_random(s, e);
    }
    bug("an expression of no kind");
}

/* How many users every node of e has, in `slot`. */
static void count_users(const Expr *node, unsigned walk)
{
    Expr *e = (Expr *)node;

    if (e->walk == walk) {
        e->slot++;
        return;
    }
    e->walk = walk;
    e->slot = 1;
    for (int i = 0; i < e->nargs; i++)
        count_users(e->args[i], walk);
}

void scope_users(const Expr *e) { count_users(e, expr_walk()); }

Piece scope_value(Scope *s, const Expr *e)
{
    for (int i = 0; i < s->nmemo; i++)
        if (s->memo[i].e == e || (e->kind == EXPR_LOAD && expr_same(s->memo[i].e, e)))
            return s->memo[i].piece;
    Piece p = value(s, e);
    /* Shared nodes are met again: worth a variable, unless it is one already. */
    if (e->kind == EXPR_OP && e->slot > 1 && !p.atom)
        p = scope_keep(s, p, "t");
    if (e->kind != EXPR_NUMBER && e->kind != EXPR_RESULT)
        scope_know(s, e, p);
    return p;
}

/* --- products --- */

enum { MAX_FACTORS = 16 };

static void factors_of(Scope *s, const Expr *e, int *n, Piece *x)
{
    if (expr_is(e, OP_mul) && *n < MAX_FACTORS - 1) {
        factors_of(s, e->args[0], n, x);
        factors_of(s, e->args[1], n, x);
        return;
    }
    x[(*n)++] = scope_value(s, e);
}

static Piece multiplied(Scope *s, Piece p, Piece q)
{
    Piece x[2] = {p, q};

    make_vectors(s, op_at(OP_mul), 2, x);
    return from_table(s, op_at(OP_mul), x);
}

/* Factors of equal dimensions first, then those that are part of another's, until two are left. */
static int merge_factors(Scope *s, int n, Piece *x)
{
    while (n > 2) {
        int best = 0, with = 1;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                bool part = i != j && (x[i].dims & x[j].dims) == x[i].dims;
                if (part && (x[best].dims & x[with].dims) != x[best].dims) {
                    best = i;
                    with = j;
                } else if (part && x[i].dims == x[j].dims && x[best].dims != x[with].dims) {
                    best = i;
                    with = j;
                }
            }
        int keep = best < with ? best : with, drop = best < with ? with : best;
        x[keep] = multiplied(s, x[keep], x[drop]);
        memmove(&x[drop], &x[drop + 1], sizeof *x * (size_t)(n - drop - 1));
        n--;
    }
    return n;
}

Piece scope_multiply_add(Scope *s, const Expr *product, Piece sum)
{
    Piece x[MAX_FACTORS];
    int n = 0;
    Arena *a = s->n->b->arena;

    factors_of(s, product, &n, x);
    n = merge_factors(s, n, x);
    hoist_operands(s, n, x);
    if (x[1].type == TYPE_FLOAT) {
        Piece swap = x[0];
        x[0] = x[1];
        x[1] = swap;
    }
    if (x[0].type != TYPE_FLOAT)
        x[0] = scope_as(s, x[0], TYPE_VECTOR);
    x[1] = scope_as(s, x[1], TYPE_VECTOR);
    hoist_operands(s, 2, x);
    return piece(TYPE_VECTOR, x[0].dims | x[1].dims | sum.dims, true,
                 arena_print(a, x[0].type == TYPE_FLOAT ? "nn_fmas(%s, %s, %s)" : "nn_fma(%s, %s, %s)", x[0].text,
                             x[1].text, sum.text));
}
