/* scatter.c -- what is done to scattering sums before gather.c turns them round.
 *
 * Windows: transposed convolution lays whole kernels into a picture, whole[2*i+p] += w[p] * x[i], and then cuts the
 * margin off, y[i] = whole[i+1]. As y?[2*i+p-1] += w[p] * x[i] the two are one sum, which can be turned round like any
 * other.
 *
 * Spreading: where most places stay empty, x[2*i] += w[o] * g[o,i], the sum goes into a small tensor first, so that
 * nothing is summed in vain. */
#include "graph/rewrite.h"

/* --- windows --- */

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

/* --- spreading --- */

/* Indices that only take the value 0 are that number: a 1 x 1 window has none to move it. */
void drop_single_indices(Graph *g, Equation *q)
{
    Equation old = *q;
    Rename r = {0};

    for (int k = 0; k < q->nbox; k++)
        if (q->box[k]->size == 1 && !q->box[k]->batch) { /* the batch axis wants an index */
            r.from[r.nindex] = q->box[k];
            r.to[r.nindex++] = expr_number(g->arena, 0);
        }
    if (!r.nindex)
        return;
    for (int k = 0; k < q->out->rank; k++)
        q->at[k] = expr_place(g->arena, q->at[k], &r);
    q->value = expr_place(g->arena, q->value, &r);
    if (q->tail)
        q->tail = expr_place(g->arena, q->tail, &r);
    equation_set_box(q, 0, NULL);
    for (int k = 0; k < old.nbox; k++)
        if (old.box[k]->size > 1 || old.box[k]->batch)
            equation_add_index(q, old.box[k]);
}

/* The sum behind q, a sum into places of which most stay empty; q becomes the map that spreads it. */
Equation *sum_before_spreading(Graph *g, Equation *q)
{
    int outer = equation_outer(q);
    int64_t size[MAX_RANK], points = 1;
    Expr *at[MAX_RANK];

    for (int k = 0; k < outer; k++)
        points *= q->box[k]->size;
    if (q->nbox == outer || outer > MAX_RANK || 2 * points > tensor_count(q->out) ||
        !subscripts_injective(q->at, q->out->rank, q->box, outer))
        return NULL;
    Rename r = {.nindex = outer};
    Equation *sum = NEW(g->arena, Equation);
    *sum = *q;
    sum->padded = false;
    for (int k = 0; k < outer; k++) {
        Index *own = index_new(g->arena, q->box[k]->name, q->box[k]->size);
        own->batch = q->box[k]->batch;
        size[k] = own->size;
        at[k] = expr_index(g->arena, q->box[k]);
        r.from[k] = q->box[k];
        r.to[k] = sum->at[k] = expr_index(g->arena, own);
    }
    sum->out = graph_tensor(g, arena_print(g->arena, "%s.dense", q->out->name), ROLE_TEMP, outer, size);
    sum->out->batched = outer && q->box[0]->batch;
    sum->out->where = q->out->where;
    sum->value = expr_place(g->arena, q->value, &r);
    equation_set_box(sum, q->nbox - outer, q->box + outer);
    q->value = expr_load(g->arena, sum->out, at, false);
    q->nbox = outer;
    return sum;
}
