/* turn.c -- weights copied so that the channels of a result are neighbours.
 *
 * A product of samples in lanes takes its weights one by one, for as many channels of the result at once as a tile has.
 * Where these stand far apart in memory, every one comes from a line of the cache of its own, and the lines of wide
 * layers throw each other out. A copy with that axis last, made anew whenever the graph runs, is cheap beside a product
 * that uses every weight often.
 *
 * needs:  equations, no choices yet
 * leaves: such factors read the copy, which a new equation before makes */
#include "loops/build.h"

#include "graph/rewrite.h"

enum {
    USES = 320,              /* of one weight, from which on the copy takes a small part of the time */
    SMALL_WEIGHTS = 8 * 1024 /* so few stay in the first-level cache */
};

static double points(const Equation *q)
{
    double n = 1;

    for (int i = 0; i < q->nbox; i++)
        n *= (double)q->box[i]->size;
    return n;
}

/* The subscript is an index of the result, other than the batch. */
static bool is_of_result(const Equation *q, const Expr *e)
{
    bool found = false;

    for (int k = 1; k < q->out->rank && e->kind == EXPR_INDEX; k++)
        found |= q->at[k]->kind == EXPR_INDEX && q->at[k]->index == e->index;
    return found;
}

/* The axis over which the tensor's elements are the result's channels, or -1; not when such a one is the last already. */
static int axis_to_turn(const Equation *q, const Expr *load)
{
    const Tensor *t = load->tensor;
    int last = t->rank - 1;

    while (last > 0 && t->size[last] == 1)
        last--;
    for (int a = 0; a < last && !is_of_result(q, load->args[last]); a++)
        if (is_of_result(q, load->args[a]))
            return a;
    return -1;
}

/* The same subscripts, that of the axis last. */
static void turn(Expr **at, int rank, int axis)
{
    Expr *moved = at[axis];

    memmove(&at[axis], &at[axis + 1], (size_t)(rank - axis - 1) * sizeof at[0]);
    at[rank - 1] = moved;
}

/* The equation that makes the copy is put into *made. */
static Tensor *turned_copy(Build *b, Tensor *t, int axis, const Equation *q, Equation **made)
{
    const char *name = arena_print(b->arena, "%s.turned%d", t->name, axis);
    Tensor *copy = graph_find(b->graph, name);
    Expr *at[MAX_RANK];
    int64_t size[MAX_RANK];

    if (copy)
        return copy;
    for (int a = 0; a < t->rank; a++)
        at[a] = expr_index(b->arena, index_new(b->arena, arena_print(b->arena, "i%d", a), t->size[a]));
    Equation *made_here = NEW(b->arena, Equation);
    *made_here = (Equation){.how = EQ_MAP, .value = expr_load(b->arena, t, at, false), .layer = q->layer, .where = q->where};
    turn(at, t->rank, axis);
    for (int a = 0; a < t->rank; a++) {
        size[a] = at[a]->index->size;
        made_here->at[a] = at[a];
    }
    made_here->out = copy = graph_tensor(b->graph, name, ROLE_TEMP, t->rank, size);
    copy->where = t->where;
    equation_collect_box(made_here);
    *made = made_here;
    return copy;
}

/* The copy that q wants first, or NULL. */
Equation *turn_weights(Build *b, Equation *q)
{
    Equation *made = NULL;

    if (b->graph->single || q->how != EQ_SUM || !q->out->batched || q->out->rank < 2 || !is_batch(q->at[0]) ||
        !expr_is(q->value, OP_mul))
        return NULL;
    for (int i = 0; i < 2; i++) {
        Expr *w = q->value->args[i], *at[MAX_RANK];
        int axis = w->kind == EXPR_LOAD && !w->tensor->batched && !w->tensor->integer ? axis_to_turn(q, w) : -1;
        if (axis < 0 || tensor_count(w->tensor) < SMALL_WEIGHTS ||
            points(q) < USES * (double)tensor_count(w->tensor))
            continue;
        memcpy(at, w->args, sizeof at);
        turn(at, w->nargs, axis);
        Expr *load = expr_load(b->arena, turned_copy(b, w->tensor, axis, q, &made), at, w->padded);
        q->value = expr_op(b->arena, "mul", i ? q->value->args[0] : load, i ? load : q->value->args[1], NULL);
        break;
    }
    return made;
}
