/* same.c -- kernels recognised before they are printed.
 *
 * The C of a kernel follows from its equations, what was chosen for them and where their tensors lie. All that is its
 * description, in which indices, tensors and storages are numbers in the order in which they are met: what has the
 * description of a kernel printed before is that kernel with other pointers. */
#include "loops/nest.h"

typedef struct Description {
    struct Description *next; /* of the same bucket */
    Build *b;
    const Choice *c;
    LIST(int64_t) words;
    uint64_t hash;
    unsigned walk;
    int nodes;
    LIST(const Tensor *) tensors;
    LIST(Storage *) storages;
    LIST(uint32_t) streams;
    const Kernel *kernel; /* that was printed for it */
} Description;

enum { BUCKETS = 4096 };
struct Descriptions {
    Description *bucket[BUCKETS];
    Description draft; /* of the equation at hand */
};

static void put(Description *d, int64_t x) { PUSH(d->b->functions->arena, d->words, x); }

static void put_number(Description *d, double x)
{
    int64_t bits;

    memcpy(&bits, &x, sizeof bits);
    put(d, bits);
}

static void put_name(Description *d, const char *s)
{
    for (size_t left = strlen(s) + 1, n; left > 0; left -= n, s += n) {
        int64_t word = 0;
        n = left < sizeof word ? left : sizeof word;
        memcpy(&word, s, n);
        put(d, word);
    }
}

/* Its number; when it is met first, what there is to know of it follows. */
static void put_tensor(Description *d, const Tensor *t)
{
    int i = 0;

    while (i < d->tensors.n && d->tensors.at[i] != t)
        i++;
    put(d, i);
    if (i < d->tensors.n)
        return;
    PUSH(d->b->functions->arena, d->tensors, t);
    put(d, t->role);
    put(d, t->rank);
    put(d, t->batched);
    put(d, t->integer);
    for (int a = 0; a < t->rank; a++)
        put(d, t->size[a]);
}

static void put_storage(Description *d, Storage *s)
{
    int i = 0;

    while (i < d->storages.n && d->storages.at[i] != s)
        i++;
    put(d, i);
    if (i < d->storages.n)
        return;
    PUSH(d->b->functions->arena, d->storages, s);
    put(d, s->kind);
    put(d, s->layout.order);
    put(d, s->layout.integer);
    put_name(d, nest_arg_wish(d->b->arena, s->name));
}

static void put_place(Description *d, const Place *p)
{
    const Layout *l = &p->layout;

    put(d, p->storage != NULL);
    if (!p->storage)
        return;
    put_storage(d, p->storage);
    put(d, l->order);
    put(d, l->integer);
    put(d, l->rank);
    put(d, l->origin);
    put(d, l->count);
    for (int a = 0; a < l->rank; a++) {
        put(d, l->size[a]);
        put(d, l->stride[a]);
        put(d, l->low[a]);
        put(d, l->high[a]);
    }
}

static void put_index(Description *d, const Index *x)
{
    const Equation *q = d->c->q;
    int i = 0;

    while (i < q->nbox && q->box[i] != x)
        i++;
    put(d, x ? i : -1);
}

static void put_stream(Description *d, uint32_t stream)
{
    int i = 0;

    while (i < d->streams.n && d->streams.at[i] != stream)
        i++;
    put(d, i);
    if (i == d->streams.n)
        PUSH(d->b->functions->arena, d->streams, stream);
    put_storage(d, d->b->rows[graph_scalar(d->b->graph, "seed")->id].storage);
    put_storage(d, d->b->rows[graph_scalar(d->b->graph, "steps")->id].storage);
}

/* A node met again is a number: what is shared is computed once, so it matters. */
static void put_expr(Description *d, Expr *e)
{
    bool again = e->walk == d->walk;

    put(d, again);
    if (again) {
        put(d, e->slot);
        return;
    }
    e->walk = d->walk;
    e->slot = d->nodes++;
    put(d, e->kind);
    switch (e->kind) {
    case EXPR_NUMBER: put_number(d, e->number); break;
    case EXPR_INDEX: put_index(d, e->index); break;
    case EXPR_LOAD:
        put_tensor(d, e->tensor);
        put(d, e->padded);
        break;
    case EXPR_OP: put(d, e->op->id); break;
    case EXPR_RESULT: break;
    case EXPR_RANDOM: put_stream(d, (uint32_t)e->number); break;
    }
    put(d, e->nargs);
    for (int i = 0; i < e->nargs; i++)
        put_expr(d, e->args[i]);
}

static void put_box(Description *d, const Equation *q)
{
    put(d, q->nbox);
    for (int i = 0; i < q->nbox; i++) {
        put(d, q->box[i]->size);
        put(d, q->box[i]->batch);
        put_name(d, q->box[i]->name);
    }
}

/* Loads are met in the same order where the expressions are the same. */
static void put_places(Description *d, const Choice *c)
{
    const Loads *l[] = {c->value, c->tail};

    put_place(d, place_written(d->b, c));
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < l[i]->n; k++)
            put_place(d, place_read(d->b, c, l[i]->at[k]));
}

static void put_choice(Description *d, const Choice *c)
{
    const Equation *q = c->q;

    put_places(d, c);
    put(d, q->how);
    put(d, q->padded);
    put(d, c->lane);
    put_index(d, c->lane_index);
    put_index(d, c->fold);
    put_index(d, c->batch);
    put(d, c->outer);
    put(d, c->flat);
    put(d, c->scatter);
    put(d, c->stored);
    put_index(d, c->strip);
    put(d, c->ntiles);
    for (int i = 0; i < c->ntiles; i++) {
        put_index(d, c->tile_index[i]);
        put(d, c->tile[i]);
    }
    for (int i = 0; !c->leader && i < c->outer; i++)
        put_index(d, c->walk[i]);
    put(d, c->pieces.n);
    put(d, c->pieces.step);
    for (int i = 0; i < STRIPS; i++)
        put(d, c->pieces.strip[i]);
    put_tensor(d, q->out);
    put_name(d, nest_arg_wish(d->b->arena, q->out->name));
    d->walk = expr_walk();
    for (int i = 0; i < q->out->rank; i++)
        put_expr(d, q->at[i]);
    put_expr(d, q->value);
    put(d, q->tail != NULL);
    if (q->tail)
        put_expr(d, q->tail);
}

/* FNV-1a, a word at a time; the high half is brought down because buckets are chosen by the low one. */
static uint64_t hash_words(const Description *d)
{
    uint64_t hash = 14695981039346656037u;

    for (int i = 0; i < d->words.n; i++) {
        hash = (hash ^ (uint64_t)d->words.at[i]) * 1099511628211u;
        hash ^= hash >> 32;
    }
    return hash;
}

static void describe(Description *d, Build *b, const Choice *c)
{
    d->b = b;
    d->c = c;
    d->nodes = d->words.n = d->tensors.n = d->storages.n = d->streams.n = 0;
    put(d, b->graph->single);
    put(d, b->graph->batch <= LANES);
    put_box(d, c->q);
    for (const Choice *x = c; x; x = x->next)
        put_choice(d, x);
    d->hash = hash_words(d);
}

/* --- the door --- */

static const Description *find(const Description *bucket, const Description *d)
{
    while (bucket && (bucket->hash != d->hash || bucket->words.n != d->words.n ||
                      memcmp(bucket->words.at, d->words.at, (size_t)d->words.n * sizeof *d->words.at) != 0))
        bucket = bucket->next;
    return bucket;
}

static double flops_of(const Choice *c)
{
    double flops = 0;

    for (; c; c = c->next)
        flops += c->flops;
    return flops;
}

/* The kernel of `old` with the pointers and streams of d. */
static Kernel *kernel_again(const Description *old, const Description *d)
{
    Kernel *k = NEW(d->b->arena, Kernel);

    *k = *old->kernel;
    k->equation = d->c->q;
    k->why = d->c->why;
    k->lane_index = d->c->lane_index;
    k->bytes = 0;
    for (int i = 0, s = 0; i < k->nargs; i++, s = 0) {
        while (old->storages.at[s] != k->arg[i])
            s++;
        k->arg[i] = d->storages.at[s];
    }
    for (int i = 0, s = 0; i < k->nnumbers; i++, s = 0) {
        while (old->streams.at[s] != k->number[i])
            s++;
        k->number[i] = d->streams.at[s];
    }
    k->function->uses++;
    return k;
}

Kernel *kernel_equation(Build *b, const Choice *c)
{
    Arena *a = b->functions->arena;
    struct Descriptions *all = b->functions->descriptions;

    if (!all)
        all = b->functions->descriptions = NEW(a, struct Descriptions);
    Description *d = &all->draft;
    describe(d, b, c);
    Description **bucket = &all->bucket[d->hash % BUCKETS];
    const Description *old = find(*bucket, d);
    Kernel *k = old ? kernel_again(old, d) : kernel_print(b, c);
    k->choice = c;
    k->flops = flops_of(c);
    if (old)
        return k;
    Description *fresh = NEW(a, Description);
    *fresh = *d;
    *d = (Description){0}; /* its lists are the new one's now */
    fresh->kernel = k;
    fresh->next = *bucket;
    *bucket = fresh;
    return k;
}
