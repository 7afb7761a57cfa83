/* order.c -- the order in which equations are carried out.
 *
 * Mostly as they came. But the next value of a parameter or state comes after the last reader of the old one, so that
 * the plan may store it in the same place; and directly then, so that the gradient it is made of need not wait (nor
 * what that gradient is summed from, when the update is the sum's tail). Scalars come as early as they can.
 *
 * needs:  equations in an order in which they can be carried out
 * leaves: the same in such an order. Two states that read each other's old value cannot both wait: the earlier one
 *         does not */
#include "graph/rewrite.h"

typedef struct Edges {
    LIST(int) later;   /* equations that read this one's result, a load each */
    LIST(int) release; /* those that overwrite what this one reads */
} Edges;

typedef struct Order {
    Graph *g;
    Arena *arena;
    int n;
    int *maker;        /* by tensor: number of the equation that makes it, or -1 */
    int *writer;       /* by tensor: number of the equation that makes its next value, or -1 */
    int *waits;        /* by equation: equations it reads from that are not done yet */
    int *must_wait;    /* by equation: readers of what it replaces that are not done yet */
    Edges *edges;      /* by equation */
    LIST(int) urgent;  /* scalars, and what replaces something kept */
    bool *done;
} Order;

typedef struct Reader {
    Order *o;
    int number;
} Reader;

static void note_load(const Expr *load, void *user)
{
    const Reader *r = user;
    Order *o = r->o;
    int from = o->maker[load->tensor->id], writer = o->writer[load->tensor->id];

    if (from >= 0) {
        PUSH(o->arena, o->edges[from].later, r->number);
        o->waits[r->number]++;
    }
    if (writer >= 0 && writer != r->number) {
        PUSH(o->arena, o->edges[r->number].release, writer);
        o->must_wait[writer]++;
    }
}

static void finish(Order *o, int number)
{
    o->done[number] = true;
    for (int i = 0; i < o->edges[number].later.n; i++)
        o->waits[o->edges[number].later.at[i]]--;
    for (int i = 0; i < o->edges[number].release.n; i++)
        o->must_wait[o->edges[number].release.at[i]]--;
}

static bool is_ready(const Order *o, int i)
{
    return !o->done[i] && !o->waits[i] && !o->must_wait[i];
}

/* The number of the equation to carry out now. */
static int choose(const Order *o, int first)
{
    for (int i = 0; i < o->urgent.n; i++)
        if (is_ready(o, o->urgent.at[i]))
            return o->urgent.at[i];
    for (int i = first; i < o->n; i++)
        if (is_ready(o, i))
            return i;
    for (int i = first; i < o->n; i++)
        if (!o->done[i] && !o->waits[i])
            return i;
    bug("graph %s: equations that wait for each other", o->g->name);
}

static void note_equations(Order *o)
{
    Graph *g = o->g;
    bool *replaces = NEW_ARRAY(o->arena, bool, g->tensors.n);

    for (int i = 0; i < g->tensors.n; i++)
        o->maker[i] = o->writer[i] = -1;
    for (int i = 0; i < o->n; i++)
        o->maker[g->equations.at[i]->out->id] = i;
    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *next = g->tensors.at[i]->next;
        if (!next)
            continue;
        o->writer[i] = o->maker[next->id];
        replaces[next->id] = true;
    }
    for (int i = 0; i < o->n; i++) {
        const Equation *q = g->equations.at[i];
        if (q->nbox == 0 || replaces[q->out->id])
            PUSH(o->arena, o->urgent, i);
        equation_loads(q, note_load, &(Reader){o, i});
    }
}

void graph_order(Graph *g)
{
    int n = g->equations.n, first = 0;
    Arena *a = g->arena;
    Equation **old = g->equations.at;
    Order o = {.g = g,
               .arena = a,
               .n = n,
               .maker = NEW_ARRAY(a, int, g->tensors.n),
               .writer = NEW_ARRAY(a, int, g->tensors.n),
               .waits = NEW_ARRAY(a, int, n),
               .must_wait = NEW_ARRAY(a, int, n),
               .edges = NEW_ARRAY(a, Edges, n),
               .done = NEW_ARRAY(a, bool, n)};

    note_equations(&o);
    g->equations.at = NULL;
    g->equations.n = g->equations.room = 0;
    for (int i = 0; i < n; i++) {
        int next = choose(&o, first);
        finish(&o, next);
        PUSH(a, g->equations, old[next]);
        while (first < n && o.done[first])
            first++;
    }
}
