/* strip.c -- kernels that run one after the other strip by strip, while what they pass on is in the cache.
 *
 * What a kernel makes of one block may be larger than the cache. Where it is read by one other kernel only, and that
 * reads for step s of an index of its own only what was made in step s of an index of the first, both run for one step
 * before the next: what is between them is of one step only. So do the next and the next, all over one index, as
 *
 *     V[b,a,e,ti,tj,c] = ...      M[b,a,e,ti,tj,o] = sum[c] U[a,e,c,o] * V[b,a,e,ti,tj,c]      y[b,o,4*ti+u,4*tj+v] = ... M ...
 *
 * run over ti, and V and M have one step of it. The last of them may add up what others made, each alone for it:
 *
 *     V[b,a,e,c,r,t] = ...      D[b,a,e,o,r,t] = ...      S[b // 16,a,e,o,c] = sum[b,r,t] D[b,a,e,o,r,t] * V[b,a,e,c,r,t]
 *
 * needs:  groups
 * leaves: chains of leaders (Choice.after), the index they run over (Choice.strip), and the axis of what each passes on to
 *         the next (Choice.passed) */
#include "loops/build.h"

enum { MOST_KERNELS = 8 };

typedef struct Link {
    Choice *c;
    Index *strip;
    int axis;     /* of the result, which ... */
    Choice *next; /* ... reads: this one further on in the chain */
} Link;

typedef struct Chain {
    int n;
    Link link[MOST_KERNELS];
} Chain;

static Choice *leader_of(Choice *c) { return c->leader ? c->leader : c; }

static bool is_copy(const Choice *c) { return c->q->how == EQ_MAP && c->q->value->kind == EXPR_LOAD; }

/* A kernel of its own, block by block, that loops over what it makes. */
static bool may_join(const Choice *c)
{
    return (c->lane == LANE_SAMPLES || (c->by_block && !c->next)) && !c->leader && !c->scatter && !is_copy(c);
}

/* Its only result that is stored, if nobody but other kernels of the graph wants it. */
static Tensor *only_result(Choice *c)
{
    Tensor *t = NULL;

    for (; c; c = c->next) {
        if (!c->stored)
            continue;
        if (t || c->q->out->wanted || is_copy(c))
            return NULL;
        t = c->q->out;
    }
    return t;
}

/* By tensor id: the leader whose kernel reads it, and whether others do, too; the leader whose kernel makes it. */
typedef struct Users {
    Choice **one, **maker;
    bool *more;
} Users;

static Users find_users(const Build *b)
{
    int tensors = b->graph->tensors.n;
    Users r = {NEW_ARRAY(b->arena, Choice *, tensors), NEW_ARRAY(b->arena, Choice *, tensors), NEW_ARRAY(b->arena, bool, tensors)};

    for (int i = 0; i < b->choices.n; i++) {
        Choice *c = b->choices.at[i];
        const Loads *l[2] = {c->value, c->tail};
        r.maker[c->q->out->id] = leader_of(c);
        for (int k = 0; k < 2; k++)
            for (int j = 0; j < l[k]->n; j++) {
                int t = l[k]->at[j]->tensor->id;
                r.more[t] |= r.one[t] && r.one[t] != leader_of(c);
                r.one[t] = leader_of(c);
            }
    }
    return r;
}

/* The kernel that alone reads what c makes, or NULL. */
static Choice *next_of(const Users *r, Choice *c)
{
    const Tensor *t = may_join(c) ? only_result(c) : NULL;
    Choice *next = t && !r->more[t->id] ? r->one[t->id] : NULL;

    return next && next != c && may_join(next) && !next->strip ? next : NULL;
}

/* The index at which axis a of t is read, always the same, or NULL. */
static Index *read_at(const Choice *c, const Tensor *t, int a)
{
    Index *x = NULL;

    for (; c; c = c->next) {
        const Loads *l[2] = {c->value, c->tail};
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < l[i]->n; k++) {
                const Expr *load = l[i]->at[k];
                if (load->tensor != t)
                    continue;
                if (load->padded || !is_batch(load->args[0]) || load->args[a]->kind != EXPR_INDEX ||
                    (x && load->args[a]->index != x))
                    return NULL;
                x = load->args[a]->index;
            }
    }
    return x;
}

/* One of those of the result, or of a sum that may be added up strip by strip. */
static bool loops_over(const Choice *c, const Index *x)
{
    bool loop = false;

    for (int i = 0; i < (c->by_block ? c->q->nbox : c->outer); i++)
        loop |= c->q->box[i] == x;
    return loop && !x->batch && x->size > 1;
}

static bool is_reduced(const Choice *c, const Index *x)
{
    for (int i = c->outer; i < c->q->nbox; i++)
        if (c->q->box[i] == x)
            return true;
    return false;
}

/* Cycles that it saves to have what is read step by step of x in the cache. */
static double saved_cycles(const Choice *c, const Index *x)
{
    double bytes = 0;

    for (int i = 0; i < c->value->n; i++)
        for (int a = 1; a < c->value->at[i]->nargs; a++)
            bytes += expr_has_index(c->value->at[i]->args[a], x) ? block_bytes(c->value->at[i]->tensor) : 0;
    return memory_cycles(2 * bytes);
}

/* The loop may run outside of all others without harm to what is inside; a sum over it ends as often as it has steps. */
static bool keeps_tile(Build *b, const Choice *c, Index *x)
{
    Choice with = *c, without = *c;

    with.strip = x;
    choose_once(b, &with, choose_tile_near);
    choose_once(b, &without, choose_tile_near);
    if (c->q->how == EQ_MAP)
        return with.ntiles == without.ntiles;
    double cycles = with.cycles * (double)x->size;
    return is_reduced(c, x) ? cycles <= without.cycles + saved_cycles(c, x) : cycles <= 1.05 * without.cycles;
}

/* The axis, from 1 on, along which c makes step by step of x what `next` reads step by step of y (any if NULL), or 0. */
static int passing_axis(Choice *c, const Index *x, const Choice *next, Index **y)
{
    const Tensor *t = only_result(c);

    for (int a = 1; t && a < t->rank; a++) {
        Index *read = c->q->at[a]->kind == EXPR_INDEX && c->q->at[a]->index == x ? read_at(next, t, a) : NULL;
        if (!read || read->size != x->size || !loops_over(next, read) || (*y && *y != read))
            continue;
        *y = read;
        return a;
    }
    return 0;
}

/* What else `next` reads step by step of y, and nobody else: its makers come before it. */
static void add_others(const Users *r, const Choice *first, Choice *next, Index *y, Chain *chain)
{
    for (int i = 0; i < next->value->n; i++) {
        Choice *c = r->maker[next->value->at[i]->tensor->id];
        if (!c || c == first || c == next || c->strip || next_of(r, c) != next)
            continue;
        for (int k = 0; k < c->outer; k++) {
            int a = loops_over(c, c->q->box[k]) ? passing_axis(c, c->q->box[k], next, &y) : 0;
            if (a && chain->n + 1 < MOST_KERNELS)
                chain->link[chain->n++] = (Link){c, c->q->box[k], a, next};
        }
    }
}

/* The chain from c on that runs over x. */
static void follow(const Users *r, Choice *c, Index *x, Chain *chain)
{
    Link *link = &chain->link[chain->n++];
    Choice *next = chain->n < MOST_KERNELS ? next_of(r, c) : NULL;
    Index *y = NULL;

    *link = (Link){.c = c, .strip = x};
    link->axis = next ? passing_axis(c, x, next, &y) : 0;
    if (!link->axis)
        return;
    link->next = next;
    if (is_reduced(next, y))
        add_others(r, c, next, y, chain);
    follow(r, next, y, chain);
}

/* Passes on, of a block, more than the cache holds beside other things. */
static bool is_worth_it(const Chain *chain)
{
    double bytes = 0;

    for (int i = 0; i + 1 < chain->n; i++)
        bytes += block_bytes(only_result(chain->link[i].c));
    return bytes >= (double)loops_machine->l2 / 2;
}

/* The chain up to link n is one: the last reads what is made for nobody further on. */
static bool ends_at(const Chain *chain, int n)
{
    for (int i = 0; i < n; i++) {
        bool found = false;
        for (int k = i + 1; k <= n; k++)
            found |= chain->link[k].c == chain->link[i].next;
        if (!found)
            return false;
    }
    return true;
}

/* The chain as far as all keep their tiles. */
static void cut_chain(Build *b, Chain *chain)
{
    for (int i = 0; i < chain->n; i++)
        if (!keeps_tile(b, chain->link[i].c, chain->link[i].strip))
            chain->n = i;
    while (chain->n > 0 && !ends_at(chain, chain->n - 1))
        chain->n--;
}

void choose_strips(Build *b)
{
    Users r = find_users(b);

    if (b->graph->batch <= LANES)
        return; /* one block: its kernels may have tasks for several threads */
    for (int i = 0; i < b->choices.n; i++) {
        Choice *c = b->choices.at[i];
        Chain best = {0};
        for (int k = 0; k < c->outer && !c->strip && next_of(&r, c); k++) {
            Chain chain = {0};
            if (!loops_over(c, c->q->box[k]))
                continue;
            follow(&r, c, c->q->box[k], &chain);
            if (is_worth_it(&chain))
                cut_chain(b, &chain);
            if (chain.n > best.n && is_worth_it(&chain))
                best = chain;
        }
        for (int k = 0; k < best.n; k++) {
            Choice *x = best.link[k].c;
            x->strip = best.link[k].strip;
            x->passed = k + 1 < best.n ? best.link[k].axis : 0; /* the last one's reader may want it all */
            x->after = k + 1 < best.n ? best.link[k + 1].c : NULL;
        }
    }
}
