/* window.c -- a window on a scattering sum becomes a scattering sum itself.
 *
 * Transposed convolution lays whole kernels into a picture, whole[2*i+p] += w[p] * x[i], and then cuts the margin off,
 * y[i] = whole[i+1]. As y?[2*i+p-1] += w[p] * x[i] the two are one sum, which can be turned round like any other.
 *
 * needs:  equations in order
 * leaves: no map that only cuts a window out of a scattering sum which nobody else reads */
#include "graph/rewrite.h"

static void count_load(const Expr *load, void *reads)
{
    ((int *)reads)[load->tensor->id]++;
}

/* q is y[i, j] = x[i + 1, j + 1] or alike, for the sum x. */
static bool is_window(const Equation *q, const Equation *x)
{
    const Expr *e = q->value;

    if (q->how != EQ_MAP || e->kind != EXPR_LOAD || e->tensor != x->out || e->nargs != q->nbox ||
        !subscripts_plain(q->at, q->out->rank, q->out->size))
        return false;
    for (int k = 0; k < e->nargs; k++) {
        Affine f;
        if (!expr_affine(e->args[k], &f) || f.n != 1 || f.coef[0] != 1)
            return false;
        for (int j = 0; j < k; j++)
            if (expr_has_index(e->args[j], f.index[0]))
                return false;
    }
    return true;
}

/* q writes where x wrote, as far as that is in the window. */
static void scatter_into_window(Graph *g, Equation *q, const Equation *x)
{
    Rename r = {0};
    Affine f;

    for (int k = 0; k < x->out->rank; k++) {
        expr_affine(q->value->args[k], &f);
        r.from[r.nindex] = f.index[0];
        r.to[r.nindex++] = expr_op(g->arena, "sub", x->at[k], expr_number(g->arena, (double)f.offset), NULL);
    }
    for (int k = 0; k < q->out->rank; k++)
        q->at[k] = expr_place(g->arena, q->at[k], &r);
    q->how = EQ_SUM;
    q->padded = true;
    q->value = x->value;
    equation_set_box(q, x->nbox, x->box);
}

void graph_move_windows(Graph *g)
{
    int *reads = NEW_ARRAY(g->arena, int, g->tensors.n);
    Equation **makers = graph_makers(g);
    bool moved = false;

    for (int i = 0; i < g->equations.n; i++)
        equation_loads(g->equations.at[i], count_load, reads);
    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        const Equation *x = q->value->kind == EXPR_LOAD ? makers[q->value->tensor->id] : NULL;
        if (!x || !equation_scatters(x) || x->tail || reads[x->out->id] > 1 || x->out->wanted || !is_window(q, x))
            continue;
        scatter_into_window(g, q, x);
        moved = true;
    }
    if (moved)
        graph_drop_dead(g);
}
