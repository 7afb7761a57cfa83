/* hoist.c -- dear work that stands deeper in a loop than it must is done once, before it.
 *
 * A subexpression with a dear operation that knows fewer indices than the place it stands in gets an equation of its
 * own: over numbers and scalars only (1 - b1^steps in Adam) one of rank 0, which is computed in double; over some of the
 * indices (sqrt(var[c] + eps) in batch norm) a small tensor. A division by something so small becomes a product with its
 * reciprocal: one rounding more, far fewer divisions.
 *
 * needs:  equations in order
 * leaves: the same, with small equations in front of those that read them; equal ones are one */
#include "graph/rewrite.h"

/* A small tensor pays when it has at most one element for so many points. */
enum { POINTS_PER_ELEMENT = 4 };

typedef struct Hoist {
    Graph *graph;
    Arena *arena;
    LIST(Equation *) done; /* the new list of equations */
    const Equation *reader;
    int nbox;              /* how many of the reader's indices there are where we look */
} Hoist;

/* The reader's indices in e, the batch first; false when e knows as much as its place, or stands for the reduction. */
static bool small(const Hoist *h, const Expr *e, Index **index, int *n)
{
    double all = 1, own = 1;

    *n = 0;
    for (int k = 0; k < h->nbox; k++) {
        Index *i = h->reader->box[k];
        all *= (double)i->size;
        if (!expr_has_index(e, i))
            continue;
        own *= (double)i->size;
        index[(*n)++] = i;
        for (int j = *n - 1; j > 0 && i->batch; j--) {
            index[j] = index[j - 1];
            index[j - 1] = i;
        }
    }
    return own * POINTS_PER_ELEMENT <= all && *n <= MAX_RANK;
}

static bool find_result(Expr *e, unsigned walk)
{
    if (e->kind == EXPR_RESULT)
        return true;
    if (e->walk == walk)
        return false;
    e->walk = walk;
    for (int i = 0; i < e->nargs; i++)
        if (find_result(e->args[i], walk))
            return true;
    return false;
}

static bool may_leave(const Hoist *h, Expr *e)
{
    Index *index[MAX_BOX];
    int n;

    /* In one that is computed once anyway there is nothing to gain. */
    return h->nbox > 0 && !expr_whole(e) && !expr_is_condition(e) && small(h, e, index, &n) && !find_result(e, expr_walk());
}

static Expr *own_equation(Hoist *h, Expr *e)
{
    const Equation *reader = h->reader;
    Index *index[MAX_BOX];
    int64_t size[MAX_RANK];
    Expr *at[MAX_RANK];
    int n;

    small(h, e, index, &n);
    Equation *q = NEW(h->arena, Equation);
    *q = (Equation){.how = EQ_MAP, .layer = reader->layer, .where = reader->where, .backward = reader->backward};
    Rename r = {.nindex = n};
    for (int k = 0; k < n; k++) {
        Index *own = index_new(h->arena, index[k]->name, index[k]->size);
        own->batch = index[k]->batch;
        size[k] = own->size;
        at[k] = expr_index(h->arena, index[k]);
        r.from[k] = index[k];
        q->at[k] = r.to[k] = expr_index(h->arena, own);
    }
    const char *name = n ? arena_print(h->arena, "%s.part", reader->out->name) : "scalar";
    q->out = graph_tensor(h->graph, name, ROLE_TEMP, n, size);
    q->out->where = reader->where;
    q->out->batched = n && index[0]->batch;
    q->value = expr_place(h->arena, e, &r);
    equation_set_box(q, 0, NULL);
    PUSH(h->arena, h->done, q);
    return expr_load(h->arena, q->out, at, false);
}

static Expr *hoist(Hoist *h, Expr *e)
{
    Expr *args[MAX_RANK];
    bool changed = false;

    /* Subscripts and counters are whole: nothing dear to find there. */
    if (e->kind != EXPR_OP || !expr_dear(e))
        return e;
    if (may_leave(h, e))
        return own_equation(h, e);
    if (e->op->id == OP_div && e->args[1]->kind != EXPR_NUMBER && !expr_is_number(e->args[0], 1) &&
        may_leave(h, e->args[1])) {
        Expr *once = expr_op(h->arena, "div", expr_number(h->arena, 1), e->args[1], NULL);
        return expr_op(h->arena, "mul", hoist(h, e->args[0]), own_equation(h, once), NULL);
    }
    for (int i = 0; i < e->nargs; i++) {
        args[i] = hoist(h, e->args[i]);
        changed |= args[i] != e->args[i];
    }
    return changed ? expr_apply(h->arena, e->op, args) : e;
}

void graph_hoist(Graph *g)
{
    Hoist h = {.graph = g, .arena = g->arena};

    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        h.reader = q;
        h.nbox = q->nbox;
        q->value = hoist(&h, q->value);
        h.nbox = equation_outer(q);
        if (q->tail)
            q->tail = hoist(&h, q->tail);
        PUSH(g->arena, h.done, q);
    }
    g->equations.at = h.done.at;
    g->equations.n = h.done.n;
    g->equations.room = h.done.room;
    graph_simplify(g); /* equal parts of several equations are computed once */
    graph_drop_dead(g);
}
