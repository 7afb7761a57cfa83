/* panels.c -- of one sample: weights as one sum reads them, sixteen channels after sixteen.
 *
 * A sum whose channels are neighbours, y[i,j,o] = sum[c,p,q] w[c,p,q,o] * x[...], reads for sixteen of them one line of the
 * cache of every row of w, rows that lie far apart in a wide layer. Copies of weights and what is made of them are ours to
 * lay out: as w[o1,c,p,q,o0], channel 16 * o1 + o0, what such a sum reads is one piece of memory.
 *
 * needs:  the graph of one sample, its channels last; leaves all others alone
 * leaves: such weights in panels; the parameters themselves stay */
#include "graph/rewrite.h"

enum { LANES = 16 };

typedef struct Panels {
    Graph *g;
    Arena *arena;
    const bool *weights; /* by tensor id: follows from parameters and states alone */
    bool *refused;       /* by tensor id: somebody reads it otherwise */
    bool *read;          /* by tensor id: by somebody */
    const Equation *q;   /* the reader */
} Panels;

static bool is_plain(const Expr *e) { return e->kind == EXPR_INDEX; }

/* The load of weights whose last index is the last of the result and stands nowhere else, or NULL. */
static const Expr *weights_of(const Panels *p, const Equation *q)
{
    const Expr *v = q->value, *last = q->out->rank ? q->at[q->out->rank - 1] : NULL;

    if (q->how != EQ_SUM || !last || !is_plain(last) || !expr_is(v, OP_mul))
        return NULL;
    for (int k = 0; k < 2; k++) {
        const Expr *w = v->args[k];
        bool alone = w->kind == EXPR_LOAD && p->weights[w->tensor->id] && w->nargs > 0 && expr_same(w->args[w->nargs - 1], last) &&
                     !expr_has_index(v->args[1 - k], last->index);
        for (int a = 0; alone && a + 1 < w->nargs; a++)
            alone = !expr_has_index(w->args[a], last->index);
        for (int a = 0; alone && a + 1 < q->out->rank; a++)
            alone = !expr_has_index(q->at[a], last->index);
        if (alone)
            return w;
    }
    return NULL;
}

static void note_reader(const Expr *load, void *user)
{
    Panels *p = user;
    int id = load->tensor->id;

    p->read[id] = true;
    p->refused[id] |= weights_of(p, p->q) != load;
}

/* An index in two: 16 * first + second. */
static Expr *part_index(const Panels *p, const Index *i, Expr **first, Expr **second)
{
    Arena *a = p->arena;

    *first = expr_index(a, index_new(a, arena_print(a, "%s1", i->name), i->size / LANES));
    *second = expr_index(a, index_new(a, arena_print(a, "%s0", i->name), LANES));
    return expr_op(a, "add", expr_op(a, "mul", expr_number(a, LANES), *first, NULL), *second, NULL);
}

/* Subscripts [first, others..., second] of the old ones. */
static void place_panel(Expr **at, int rank, Expr *first, Expr *second)
{
    memmove(&at[1], &at[0], (size_t)(rank - 1) * sizeof *at);
    at[0] = first;
    at[rank] = second;
}

/* q, with index x parted; of what it adds up, `w` gets the parts as subscripts of their own. */
static void part_equation(const Panels *p, Equation *q, Index *x, const Expr *w, Expr **first, Expr **second)
{
    Expr *both = part_index(p, x, first, second), *args[MAX_RANK];
    Index *reduced[MAX_BOX];
    int outer = equation_outer(q), n = q->nbox - outer;
    Rename r = {.nindex = 1, .from = {x}, .to = {both}};

    memcpy(reduced, &q->box[outer], sizeof reduced[0] * (size_t)n);
    if (w) {
        memcpy(args, w->args, sizeof args[0] * (size_t)w->nargs);
        place_panel(args, w->nargs, *first, *second);
        int k = q->value->args[1] == w;
        Expr *other = q->value->args[1 - k], *load = expr_load(p->arena, w->tensor, args, w->padded);
        q->value = expr_op(p->arena, "mul", k ? other : load, k ? load : other, NULL);
    } else {
        q->value = expr_place(p->arena, q->value, &r);
    }
    if (q->tail)
        q->tail = expr_place(p->arena, q->tail, &r);
    for (int a = 0; a < q->out->rank; a++)
        q->at[a] = expr_place(p->arena, q->at[a], &r);
    equation_set_box(q, n, reduced);
}

/* The maker writes panels. */
static void part_maker(const Panels *p, Equation *m)
{
    Tensor *t = m->out;
    Expr *first, *second;

    part_equation(p, m, m->at[t->rank - 1]->index, NULL, &first, &second);
    place_panel(m->at, t->rank, first, second);
    memmove(&t->size[1], &t->size[0], (size_t)(t->rank - 1) * sizeof t->size[0]);
    t->size[0] = first->index->size;
    t->size[t->rank++] = LANES;
    Index *reduced[MAX_BOX];
    int outer = equation_outer(m), n = m->nbox - outer;
    memcpy(reduced, &m->box[outer], sizeof reduced[0] * (size_t)n);
    equation_set_box(m, n, reduced);
}

static bool is_wanted(const Panels *p, const Equation *m)
{
    const Tensor *t = m->out;

    return p->weights[t->id] && p->read[t->id] && !p->refused[t->id] && !t->wanted && !t->integer && !m->padded && t->rank > 1 &&
           t->rank < MAX_RANK && t->size[t->rank - 1] > LANES && t->size[t->rank - 1] % LANES == 0 &&
           subscripts_plain(m->at, t->rank, t->size) && is_plain(m->at[t->rank - 1]);
}

void graph_panels(Graph *g)
{
    Panels p = {.g = g, .arena = g->arena};
    bool *parted = NEW_ARRAY(g->arena, bool, g->tensors.n + 1);

    if (!g->single)
        return;
    p.weights = graph_weights(g);
    p.refused = NEW_ARRAY(g->arena, bool, g->tensors.n + 1);
    p.read = NEW_ARRAY(g->arena, bool, g->tensors.n + 1);
    for (int i = 0; i < g->equations.n; i++) {
        p.q = g->equations.at[i];
        equation_loads(p.q, note_reader, &p);
    }
    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        const Expr *w = weights_of(&p, q);
        Expr *first, *second;
        if (w && parted[w->tensor->id])
            part_equation(&p, q, q->at[q->out->rank - 1]->index, w, &first, &second);
        if (!is_wanted(&p, q))
            continue;
        part_maker(&p, q);
        parted[q->out->id] = true;
    }
}
