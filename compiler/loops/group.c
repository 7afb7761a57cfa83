/* group.c -- neighbouring equations that go through the same points become one kernel.
 *
 * A kernel carries out a leader and, at every point of its result, the maps that come after it: a gradient and the next
 * values of momentum and weight; the next values of two states that read the same gradient. What one makes the next
 * takes from a register, and a result that nobody else reads is never stored. All of a point is read before any of it
 * is stored, so next values may take the place of old ones.
 *
 * Sums over samples join a sum with the same box, in the same loops.
 *
 * A map joins when it stores at the leader's very subscripts (its indices renamed), in the same lanes; reads what the
 * group makes there only; and nobody between needs the group done before. The group runs where its last map stood.
 * What must run before the loss is known never joins what changes the parameters (see phase.c).
 *
 * needs:  the lane of every equation
 * leaves: maps linked to their leaders, which say what has to be stored */
#include "loops/build.h"

/* A group of more results or of longer expressions would spill registers where its kernel has a tile. */
enum { MOST_MEMBERS = 6, MOST_POINTERS = 16 };

typedef LIST(int) Places;

typedef struct Grouping {
    Build *b;
    Places *readers;  /* by tensor id: positions of the equations that read it */
    int *maker;       /* by tensor id: position, or -1 */
    Tensor **old;     /* by tensor id: what it is the next value of, or NULL */
    bool *late;       /* by position: changes what is kept, or reads what such a one makes */
} Grouping;

static Choice *choice_at(const Grouping *g, int i) { return g->b->choices.at[i]; }
static Choice *leader_of(Choice *c) { return c->leader ? c->leader : c; }

static void note_readers(Grouping *g, int i, const Loads *l)
{
    for (int k = 0; k < l->n; k++) {
        int from = g->maker[l->at[k]->tensor->id];
        g->late[i] |= from >= 0 && g->late[from];
        Places *r = &g->readers[l->at[k]->tensor->id];
        if (r->n == 0 || r->at[r->n - 1] != i)
            PUSH(g->b->arena, *r, i);
    }
}

static void note_equations(Grouping *g)
{
    Graph *graph = g->b->graph;

    for (int i = 0; i < graph->tensors.n; i++) {
        g->maker[i] = -1;
        if (graph->tensors.at[i]->next)
            g->old[graph->tensors.at[i]->next->id] = graph->tensors.at[i];
    }
    for (int i = 0; i < g->b->choices.n; i++)
        g->maker[choice_at(g, i)->q->out->id] = i;
    for (int i = 0; i < g->b->choices.n; i++) {
        const Choice *c = choice_at(g, i);
        g->late[i] = g->old[c->q->out->id] != NULL;
        note_readers(g, i, c->value);
        note_readers(g, i, c->tail);
    }
}

/* Nobody who must run before the loss is known waits for it. */
static bool can_wait(const Grouping *g, int i)
{
    const Tensor *out = choice_at(g, i)->q->out;

    for (int k = 0; k < g->readers[out->id].n; k++)
        if (!g->late[g->readers[out->id].at[k]])
            return false;
    return g->late[i] || !out->wanted;
}

/* --- the same points --- */

static bool same_subscripts(const Tensor *t, Expr *const *x, Expr *const *y)
{
    for (int a = 0; a < t->rank; a++)
        if (!expr_same(x[a], y[a]))
            return false;
    return true;
}

/* Indices of map q by those of the leader, subscript by subscript of what they store. */
static bool match_indices(const Equation *leader, const Equation *q, Rename *r, Arena *a)
{
    const Tensor *x = leader->out, *y = q->out;

    if (x->rank != y->rank || x->batched != y->batched || x->integer || y->integer ||
        !subscripts_plain(leader->at, x->rank, x->size) || !subscripts_plain(q->at, y->rank, y->size))
        return false;
    *r = (Rename){0};
    for (int k = 0; k < x->rank; k++) {
        if (x->size[k] != y->size[k] || leader->at[k]->kind != q->at[k]->kind)
            return false;
        if (leader->at[k]->kind != EXPR_INDEX)
            continue;
        r->from[r->nindex] = q->at[k]->index;
        r->to[r->nindex++] = expr_index(a, leader->at[k]->index);
    }
    return r->nindex == q->nbox;
}

static bool same_lanes(const Choice *leader, const Choice *c)
{
    if (leader->scatter || c->scatter || leader->q->out->rank == 0)
        return false;
    if (leader->flat)
        return c->flat;
    if (leader->lane == LANE_SAMPLES)
        return c->lane == LANE_SAMPLES;
    return leader->lane == LANE_AXIS && !c->batch && (!leader->fold || c->fold);
}

/* --- what is read --- */

static bool reads_elsewhere(const Choice *c, const Loads *l, const Tensor *t)
{
    for (int i = 0; i < l->n; i++)
        if (l->at[i]->tensor == t && (l->at[i]->padded || !same_subscripts(t, l->at[i]->args, c->q->at)))
            return true;
    return false;
}

/* Old values that x replaces are read by c at its own point only, and not inside a sum. */
static bool keeps_apart(const Grouping *g, const Choice *x, const Choice *c)
{
    const Tensor *old = g->old[x->q->out->id];

    if (!old)
        return true;
    if (old->rank != c->q->out->rank)
        return false;
    for (int i = 0; c->q->how != EQ_MAP && i < c->value->n; i++)
        if (c->value->at[i]->tensor == old)
            return false;
    return !reads_elsewhere(c, c->value, old) && !reads_elsewhere(c, c->tail, old);
}

/* c, at position i, reads results of x's group at their very point, and batched tensors at its own samples. */
static bool reads_points(const Choice *leader, const Choice *c)
{
    for (const Choice *x = leader; x; x = x->next)
        if (reads_elsewhere(c, c->value, x->q->out))
            return false;
    for (int i = 0; i < c->value->n; i++)
        if (c->value->at[i]->tensor->batched && (c->value->at[i]->nargs == 0 || !is_batch(c->value->at[i]->args[0])))
            return false;
    return true;
}

/* Between the group and position i nobody reads what it makes, or replaces what it reads. */
static bool nobody_between(const Grouping *g, const Choice *leader, int i)
{
    for (const Choice *x = leader; x; x = x->next) {
        const Places *r = &g->readers[x->q->out->id];
        for (int k = 0; k < r->n; k++)
            if (r->at[k] < i && leader_of(choice_at(g, r->at[k])) != leader)
                return false;
        const Loads *l[2] = {x->value, x->tail};
        for (int j = 0; j < 2; j++)
            for (int k = 0; k < l[j]->n; k++) {
                const Tensor *next = l[j]->at[k]->tensor->next;
                int writer = next ? g->maker[next->id] : -1;
                if (writer >= 0 && writer < i && leader_of(choice_at(g, writer)) != leader)
                    return false;
            }
    }
    return true;
}

static int count_pointers(const Choice *leader, const Choice *c)
{
    int n = c->value->n + 1;

    for (const Choice *x = leader; x; x = x->next)
        n += x->value->n + x->tail->n + 1;
    return n;
}

/* Old values, of those that a group may replace. */
static bool replaces_safely(const Grouping *g, Choice *leader, Choice *c)
{
    const Tensor *old = g->old[c->q->out->id];

    for (const Choice *x = leader; x; x = x->next)
        if (!keeps_apart(g, c, x) || !keeps_apart(g, x, c))
            return false;
    /* A reader that comes later wants the value before the step. */
    for (int k = 0; old && k < g->readers[old->id].n; k++)
        if (g->readers[old->id].at[k] > g->maker[c->q->out->id])
            return false;
    return true;
}

static bool agree_on_time(const Grouping *g, const Choice *leader, int i)
{
    bool late = g->late[i], wait = can_wait(g, i);

    for (const Choice *x = leader; x; x = x->next) {
        int at = g->maker[x->q->out->id];
        late |= g->late[at];
        wait &= can_wait(g, at);
    }
    return !late || wait;
}

/* --- joining --- */

/* c's equation in the leader's indices. */
static void rename_choice(Build *b, Choice *leader, Choice *c, const Rename *r)
{
    Equation *q = c->q;

    q->value = expr_rename(b->arena, q->value, r);
    memcpy(q->at, leader->q->at, sizeof q->at);
    equation_collect_box(q);
    c->value = loads_of(b->arena, q->value);
}

static bool join(Grouping *g, Choice *leader, int i)
{
    Choice *c = choice_at(g, i), *last = leader, before = *c;
    Equation q = *c->q;
    Rename r;
    int members = 1;

    if (!same_lanes(leader, c) || !match_indices(leader->q, c->q, &r, g->b->arena) || !nobody_between(g, leader, i) ||
        !agree_on_time(g, leader, i) || count_pointers(leader, c) > MOST_POINTERS)
        return false;
    for (; last->next; last = last->next)
        members++;
    if (members == MOST_MEMBERS)
        return false;
    rename_choice(g->b, leader, c, &r);
    if (!reads_points(leader, c) || !replaces_safely(g, leader, c)) {
        *c->q = q;
        *c = before;
        return false;
    }
    c->lane = leader->lane;
    c->lane_index = leader->lane_index;
    c->fold = leader->fold;
    c->batch = leader->batch;
    c->flat = leader->flat;
    c->leader = leader;
    last->next = c;
    return true;
}

/* What c reads is there when the leader's turn comes. */
static bool all_before(const Grouping *g, const Choice *leader, const Choice *c)
{
    for (int i = 0; i < c->value->n; i++) {
        int from = g->maker[c->value->at[i]->tensor->id];
        for (const Choice *x = from < 0 ? NULL : leader_of(choice_at(g, from)); x; x = x->next)
            if (g->maker[x->q->out->id] >= g->maker[leader->q->out->id])
                return false;
    }
    return true;
}

/* Sums over the same samples and places, side by side in the same loops: the two of batch norm's gradient. */
static bool join_sum(Grouping *g, Choice *leader, int i)
{
    Choice *c = choice_at(g, i), *last = leader;
    Equation *p = leader->q, *q = c->q;
    Rename r;
    int outer = c->outer;
    Equation outside = *q;

    outside.nbox = outer;
    if (leader->lane != LANE_SAMPLES_SUM || c->lane != LANE_SAMPLES_SUM || leader->leader || leader->next ||
        p->how != EQ_SUM || q->how != EQ_SUM || p->tail || q->tail || p->out->rank == 0 || g->old[p->out->id] ||
        g->old[q->out->id] || p->nbox != q->nbox || leader->outer != outer || leader->by_block != c->by_block || leader->scatter || c->scatter ||
        !match_indices(p, &outside, &r, g->b->arena) || !all_before(g, leader, c) || !agree_on_time(g, leader, i))
        return false;
    for (int k = 0; k < c->value->n; k++)
        if (c->value->at[k]->tensor == p->out)
            return false;
    for (int k = outer; k < q->nbox; k++) {
        if (p->box[k]->size != q->box[k]->size || p->box[k]->batch != q->box[k]->batch)
            return false;
        r.from[r.nindex] = q->box[k];
        r.to[r.nindex++] = expr_index(g->b->arena, p->box[k]);
    }
    q->value = expr_rename(g->b->arena, q->value, &r);
    memcpy(q->at, p->at, sizeof q->at);
    memcpy(q->box, p->box, sizeof q->box);
    c->value = loads_of(g->b->arena, q->value);
    c->lane_index = leader->lane_index;
    c->batch = leader->batch;
    c->leader = leader;
    last->next = c;
    return true;
}

/* The last equation that made something c reads, or -1. */
static int newest(const Grouping *g, const Loads *l, int from)
{
    for (int i = 0; i < l->n; i++)
        if (g->maker[l->at[i]->tensor->id] > from)
            from = g->maker[l->at[i]->tensor->id];
    return from;
}

/* The group of what it reads last, or of one that waits for the same. */
static void find_group(Grouping *g, int i)
{
    Choice *c = choice_at(g, i);
    int from = newest(g, c->value, -1);

    if (from < 0 || from >= i || (c->q->how == EQ_MAP && c->q->value->kind == EXPR_LOAD))
        return;
    Choice *source = choice_at(g, from);
    if (c->q->how == EQ_SUM) {
        const Places *r = &g->readers[source->q->out->id];
        for (int k = r->n; k-- > 0;)
            if (r->at[k] < i && newest(g, choice_at(g, r->at[k])->value, -1) == from && join_sum(g, choice_at(g, r->at[k]), i))
                return;
    }
    if (c->q->how != EQ_MAP)
        return;
    if (source->q->value->kind != EXPR_LOAD && join(g, leader_of(source), i))
        return;
    const Places *r = &g->readers[source->q->out->id];
    for (int k = r->n; k-- > 0;) {
        Choice *x = choice_at(g, r->at[k]);
        if (r->at[k] < i && x->q->how == EQ_MAP && x->q->value->kind != EXPR_LOAD && newest(g, x->value, -1) == from &&
            join(g, leader_of(x), i))
            return;
    }
}

/* A result stays in registers when only its group reads it. */
static void find_stored(Grouping *g)
{
    for (int i = 0; i < g->b->choices.n; i++) {
        Choice *c = choice_at(g, i);
        const Tensor *out = c->q->out;
        const Places *r = &g->readers[out->id];
        c->stored = out->wanted || g->old[out->id] || r->n == 0;
        for (int k = 0; k < r->n; k++)
            c->stored |= leader_of(choice_at(g, r->at[k])) != leader_of(c);
    }
}

void choose_groups(Build *b)
{
    int tensors = b->graph->tensors.n;
    Grouping g = {.b = b,
                  .readers = NEW_ARRAY(b->arena, Places, tensors),
                  .maker = NEW_ARRAY(b->arena, int, tensors),
                  .old = NEW_ARRAY(b->arena, Tensor *, tensors),
                  .late = NEW_ARRAY(b->arena, bool, b->choices.n)};

    note_equations(&g);
    for (int i = 0; i < b->choices.n; i++)
        find_group(&g, i);
    find_stored(&g);
}
