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

/* Cycles to add up the lanes of one of many sums; bytes a cycle to and from memory. */
enum { ENDING = 4, MEMORY = 6 };

static double points_of(const Equation *q, int from, int to)
{
    double n = 1;

    for (int i = from; i < to; i++)
        n *= q->box[i]->batch ? 1 : (double)q->box[i]->size;
    return n;
}

/* What only this sum reads is written and read again for nothing else. Returns its bytes, of one block. */
static double private_bytes(const Choice *c, const int *readers, bool *made_here)
{
    double bytes = 0;

    *made_here = false;
    for (int i = 0; i < c->value->n; i++) {
        const Expr *load = c->value->at[i];
        const Tensor *t = load->tensor;
        if (!t->batched)
            continue;
        if (!is_batch(load->args[0]))
            return *made_here = false;
        *made_here |= t->role == ROLE_TEMP;
        bytes += t->role == ROLE_TEMP && readers[t->id] == 1 ? (double)(tensor_count(t) / t->size[0] * LANES) * 4 : 0;
    }
    return bytes;
}

static bool is_worth_it(const Build *b, const Choice *c, const int *readers)
{
    const Equation *q = c->q;
    bool made_here;
    double ending = ENDING * points_of(q, 0, c->outer), additions = points_of(q, 0, q->nbox);
    double bytes = private_bytes(c, readers, &made_here), blocks = (double)blocks_of(b->graph->batch);

    if (!made_here)
        return false;
    return 16 * ending <= additions || (bytes * blocks > (double)loops_machine->l2 && ending < 2 * bytes / MEMORY);
}

/* By tensor id: the equations that read it. */
int *count_readers(Arena *a, const Graph *g)
{
    int *readers = NEW_ARRAY(a, int, g->tensors.n);

    for (int i = 0; i < g->equations.n; i++) {
        const Expr *read[] = {g->equations.at[i]->value, g->equations.at[i]->tail};
        for (int k = 0; k < 2; k++) {
            const Loads *l = loads_of(a, read[k]);
            for (int j = 0; j < l->n; j++) {
                bool again = false;
                for (int before = 0; before < j; before++)
                    again |= l->at[before]->tensor == l->at[j]->tensor;
                readers[l->at[j]->tensor->id] += !again;
            }
        }
    }
    return readers;
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

Equation *part_blocks(Build *b, Choice *c, const int *readers)
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
