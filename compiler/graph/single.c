/* single.c -- the graph of one sample: predict without its batch axis, for callers who have few samples.
 *
 * needs:  nothing: a graph that mixes samples, or draws random numbers for each, has no such form
 * leaves: it alone; in the copy the batch index is 0 and no tensor has a batch axis. Inputs and wanted tensors stay
 *         arrays, a number as one of one element: the caller's are floats. An input that is read outside of its
 *         bounds is copied first, since nothing can stand around the caller's bytes. */
#include "graph/rewrite.h"

typedef struct Single {
    Graph *g; /* the copy */
    Arena *arena;
    Tensor **read, **written; /* by id in the old graph */
    unsigned walk;
    bool failed;
} Single;

static bool is_sample(const Expr *e) { return e->kind == EXPR_INDEX && e->index->batch; }

static Expr *without_batch(Single *s, Expr *e);

/* Subscripts of tensor `old` as those of what stands for it. */
static int drop_batch(Single *s, const Tensor *old, const Tensor *fresh, Expr *const *at, Expr **to)
{
    int n = 0;

    if (old->batched && !is_sample(at[0]))
        s->failed = true;
    for (int a = old->batched; a < old->rank; a++)
        to[n++] = without_batch(s, at[a]);
    while (n < fresh->rank)
        to[n++] = expr_number(s->arena, 0);
    return n;
}

static Expr *image_of(Single *s, Expr *e)
{
    Expr *args[MAX_RANK];

    switch (e->kind) {
    case EXPR_INDEX: return e->index->batch ? expr_number(s->arena, 0) : e;
    case EXPR_LOAD: {
        Tensor *t = s->read[e->tensor->id];
        drop_batch(s, e->tensor, t, e->args, args);
        return expr_load(s->arena, t, args, e->padded && t->rank > 0);
    }
    case EXPR_OP:
        for (int i = 0; i < e->nargs; i++)
            args[i] = without_batch(s, e->args[i]);
        return expr_apply(s->arena, e->op, args);
    case EXPR_RANDOM: s->failed = true; return e;
    default: return e;
    }
}

static Expr *without_batch(Single *s, Expr *e)
{
    if (e->walk == s->walk)
        return e->image;
    Expr *image = image_of(s, e);
    e->walk = s->walk;
    return e->image = image;
}

/* --- tensors --- */

static void note_padded(const Expr *load, void *user)
{
    bool *padded = user;

    padded[load->tensor->id] |= load->padded;
}

/* A copy of an input, element by element. */
static Tensor *copied_input(Single *s, Tensor *input)
{
    Graph *g = s->g;
    Tensor *copy = graph_tensor(g, arena_print(s->arena, "%s.padded", input->name), ROLE_TEMP, input->rank, input->size);
    Expr *at[MAX_RANK];
    static const char *const names[MAX_RANK] = {"c", "i", "j", "k", "l", "m", "n", "o"};

    copy->integer = input->integer;
    copy->below = input->below;
    copy->where = input->where;
    for (int a = 0; a < input->rank; a++)
        at[a] = expr_index(s->arena, index_new(s->arena, names[a], input->size[a]));
    Equation *q = graph_equation(g, copy, at, EQ_MAP, expr_load(s->arena, input, at, false));
    q->where = input->where;
    return copy;
}

static void make_tensors(Single *s, const Graph *g)
{
    bool *padded = NEW_ARRAY(s->arena, bool, g->tensors.n + 1);

    for (int i = 0; i < g->equations.n; i++)
        equation_loads(g->equations.at[i], note_padded, padded);
    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *t = g->tensors.at[i];
        int batch = t->batched, rank = t->rank - batch;
        bool number = t->batched && rank == 0 && (t->role == ROLE_INPUT || t->wanted);
        const int64_t one = 1;
        Tensor *fresh = number ? graph_tensor(s->g, t->name, t->role, 1, &one)
                               : graph_tensor(s->g, t->name, t->role, rank, t->size + batch);
        fresh->integer = t->integer;
        fresh->below = t->below;
        fresh->wanted = t->wanted;
        fresh->where = t->where;
        s->written[i] = s->read[i] = fresh;
        s->failed |= t->next != NULL || (t->role == ROLE_INPUT && !t->batched) || (t->wanted && !t->batched);
        if (t->role == ROLE_INPUT && padded[i])
            s->read[i] = copied_input(s, fresh);
    }
}

/* --- equations --- */

static void add_equation(Single *s, const Equation *q)
{
    Equation *fresh = NEW(s->arena, Equation);
    int reduced = 0;

    *fresh = *q;
    fresh->out = s->written[q->out->id];
    s->walk = expr_walk();
    drop_batch(s, q->out, fresh->out, q->at, fresh->at);
    fresh->value = without_batch(s, q->value);
    if (q->tail)
        fresh->tail = without_batch(s, q->tail);
    fresh->nbox = 0;
    for (int i = 0; i < q->nbox; i++)
        if (!q->box[i]->batch)
            fresh->box[fresh->nbox++] = q->box[i];
        else
            reduced += i >= equation_outer(q) || !q->out->batched;
    s->failed |= reduced > 0;
    PUSH(s->arena, s->g->equations, fresh);
}

Graph *graph_single(const Graph *g, const char *name)
{
    Arena *a = g->arena;
    Single s = {.arena = a, .g = graph_new(a, name, 1)};

    s.g->single = true;
    s.read = NEW_ARRAY(a, Tensor *, g->tensors.n + 1);
    s.written = NEW_ARRAY(a, Tensor *, g->tensors.n + 1);
    make_tensors(&s, g);
    for (int i = 0; i < g->equations.n && !s.failed; i++)
        add_equation(&s, g->equations.at[i]);
    return s.failed ? NULL : s.g;
}
