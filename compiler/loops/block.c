/* block.c -- sums over samples, block by block.
 *
 * A sum over all samples waits until what it reads has been made of all of them, and then fetches it from far away. Instead
 * each block of samples adds up a part of its own while what it reads is in the cache, and an equation after it adds
 * the parts, always in the same order:
 *
 *     S[o,c] = sum[b,t] D[b,o,t] * V[b,c,t]
 *
 *     S.blocks[b // 16,o,c] = sum[b,t] D[b,o,t] * V[b,c,t]       of the samples of one block
 *     S[o,c] = sum[k] (if 16 * k < count then S.blocks[k,o,c] else 0)
 *
 * Each block ends with a sum over lanes for every element: it must be worth it (is_worth_it).
 *
 * needs:  the lane of the sum
 * leaves: Choice.by_block, and one more equation */
#include "loops/build.h"

#include "graph/rewrite.h"

#include <math.h>

/* Cycles to add up the lanes of one of many sums; they are little beside so many times as many additions. */
enum { ENDING = 4, CHEAP = 16 };

static double points_of(const Equation *q, int from, int to)
{
    double n = 1;

    for (int i = from; i < to; i++)
        n *= q->box[i]->batch ? 1 : (double)q->box[i]->size;
    return n;
}

/* What a sum reads of the samples of one block. */
typedef struct Reading {
    double own; /* bytes that only this sum reads */
    bool made_here, by_sample; /* some of it is made in this graph; all of it sample by sample */
} Reading;

static Reading reading_of(const Choice *c, const int *readers)
{
    Reading r = {.by_sample = true};

    for (int i = 0; i < c->value->n; i++) {
        const Tensor *t = c->value->at[i]->tensor;
        double bytes = t->batched ? block_bytes(t) : 0;
        r.by_sample &= !t->batched || is_batch(c->value->at[i]->args[0]);
        r.made_here |= t->batched && t->role == ROLE_TEMP;
        r.own += t->role == ROLE_TEMP && readers[t->id] == 1 ? bytes : 0;
    }
    return r;
}

/* Its ends cost next to nothing, where what it reads may still be in a cache; or they cost less than to write and to read
 * again what nobody else wants. */
static bool is_worth_it(const Build *b, const Choice *c, const Readers *readers)
{
    const Equation *q = c->q;
    Reading r = reading_of(c, readers->count);
    double ending = ENDING * points_of(q, 0, c->outer), additions = points_of(q, 0, q->nbox);
    double l2 = (double)loops_machine->l2, blocks = (double)blocks_of(b->graph->batch);

    if (!r.made_here || !r.by_sample)
        return false;
    return (CHEAP * ending <= additions && readers->largest <= LAST_CACHE * l2) || (r.own * blocks > l2 && ending < memory_cycles(2 * r.own));
}

static void count_reader(Readers *r, const Loads *l)
{
    for (int j = 0; j < l->n; j++) {
        const Tensor *t = l->at[j]->tensor;
        bool again = false;
        for (int before = 0; before < j; before++)
            again |= l->at[before]->tensor == t;
        r->count[t->id] += !again;
        if (t->batched)
            r->largest = fmax(r->largest, block_bytes(t));
    }
}

Readers readers_of(Arena *a, const Graph *g)
{
    Readers r = {NEW_ARRAY(a, int, g->tensors.n), 0};

    for (int i = 0; i < g->equations.n; i++) {
        count_reader(&r, loads_of(a, g->equations.at[i]->value));
        count_reader(&r, loads_of(a, g->equations.at[i]->tail));
    }
    return r;
}

/* sum[k] (if 16 * k < count then blocks[k, at] else 0), with the tail of q. */
static Equation *sum_of_blocks(Build *b, const Equation *q, Tensor *blocks)
{
    Arena *a = b->arena;
    Equation *sum = NEW(a, Equation);
    Index *k = index_new(a, "k", blocks->size[0]);
    Expr *at[MAX_RANK] = {expr_index(a, k)}, *count = expr_scalar(a, graph_scalar(b->graph, "count"));
    Expr *first = expr_op(a, "mul", expr_number(a, LANES), at[0], NULL);

    *sum = *q;
    memcpy(at + 1, q->at, sizeof *at * (size_t)q->out->rank);
    sum->value = expr_op(a, "select", expr_op(a, "lt", first, count, NULL), expr_load(a, blocks, at, false), expr_number(a, 0));
    equation_set_box(sum, 1, &k);
    return sum;
}

Equation *part_blocks(Build *b, Choice *c, const Readers *readers)
{
    Equation *q = c->q, *sum;
    Arena *a = b->arena;
    int rank = q->out->rank;
    int64_t size[MAX_RANK] = {blocks_of(b->graph->batch)};

    if (c->lane != LANE_SAMPLES_SUM || q->how != EQ_SUM || c->scatter || rank == 0 || rank == MAX_RANK || size[0] == 1 ||
        !is_worth_it(b, c, readers))
        return NULL;
    memcpy(size + 1, q->out->size, sizeof *size * (size_t)rank);
    Tensor *blocks = graph_tensor(b->graph, arena_print(a, "%s.blocks", q->out->name), ROLE_TEMP, rank + 1, size);
    sum = sum_of_blocks(b, q, blocks);
    memmove(q->at + 1, q->at, sizeof *q->at * (size_t)rank);
    q->at[0] = expr_op(a, "idiv", expr_index(a, c->batch), expr_number(a, LANES), NULL);
    q->out = blocks;
    q->tail = NULL;
    c->tail = loads_of(a, NULL);
    c->by_block = true;
    return sum;
}
