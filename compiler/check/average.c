/* average.c -- a moving average of the weights: `ema = 0.999`.
 *
 * What bears the name of a weight, and is evaluated, predicted with and saved, is the average w. What is trained is
 * t, a state beside it:
 *
 *     now = if steps == 1 then w else t     and all that read w in the step read this
 *     next t = what the optimizer makes of now
 *     next w = ema(w, next t)               lang/averages.nn
 *
 * so a phase, or weights from a file, start from w. */
#include "check/average.h"

#include <math.h>

static Tensor *trained_beside(Checker *c, Frame *f, const Tensor *w)
{
    const char *name = arena_print(c->arena, "optimizer.%s.trained", w->name);
    bool fresh = !program_kept(c->program, name);
    Tensor *t = kept_tensor(c, name, KEPT_OPTIMIZER, w->rank, w->size, f, NOWHERE);

    if (fresh)
        init_constant(c, program_kept(c->program, name), 0);
    return t;
}

static Tensor *weight_now(Checker *c, Frame *f, Tensor *w, Tensor *trained)
{
    const Node at = {.kind = NODE_NAME, .text = w->name, .span = w->where};
    Expr *steps = expr_scalar(c->arena, graph_scalar(c->graph, "steps"));
    Expr *first = expr_op(c->arena, "eq", steps, expr_number(c->arena, 1), NULL);
    Elem el = {0};

    elem_imply(c, &el, w->rank, w->size);
    Expr *e = expr_op(c->arena, "select", first, elem_load(c, f, &el, w, &at), elem_load(c, f, &el, trained, &at));
    return materialise(c, f, arena_print(c->arena, "%s.now", w->name), EQ_MAP, e, w->rank, el.implied, w->where);
}

/* Equations from number `from` on go before all others, which read what they make instead of the weights. */
static void move_to_front(Graph *g, int from, Tensor *const *now_of)
{
    int fresh = g->equations.n - from;
    Equation **all = NEW_ARRAY(g->arena, Equation *, g->equations.n);

    for (int i = 0; i < from; i++) {
        Equation *q = all[fresh + i] = g->equations.at[i];
        q->value = expr_with_tensors(g->arena, q->value, now_of);
        if (q->tail)
            q->tail = expr_with_tensors(g->arena, q->tail, now_of);
    }
    memcpy(all, g->equations.at + from, (size_t)fresh * sizeof *all);
    memcpy(g->equations.at, all, (size_t)g->equations.n * sizeof *all);
    for (int i = 0; i < g->customs.n; i++) {
        g->customs.at[i]->first += fresh;
        g->customs.at[i]->last += fresh;
    }
}

bool average_open(Checker *c, Frame *f, const Node *setting, Average *a)
{
    Graph *g = c->graph;
    Val v = eval(c, f, setting->child[0]);
    int from = g->equations.n;

    if (v.kind == VAL_ERROR)
        return false;
    if (v.kind != VAL_NUMBER || !(v.number >= 0 && v.number < 1)) {
        error_at(setting->child[0]->span, "ema is the share of the average that stays in a step, 0 or more and less than 1");
        help("0.999 averages over a thousand steps or so");
        return false;
    }
    a->share = setting->child[0];
    a->trained = NEW_ARRAY(c->arena, Tensor *, a->n);
    a->now = NEW_ARRAY(c->arena, Tensor *, a->n);
    for (int i = 0; i < a->n; i++) {
        a->trained[i] = trained_beside(c, f, a->weight[i]);
        a->now[i] = weight_now(c, f, a->weight[i], a->trained[i]);
    }
    Tensor **now_of = NEW_ARRAY(c->arena, Tensor *, g->tensors.n);
    for (int i = 0; i < g->tensors.n; i++)
        now_of[i] = g->tensors.at[i];
    for (int i = 0; i < a->n; i++)
        now_of[a->weight[i]->id] = a->now[i];
    move_to_front(g, from, now_of);
    return true;
}

bool average_close(Checker *c, Frame *f, const Average *a)
{
    Arg share = {.val = eval(c, f, a->share), .span = a->share->span};
    LayerVal ema = {.kind = LAYER_DEF, .name = "ema", .space = "averages", .node = a->share, .nargs = 1, .args = &share};

    for (int i = 0; i < a->n; i++) {
        Tensor *w = a->weight[i], *next = a->now[i]->next;
        Elem el = {0};
        if (!next)
            continue; /* the loss does not depend on it */
        a->now[i]->next = NULL;
        kept_next(a->trained[i], next);
        elem_imply(c, &el, w->rank, w->size);
        Expr *in[] = {elem_load(c, f, &el, w, a->share), elem_load(c, f, &el, next, a->share)};
        Expr *e = apply_element(c, f, &el, &ema, 2, in, a->share);
        if (!e)
            return false;
        kept_next(w, materialise(c, f, arena_print(c->arena, "%s.average", w->name), EQ_MAP, e, w->rank, el.implied, a->share->span));
    }
    return true;
}
