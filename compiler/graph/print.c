/* print.c -- equations as people write them.
 *
 *     y[b,o,i,j] = tanh(sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-2,j+q-2] + bias[o])
 *     d.x[b,c,i+p,j+q] += w[o,c,p,q] * d.y[b,o,i,j]
 *
 * `x?[...]` reads 0 outside, `d.x?[...] +=` drops what falls outside; `+=` sums over every index that stands there.
 * Of an expression too long to write out, what stands in several places is written once, in lines that follow:
 *
 *     y[i] = if i == 0 then t1 + t2 else t1 - t2 where
 *         t1 = ... */
#include "graph/rewrite.h"

#include <math.h>

/* How tightly things bind, loosest first. A reduction binds looser than *, tighter than +. */
enum { IF, OR, AND, NOT, COMPARE, ADD, REDUCE, MUL, NEG, POWER, ATOM };

enum { MAX_WRITTEN = 1000, MAX_PARTS = 128 };

typedef struct Printer {
    Text *text;
    const Equation *equation; /* or NULL */
    bool narrow;              /* inside subscripts: no spaces */
    int nparts;
    Expr *part[MAX_PARTS];    /* t1, t2 ...: written once */
} Printer;

static const struct {
    OpId op;
    const char *sign;
    int level, left, right; /* its own level, and what its operands must have at least */
} infix[] = {
    {OP_or, "or", OR, OR, AND},          {OP_and, "and", AND, AND, NOT},
    {OP_lt, "<", COMPARE, ADD, ADD},     {OP_le, "<=", COMPARE, ADD, ADD},
    {OP_gt, ">", COMPARE, ADD, ADD},     {OP_ge, ">=", COMPARE, ADD, ADD},
    {OP_eq, "==", COMPARE, ADD, ADD},    {OP_ne, "!=", COMPARE, ADD, ADD},
    {OP_add, "+", ADD, ADD, REDUCE},     {OP_sub, "-", ADD, ADD, REDUCE},
    {OP_mul, "*", MUL, MUL, NEG},        {OP_div, "/", MUL, MUL, NEG},
    {OP_idiv, "//", MUL, MUL, NEG},      {OP_mod, "%", MUL, MUL, NEG},
    {OP_pow, "^", POWER, ATOM, POWER},
};

static void print_expr(Printer *p, const Expr *e, int level);

static const char *index_name(const Printer *p, const Index *x)
{
    int same = 0; /* indices of this name before x */

    for (int i = 0; p->equation && i < p->equation->nbox && p->equation->box[i] != x; i++)
        same += strcmp(p->equation->box[i]->name, x->name) == 0;
    return same ? arena_print(p->text->arena, "%s%d", x->name, same + 1) : x->name;
}

static void print_subscripts(Printer *p, Expr *const *at, int n)
{
    bool narrow = p->narrow;

    if (n == 0)
        return;
    p->narrow = true;
    text_print(p->text, "[");
    for (int i = 0; i < n; i++) {
        text_print(p->text, "%s", i ? "," : "");
        print_expr(p, at[i], IF);
    }
    text_print(p->text, "]");
    p->narrow = narrow;
}

static void print_infix(Printer *p, const Expr *x, const char *sign, const Expr *y, int left, int right)
{
    print_expr(p, x, left);
    text_print(p->text, left == ATOM || (p->narrow && left > COMPARE) ? "%s" : " %s ", sign);
    print_expr(p, y, right);
}

static void open(Printer *p, int level, int wanted)
{
    if (level < wanted)
        text_print(p->text, "(");
}

static void close(Printer *p, int level, int wanted)
{
    if (level < wanted)
        text_print(p->text, ")");
}

/* x * x of one x is x^2, and that times x is x^3. */
static int power_of(const Expr *e, const Expr **base)
{
    if (!expr_is(e, OP_mul) || e->args[1]->kind == EXPR_NUMBER)
        return 0;
    *base = e->args[1];
    if (e->args[0] == *base)
        return 2;
    return expr_is(e->args[0], OP_mul) && e->args[0]->args[0] == *base && e->args[0]->args[1] == *base ? 3 : 0;
}

static void print_call(Printer *p, const Expr *e)
{
    text_print(p->text, "%s(", e->op->name);
    for (int i = 0; i < e->nargs; i++) {
        text_print(p->text, "%s", i == 0 ? "" : p->narrow ? "," : ", ");
        print_expr(p, e->args[i], IF);
    }
    text_print(p->text, ")");
}

static void print_op(Printer *p, const Expr *e, int level)
{
    const Expr *base;
    int power = power_of(e, &base);

    if (power) {
        open(p, POWER, level);
        print_expr(p, base, ATOM);
        text_print(p->text, "^%d", power);
        close(p, POWER, level);
    } else if (e->op->id == OP_select) {
        open(p, IF, level);
        text_print(p->text, "if ");
        print_expr(p, e->args[0], OR);
        text_print(p->text, " then ");
        print_expr(p, e->args[1], OR);
        text_print(p->text, " else ");
        print_expr(p, e->args[2], IF);
        close(p, IF, level);
    } else if (e->op->id == OP_neg || e->op->id == OP_not) {
        int own = e->op->id == OP_neg ? NEG : NOT;
        open(p, own, level);
        text_print(p->text, own == NEG ? "-" : "not ");
        print_expr(p, e->args[0], own);
        close(p, own, level);
    } else {
        for (size_t i = 0; i < sizeof infix / sizeof *infix; i++) {
            if (infix[i].op != e->op->id)
                continue;
            open(p, infix[i].level, level);
            print_infix(p, e->args[0], infix[i].sign, e->args[1], infix[i].left, infix[i].right);
            close(p, infix[i].level, level);
            return;
        }
        print_call(p, e);
    }
}

static const char *reduction(How how)
{
    static const char *const names[] = {"", "sum", "max", "min", "prod", "argmax"};

    return names[how];
}

/* sum[c,p,q] value */
static void print_reduction(Printer *p, const Equation *q, int level)
{
    int outer = equation_outer(q);

    open(p, REDUCE, level);
    text_print(p->text, "%s[", reduction(q->how));
    for (int i = outer; i < q->nbox; i++)
        text_print(p->text, "%s%s", i > outer ? "," : "", index_name(p, q->box[i]));
    text_print(p->text, "] ");
    print_expr(p, q->value, MUL);
    close(p, REDUCE, level);
}

static void print_expr(Printer *p, const Expr *e, int level)
{
    for (int i = 0; i < p->nparts; i++)
        if (p->part[i] == e) {
            text_print(p->text, "t%d", i + 1);
            return;
        }
    switch (e->kind) {
    case EXPR_NUMBER:
        open(p, signbit(e->number) ? NEG : ATOM, level);
        text_print(p->text, "%s", number_text(p->text->arena, e->number));
        close(p, signbit(e->number) ? NEG : ATOM, level);
        break;
    case EXPR_INDEX: text_print(p->text, "%s", index_name(p, e->index)); break;
    case EXPR_LOAD:
        text_print(p->text, "%s%s", e->tensor->name, e->padded ? "?" : "");
        print_subscripts(p, e->args, e->nargs);
        break;
    case EXPR_OP: print_op(p, e, level); break;
    case EXPR_RESULT:
        if (p->equation)
            print_reduction(p, p->equation, level);
        else
            text_print(p->text, "result");
        break;
    case EXPR_RANDOM:
        text_print(p->text, "random(%s, ", number_text(p->text->arena, e->number));
        print_expr(p, e->args[0], IF);
        text_print(p->text, ")");
        break;
    }
}

void expr_print(Text *t, const Expr *e)
{
    print_expr(&(Printer){.text = t}, e, IF);
}

/* --- parts of long expressions --- */

/* How many users every operation has, in `slot`. */
static void count_users(Expr *e, unsigned walk)
{
    if (e->kind != EXPR_OP)
        return;
    if (e->walk == walk) {
        e->slot++;
        return;
    }
    e->walk = walk;
    e->slot = 1;
    for (int i = 0; i < e->nargs; i++)
        count_users(e->args[i], walk);
}

/* Operations with several users, each after those in it. */
static void find_parts(Printer *p, Expr *e)
{
    int users = e->kind == EXPR_OP ? e->slot : 0;

    if (users == 0)
        return;
    e->slot = 0;
    for (int i = 0; i < e->nargs; i++)
        find_parts(p, e->args[i]);
    if (users > 1 && !expr_is_condition(e) && p->nparts < MAX_PARTS)
        p->part[p->nparts++] = e;
}

static void print_parts(Printer *p)
{
    if (p->nparts)
        text_print(p->text, " where");
    for (int n = p->nparts, i = 0; i < n; i++) {
        p->nparts = i; /* what it is, in terms of those before it */
        text_print(p->text, "\n        t%d = ", i + 1);
        print_expr(p, p->part[i], IF);
    }
}

void equation_print(Text *t, const Equation *q)
{
    Printer p = {.text = t, .equation = q};
    bool scatters = equation_scatters(q);

    if (!q->tail && expr_written(q->value) > MAX_WRITTEN) {
        count_users(q->value, expr_walk());
        find_parts(&p, q->value);
    }

    text_print(t, "%s%s", q->out->name, q->padded ? "?" : "");
    print_subscripts(&p, q->at, q->out->rank);
    text_print(t, scatters ? " += " : " = ");
    if (q->tail)
        print_expr(&p, q->tail, IF);
    else if (q->how == EQ_MAP || scatters)
        print_expr(&p, q->value, IF);
    else
        print_reduction(&p, q, IF);
    print_parts(&p);
}

/* "b 64, o 6; c 1, p 5": the box, what is reduced after the semicolon. */
static void print_box(Text *t, const Equation *q)
{
    Printer p = {.text = t, .equation = q};
    int outer = equation_outer(q);

    for (int i = 0; i < q->nbox; i++)
        text_print(t, "%s%s %lld", i == 0 ? "  # " : i == outer ? "; " : ", ", index_name(&p, q->box[i]),
                   (long long)q->box[i]->size);
}

void graph_print(Text *t, const Graph *g)
{
    static const char *const roles[] = {"input ", "param ", "state ", "scalar", "temp  "};

    text_print(t, "graph %s, batch %lld\n", g->name, (long long)g->batch);
    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *x = g->tensors.at[i];
        if (x->role == ROLE_TEMP)
            continue;
        text_print(t, "    %s %s", roles[x->role], x->name);
        for (int k = 0; k < x->rank; k++)
            text_print(t, "%s%lld", k ? "," : "[", (long long)x->size[k]);
        text_print(t, "%s%s%s%s\n", x->rank ? "]" : "", x->integer ? " integer" : "",
                   x->next ? ", next " : "", x->next ? x->next->name : "");
    }
    for (int i = 0; i < g->equations.n; i++) {
        const Equation *q = g->equations.at[i];
        text_print(t, "  %s ", q->out->wanted ? "*" : " ");
        equation_print(t, q);
        print_box(t, q);
        text_print(t, "\n");
    }
}
