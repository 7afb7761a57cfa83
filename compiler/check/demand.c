/* demand.c -- an assertion about elements, in a loss: what is demanded of the data.
 *
 * Where the data section lets it be known, it is judged when compiling. Else a sample that does not keep to it has the
 * loss -inf, which nothing else gives, and which the trainer can explain. */
#include "check/value.h"

#include <math.h>

/* --- what is known --- */

enum { MOST_STEPS = 1000 }; /* to find the value of an element; transforms of data are shorter */

typedef struct Trial {
    Checker *c;
    const Tensor *field;
    double value; /* of all its elements */
    bool met;     /* the field has been asked for */
    int steps;
} Trial;

static const Equation *made_by(const Graph *g, const Tensor *t)
{
    const Equation *found = NULL;

    for (int i = 0; i < g->equations.n; i++)
        if (g->equations.at[i]->out == t) {
            if (found)
                return NULL;
            found = g->equations.at[i];
        }
    return found;
}

/* NaN: not known. */
static double trial_value(Trial *t, const Expr *e)
{
    double v[3];

    if (t->steps++ > MOST_STEPS)
        return (double)NAN;
    if (e->kind == EXPR_NUMBER)
        return e->number;
    if (e->kind == EXPR_LOAD && e->tensor == t->field) {
        t->met = true;
        return t->value;
    }
    if (e->kind == EXPR_LOAD) {
        const Equation *q = made_by(t->c->graph, e->tensor);
        return q && q->how == EQ_MAP && !q->tail ? trial_value(t, q->value) : (double)NAN;
    }
    if (e->kind != EXPR_OP)
        return (double)NAN;
    for (int i = 0; i < e->nargs; i++) {
        v[i] = trial_value(t, e->args[i]);
        if (isnan(v[i]))
            return (double)NAN;
    }
    return e->op->eval(v);
}

/* Whether the condition is known not to hold where the field has this value. */
static bool fails(Checker *c, const Raw *r, double value, const Expr *condition)
{
    Trial t = {.c = c, .field = r->tensor, .value = value};
    double holds = trial_value(&t, condition);

    return t.met && holds == 0;
}

static bool is_transformed(Checker *c, const char *name)
{
    for (int i = 0; i < c->fields.n; i++)
        if (strcmp(c->fields.at[i].name, name) == 0)
            return true;
    return false;
}

/* A transform of the field that would do. */
static void help_transform(Checker *c, const Raw *r, const Expr *condition)
{
    static const struct { double times, plus; const char *text; } ways[] = {
        {0.5, 0.5, "(%s + 1) / 2"}, {2, -1, "2 * %s - 1"}, {1.0 / 255, 0, "%s / 255"}};

    for (size_t i = 0; i < sizeof ways / sizeof *ways && !is_transformed(c, r->name); i++) {
        Text t = {.arena = c->arena};
        if (fails(c, r, ways[i].times * r->least + ways[i].plus, condition) ||
            fails(c, r, ways[i].times * r->most + ways[i].plus, condition))
            continue;
        const char *hole = strstr(ways[i].text, "%s");
        text_print(&t, "%.*s%s%s", (int)(hole - ways[i].text), ways[i].text, r->name, hole + 2);
        help("in the data section: %s = %s", r->name, t.s);
        return;
    }
}

/* False after an error. */
static bool judge(Checker *c, Frame *f, const Expr *condition, const char *text, Span at)
{
    for (int i = 0; i < c->raws.n; i++) {
        const Raw *r = c->raws.at[i];
        if (r->graph != c->graph || r->least == r->most || (!fails(c, r, r->least, condition) && !fails(c, r, r->most, condition)))
            continue;
        error_in(c, f, at, "%s", text);
        note_at(r->where, "%s is %s %s %s%s", r->name, number_text(c->arena, r->least), r->rank > 1 ? "to" : "or",
                number_text(c->arena, r->most), is_transformed(c, r->name) ? " before its transform" : "");
        help_transform(c, r, condition);
        return false;
    }
    return true;
}

/* --- what is not --- */

/* The first field that the condition depends on, or NULL. */
static const char *field_behind(Checker *c, const Expr *e, int *steps)
{
    const char *name = NULL;

    if (e->kind == EXPR_LOAD && (*steps)++ < MOST_STEPS) {
        const Equation *q = made_by(c->graph, e->tensor);
        for (int i = 0; i < c->raws.n && !name; i++)
            if (c->raws.at[i]->graph == c->graph && c->raws.at[i]->tensor == e->tensor)
                name = e->tensor->name;
        if (!name && q && e->tensor->role == ROLE_TEMP)
            name = field_behind(c, q->value, steps);
    }
    for (int i = 0; i < e->nargs && !name && e->kind == EXPR_OP; i++)
        name = field_behind(c, e->args[i], steps);
    return name;
}

void demand(Checker *c, Frame *f, const Node *condition, const char *why)
{
    Node yes = {.kind = NODE_NUMBER, .number = 1, .span = condition->span}, no = {.kind = NODE_NUMBER, .span = condition->span};
    const Node *parts[] = {condition, &yes, &no};
    const Node choice = {.kind = NODE_CHOOSE, .span = condition->span, .n = 3, .child = (Node **)parts};
    Val v = lift(c, f, &choice, "holds");
    Text t = {.arena = c->arena};
    int steps = 0;

    if (v.kind != VAL_TENSOR)
        return;
    if (!v.tensor->batched) {
        error_in(c, f, condition->span, "this differs neither from sample to sample nor is it known when compiling");
        return;
    }
    if (why)
        text_print(&t, "%s", why);
    else
        tree_source(&t, condition);
    const Expr *e = made_by(c->graph, v.tensor)->value;
    if (c->first) {
        if (!judge(c, f, e, why ? why : arena_print(c->arena, "this does not hold: %s", t.s), condition->span))
            return;
        Demand d = {.loss = f->def->name, .text = t.s, .field = field_behind(c, e, &steps), .where = c->judging};
        d.transformed = d.field && is_transformed(c, d.field);
        PUSH(c->arena, c->program->demands, d);
    }
    PUSH(c->arena, c->demands, v.tensor);
}

/* The least over a sample: 1 where all hold. */
static Expr *all_hold(Checker *c, Frame *f, Tensor *t, Index *batch)
{
    Expr *subs[MAX_RANK] = {expr_index(c->arena, batch)};

    for (int i = 1; i < t->rank; i++)
        subs[i] = expr_index(c->arena, index_new(c->arena, "i", t->size[i]));
    Expr *e = expr_load(c->arena, t, subs, false);
    if (t->rank > 1)
        e = expr_load(c->arena, materialise(c, f, "holds", EQ_MIN, e, 1, &batch, t->where), subs, false);
    return expr_op(c->arena, "gt", e, expr_number(c->arena, 0), NULL);
}

Val demanded(Checker *c, Frame *f, Val loss)
{
    for (int k = 0; k < c->demands.n && loss.tensor->batched; k++) {
        Tensor *t = loss.tensor;
        Index *out[MAX_RANK];
        Expr *subs[MAX_RANK];
        for (int i = 0; i < t->rank; i++) {
            out[i] = i ? index_new(c->arena, "i", t->size[i]) : elem_new(c, f).ambient[0];
            subs[i] = expr_index(c->arena, out[i]);
        }
        Expr *e = expr_op(c->arena, "select", all_hold(c, f, c->demands.at[k], out[0]), expr_load(c->arena, t, subs, false),
                          expr_number(c->arena, -HUGE_VAL));
        loss = val_tensor(materialise(c, f, "loss.each", EQ_MAP, e, t->rank, out, loss.span), loss.span);
    }
    c->demands.n = 0;
    return loss;
}
