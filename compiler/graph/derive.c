/* derive.c -- what follows from the weights alone is made when they are loaded, not for every sample.
 *
 * In the graph of one sample some equations read parameters and states only: Winograd's U, weights with another axis
 * last, 1 / sqrt(var + eps). They move to a graph `derive`, which is carried out when weights are loaded; what it makes is
 * kept behind them. With many samples at a time it costs next to nothing to make it again, and memory to keep it.
 *
 * needs:  the graph of one sample, all its equations rewritten
 * leaves: in it no equation that knows weights alone; what others read of them is a state, kept as KEPT_DERIVED and a wanted
 *         result of `derive`. Nothing changes where all of that would be little */
#include "graph/program.h"
#include "graph/rewrite.h"

enum { LEAST_NUMBERS = 1024 }; /* fewer are sooner made than looked after */

typedef struct Derive {
    const Graph *g;
    const bool *given; /* by tensor id: follows from the weights alone */
    bool *read;        /* by tensor id: by an equation that does not */
} Derive;

static void note_read(const Expr *load, void *user)
{
    Derive *d = user;

    d->read[load->tensor->id] = true;
}

/* Numbers that would be kept. */
static int64_t find_derived(Derive *d)
{
    int64_t n = 0;

    for (int i = 0; i < d->g->equations.n; i++)
        if (!d->given[d->g->equations.at[i]->out->id])
            equation_loads(d->g->equations.at[i], note_read, d);
    for (int i = 0; i < d->g->tensors.n; i++)
        if (d->given[i] && d->read[i] && d->g->tensors.at[i]->role == ROLE_TEMP)
            n += tensor_count(d->g->tensors.at[i]);
    return n;
}

/* The tensor in the new graph. */
static Tensor *tensor_like(Graph *g, const Tensor *t)
{
    Tensor *fresh = graph_tensor(g, t->name, t->role, t->rank, t->size);

    fresh->integer = t->integer;
    fresh->where = t->where;
    return fresh;
}

/* Moves the equations that read weights alone. */
static Graph *part_graph(Graph *g, const Derive *d, int64_t batch)
{
    Graph *derive = graph_new(g->arena, "derive", batch);
    Tensor **by_id = NEW_ARRAY(g->arena, Tensor *, g->tensors.n + 1);
    int left = 0;

    for (int i = 0; i < g->tensors.n; i++)
        if (d->given[i])
            by_id[i] = tensor_like(derive, g->tensors.at[i]);
    for (int i = 0; i < g->equations.n; i++) {
        Equation *q = g->equations.at[i];
        if (!d->given[q->out->id]) {
            g->equations.at[left++] = q;
            continue;
        }
        q->out = by_id[q->out->id];
        q->value = expr_with_tensors(g->arena, q->value, by_id);
        if (q->tail)
            q->tail = expr_with_tensors(g->arena, q->tail, by_id);
        PUSH(g->arena, derive->equations, q);
    }
    g->equations.n = left;
    for (int i = 0; i < g->tensors.n; i++)
        if (d->given[i] && g->tensors.at[i]->role == ROLE_TEMP)
            by_id[i]->wanted = d->read[i];
    return derive;
}

/* Who reads a copy reads what was copied: U the weights themselves, whatever the order of their axes. */
static void read_through(Graph *derive)
{
    Equation **copies = NEW_ARRAY(derive->arena, Equation *, derive->tensors.n + 1);

    for (int i = 0; i < derive->equations.n; i++) {
        Equation *q = derive->equations.at[i];
        q->value = expr_inline(derive->arena, q->value, copies);
        if (q->how == EQ_MAP && q->value->kind == EXPR_LOAD && !q->out->wanted && subscripts_plain(q->at, q->out->rank, q->out->size))
            copies[q->out->id] = q;
    }
    graph_drop_dead(derive);
}

void program_derive(Program *p)
{
    Graph *g = p->single;
    Derive d = {.g = g};

    if (!g)
        return;
    d.given = graph_weights(g);
    d.read = NEW_ARRAY(p->arena, bool, g->tensors.n + 1);
    if (find_derived(&d) < LEAST_NUMBERS)
        return;
    p->derive = part_graph(g, &d, p->batch);
    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *t = g->tensors.at[i];
        if (!d.given[i] || !d.read[i] || t->role != ROLE_TEMP)
            continue;
        t->role = ROLE_STATE;
        Kept k = {.name = t->name, .kind = KEPT_DERIVED, .integer = t->integer, .rank = t->rank, .where = t->where};
        memcpy(k.size, t->size, sizeof k.size);
        program_keep(p, k);
    }
    read_through(p->derive);
}
