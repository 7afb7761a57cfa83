/* graph.c -- tensors by name, equations and their boxes, copies of graphs. */
#include "graph/graph.h"

Graph *graph_new(Arena *a, const char *name, int64_t batch)
{
    Graph *g = NEW(a, Graph);

    g->arena = a;
    g->name = name;
    g->batch = batch;
    return g;
}

static const char *unique(Graph *g, const char *name)
{
    Tensor *first = graph_find(g, name);

    if (!first)
        return arena_copy(g->arena, name, strlen(name));
    for (;;) {
        const char *next = arena_print(g->arena, "%s.%d", name, ++first->copies + 1);
        if (!graph_find(g, next))
            return next;
    }
}

Tensor *graph_tensor(Graph *g, const char *name, Role role, int rank, const int64_t *size)
{
    Tensor *t = NEW(g->arena, Tensor);

    if (rank > MAX_RANK)
        bug("'%s' has %d axes", name, rank);
    t->name = unique(g, name);
    t->role = role;
    t->rank = rank;
    for (int i = 0; i < rank; i++)
        t->size[i] = size[i];
    t->id = g->tensors.n;
    t->where = NOWHERE;
    PUSH(g->arena, g->tensors, t);
    names_add(g->arena, &g->names, t->name, t->id);
    return t;
}

Tensor *graph_find(const Graph *g, const char *name)
{
    int id = names_find(&g->names, name);

    return id < 0 ? NULL : g->tensors.at[id];
}

Tensor *graph_scalar(Graph *g, const char *name)
{
    Tensor *t = graph_find(g, name);

    if (!t)
        return graph_tensor(g, name, ROLE_SCALAR, 0, NULL);
    if (t->role != ROLE_SCALAR)
        bug("'%s' is asked for as a scalar of the clock but is another tensor", name);
    return t;
}

int64_t tensor_count(const Tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->rank; i++)
        n *= t->size[i];
    return n;
}

Index *index_new(Arena *a, const char *name, int64_t size)
{
    Index *i = NEW(a, Index);

    i->name = name;
    i->size = size;
    return i;
}

Index *index_batch(Graph *g)
{
    Index *i = index_new(g->arena, "b", g->batch);

    i->batch = true;
    return i;
}

/* --- equations --- */

static void collect(Equation *q, Expr *e, unsigned walk)
{
    if (e->walk == walk)
        return;
    e->walk = walk;
    if (e->kind == EXPR_INDEX) {
        for (int i = 0; i < q->nbox; i++)
            if (q->box[i] == e->index)
                return;
        if (q->nbox == MAX_BOX)
            bug("the equation for '%s' has more than %d indices", q->out->name, MAX_BOX);
        q->box[q->nbox++] = e->index;
    }
    for (int i = 0; i < e->nargs; i++)
        collect(q, e->args[i], walk);
}

void equation_collect_box(Equation *q)
{
    unsigned walk = expr_walk();

    q->nbox = 0;
    for (int i = 0; i < q->out->rank; i++)
        collect(q, q->at[i], walk);
    collect(q, q->value, walk);
}

int equation_outer(const Equation *q)
{
    int outer = 0;

    for (; outer < q->nbox; outer++) {
        bool stands = false;
        for (int i = 0; i < q->out->rank && !stands; i++)
            stands = expr_has_index(q->at[i], q->box[outer]);
        if (!stands)
            break;
    }
    return outer;
}

/* The subscript goes through all values from 0 to size - 1 and perhaps more, with indices that stand nowhere else. */
static bool covers_axis(const Equation *q, int axis)
{
    int64_t points = 1, low, high;

    for (int i = 0; i < q->nbox; i++) {
        if (!expr_has_index(q->at[axis], q->box[i]))
            continue;
        points *= q->box[i]->size;
        for (int a = 0; a < q->out->rank; a++)
            if (a != axis && expr_has_index(q->at[a], q->box[i]))
                return false;
    }
    return expr_range(q->at[axis], &low, &high) && low <= 0 && high >= q->out->size[axis] - 1 && points == high - low + 1;
}

bool equation_covers(const Equation *q)
{
    int outer = equation_outer(q);
    int64_t points = 1;
    bool every = true;

    for (int i = 0; i < outer; i++)
        points *= q->box[i]->size;
    for (int a = 0; q->padded && a < q->out->rank; a++)
        every &= covers_axis(q, a);
    if (q->padded ? q->how != EQ_MAP || !every : points != tensor_count(q->out))
        return false;
    return subscripts_injective(q->at, q->out->rank, q->box, outer);
}

bool equation_scatters(const Equation *q)
{
    return q->how == EQ_SUM && !equation_covers(q);
}

Equation *graph_equation(Graph *g, Tensor *out, Expr *const *at, How how, Expr *value)
{
    Equation *q = NEW(g->arena, Equation);

    q->out = out;
    for (int i = 0; i < out->rank; i++)
        q->at[i] = at[i];
    q->how = how;
    q->value = value;
    q->where = out->where;
    equation_collect_box(q);
    PUSH(g->arena, g->equations, q);
    return q;
}

Equation *graph_maker(const Graph *g, const Tensor *t)
{
    for (int i = 0; i < g->equations.n; i++)
        if (g->equations.at[i]->out == t)
            return g->equations.at[i];
    return NULL;
}

Equation **graph_makers(const Graph *g)
{
    Equation **makers = NEW_ARRAY(g->arena, Equation *, g->tensors.n + 1);

    for (int i = 0; i < g->equations.n; i++)
        makers[g->equations.at[i]->out->id] = g->equations.at[i];
    return makers;
}

/* --- copies --- */

static Equation *equation_copy(Arena *a, const Equation *q, Tensor *const *by_id)
{
    Equation *copy = NEW(a, Equation);

    *copy = *q;
    copy->out = by_id[q->out->id];
    for (int i = 0; i < q->out->rank; i++)
        copy->at[i] = expr_with_tensors(a, q->at[i], by_id);
    copy->value = expr_with_tensors(a, q->value, by_id);
    if (q->tail)
        copy->tail = expr_with_tensors(a, q->tail, by_id);
    return copy;
}

static CustomGrad *custom_copy(Arena *a, const CustomGrad *c, Tensor *const *by_id)
{
    CustomGrad *copy = NEW(a, CustomGrad);

    copy->first = c->first;
    copy->last = c->last;
    copy->in = by_id[c->in->id];
    copy->out = by_id[c->out->id];
    copy->dout = by_id[c->dout->id];
    copy->din = by_id[c->din->id];
    for (int i = 0; i < c->equations.n; i++)
        PUSH(a, copy->equations, equation_copy(a, c->equations.at[i], by_id));
    return copy;
}

Graph *graph_copy(const Graph *g, const char *name)
{
    Graph *copy = graph_new(g->arena, name, g->batch);
    Tensor **by_id = NEW_ARRAY(g->arena, Tensor *, g->tensors.n + 1);

    copy->single = g->single;
    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *t = g->tensors.at[i];
        Tensor *fresh = graph_tensor(copy, t->name, t->role, t->rank, t->size);
        Tensor made = *t;
        made.name = fresh->name;
        *fresh = made;
        by_id[i] = fresh;
    }
    for (int i = 0; i < copy->tensors.n; i++) {
        Tensor *t = copy->tensors.at[i];
        if (t->next)
            t->next = by_id[t->next->id];
    }
    for (int i = 0; i < g->equations.n; i++)
        PUSH(g->arena, copy->equations, equation_copy(g->arena, g->equations.at[i], by_id));
    for (int i = 0; i < g->customs.n; i++)
        PUSH(g->arena, copy->customs, custom_copy(g->arena, g->customs.at[i], by_id));
    return copy;
}
