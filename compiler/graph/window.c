/* window.c -- which equations are sums over channels and a window of 3 x 3 at stride 1, or the gradient of their weights. */
#include "graph/window.h"

static bool is_reduced(const Equation *q, const Index *i)
{
    for (int k = equation_outer(q); k < q->nbox; k++)
        if (q->box[k] == i)
            return true;
    return false;
}

/* i + p + number or i - p + number: i of the result, p one of three that are summed, or the other way round. */
static bool is_place(const Window *w, const Expr *e, Index **place, Index **step, bool *turned)
{
    Affine f;

    if (!expr_affine(e, &f) || f.n != 2)
        return false;
    int k = is_reduced(w->q, f.index[0]) != w->gradient ? 0 : 1;
    *step = f.index[k];
    *place = f.index[1 - k];
    *turned = f.coef[k] == -1;
    return is_reduced(w->q, *step) != w->gradient && is_reduced(w->q, *place) == w->gradient && !(*place)->batch &&
           f.coef[1 - k] == 1 && (f.coef[k] == 1 || (*turned && !w->gradient)) && (*step)->size == WINDOW;
}

/* x[b, c, place, place], in any order but for the samples. */
static bool is_picture(Window *w, const Expr *x)
{
    int places = 0;

    if (x->kind != EXPR_LOAD || x->tensor->batched == w->single || x->tensor->integer || x->tensor->rank != 4 - w->single ||
        (!w->single && (x->args[0]->kind != EXPR_INDEX || x->args[0]->index != w->batch)))
        return false;
    w->channel = NULL;
    for (int k = !w->single; k < x->nargs; k++)
        if (x->args[k]->kind == EXPR_INDEX && is_reduced(w->q, x->args[k]->index) != w->gradient && !w->channel)
            w->channel = x->args[k]->index;
        else if (places == 2 || !is_place(w, x->args[k], &w->place[places], &w->step[places], &w->turned[places]))
            return false;
        else
            places++;
    w->x = x;
    return w->channel && places == 2 && w->place[0] != w->place[1] && w->step[0] != w->step[1] &&
           (!w->single || x->args[x->nargs - 1]->kind == EXPR_INDEX);
}

/* The other factor: w[o, c, p, q], or g[b, o, i, j], in any order but for the samples. */
static bool is_other(const Window *w, const Expr *e)
{
    const Index *weight[4] = {w->out, w->channel, w->step[0], w->step[1]};
    const Index *result[4] = {w->batch, w->out, w->place[0], w->place[1]}, **want = w->gradient ? result : weight;

    if (e->kind != EXPR_LOAD || e->tensor->batched != w->gradient || e->tensor->integer || e->padded || e->tensor->rank != 4)
        return false;
    for (int i = 0; i < 4; i++) {
        bool found = false;
        for (int k = 0; k < 4; k++)
            found |= e->args[k]->kind == EXPR_INDEX && e->args[k]->index == want[i];
        if (!found)
            return false;
    }
    return !w->gradient || e->args[0]->index == w->batch;
}

bool window_find(Window *w, Equation *q, bool single)
{
    int rank = 4 - single;

    *w = (Window){.q = q, .single = single, .gradient = !q->out->batched && !single};
    if (q->how != EQ_SUM || q->padded || q->out->rank != rank || q->nbox != rank + 3 || equation_outer(q) != rank ||
        !subscripts_plain(q->at, rank, q->out->size) || !expr_is(q->value, OP_mul))
        return false;
    for (int k = 0; k < q->nbox; k++)
        if (q->box[k]->batch)
            w->batch = q->box[k];
    if (!is_picture(w, q->value->args[0]) && !is_picture(w, q->value->args[1]))
        return false;
    for (int k = 0; k < rank; k++) {
        Index *i = q->at[k]->index;
        if (w->gradient ? i != w->channel && i != w->step[0] && i != w->step[1]
                        : i != w->batch && i != w->place[0] && i != w->place[1])
            w->out = i;
    }
    w->w = q->value->args[w->x == q->value->args[0]];
    return w->out && is_other(w, w->w) && (!single || q->at[rank - 1]->index == w->out);
}
