/* same.c -- equal equations are recognised, and what was done for the first is not done again.
 *
 * What is chosen for a kernel follows from its equations; its C from these, what was chosen, and where its tensors lie.
 * That is its description, before and after, in which indices, tensors and storages are numbers in the order in which
 * they are met: what has the description of a kernel printed before is that kernel with other pointers. */
#include "loops/nest.h"

typedef struct Description {
    struct Description *next; /* of the same bucket */
    Build *b;
    const Choice *c;
    Choose *choose; /* what is to be done, or NULL: to print it */
    LIST(int64_t) words;
    uint64_t hash;
    unsigned walk;
    int nodes;
    LIST(const Tensor *) tensors;
    LIST(Storage *) storages;
    LIST(uint32_t) streams;
    const Choice *choice; /* that was made for it, or ... */
    const Kernel *kernel; /* ... that was printed for it */
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
    for (int k = 0; k < 2 && !d->choose; k++)
        put_storage(d, d->b->rows[graph_scalar(d->b->graph, k ? "steps" : "seed")->id].storage);
}

/* A node met again is a number: what is shared is computed once, so it matters. There are so many that one word must do
 * for most. */
static void put_expr(Description *d, Expr *e)
{
    if (e->walk == d->walk) {
        put(d, 2 * (int64_t)e->slot + 1);
        return;
    }
    e->walk = d->walk;
    e->slot = d->nodes++;
    int id = e->kind == EXPR_OP ? (int)e->op->id : e->padded;
    put(d, 2 * ((int64_t)id << 32 | e->nargs << 8 | (int)e->kind));
    switch (e->kind) {
    case EXPR_NUMBER: put_number(d, e->number); break;
    case EXPR_INDEX: put_index(d, e->index); break;
    case EXPR_LOAD: put_tensor(d, e->tensor); break;
    case EXPR_RANDOM: put_stream(d, (uint32_t)e->number); break;
    case EXPR_OP:
    case EXPR_RESULT: break;
    }
    for (int i = 0; i < e->nargs; i++)
        put_expr(d, e->args[i]);
}

static void put_box(Description *d, const Equation *q)
{
    put(d, q->nbox);
    for (int i = 0; i < q->nbox; i++) {
        put(d, q->box[i]->size);
        put(d, q->box[i]->batch);
    }
}

/* What is printed and not only chosen. Loads are met in the same order where the expressions are the same. */
static void put_places(Description *d, const Choice *c)
{
    const Loads *l[] = {c->value, c->tail};

    put_place(d, place_written(d->b, c));
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < l[i]->n; k++)
            put_place(d, place_read(d->b, c, l[i]->at[k]));
}

static void put_names(Description *d, const Choice *c)
{
    put_name(d, nest_arg_wish(d->b->arena, c->q->out->name));
    for (int i = 0; i < c->q->nbox; i++)
        put_name(d, c->q->box[i]->name);
}

/* What was chosen: by and by, but all before it is printed. */
static void put_chosen(Description *d, const Choice *c)
{
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
}

static void put_equation(Description *d, const Choice *c)
{
    const Equation *q = c->q;

    put(d, q->how);
    put(d, q->padded);
    put(d, c->lane);
    put_index(d, c->lane_index);
    put_index(d, c->fold);
    put_index(d, c->batch);
    put(d, c->outer);
    put(d, c->flat);
    put(d, c->by_block);
    put(d, c->scatter);
    put(d, c->stored);
    put_index(d, c->strip);
    put_tensor(d, q->out);
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

static void describe(Description *d, Build *b, const Choice *c, Choose *choose)
{
    d->b = b;
    d->c = c;
    d->choose = choose;
    d->nodes = d->words.n = d->tensors.n = d->storages.n = d->streams.n = 0;
    put(d, (intptr_t)choose);
    put(d, b->graph->single);
    put(d, b->graph->batch <= LANES);
    put_box(d, c->q);
    for (const Choice *x = c; x; x = x->next) {
        if (!choose) {
            put_places(d, x);
            put_names(d, x);
            put_chosen(d, x);
        }
        put_equation(d, x);
    }
    d->hash = hash_words(d);
}

/* --- those met before --- */

static struct Descriptions *descriptions(Build *b)
{
    Functions *f = b->functions;

    if (!f->descriptions)
        f->descriptions = NEW(f->arena, struct Descriptions);
    return f->descriptions;
}

static const Description *find(const struct Descriptions *all, const Description *d)
{
    const Description *x = all->bucket[d->hash % BUCKETS];

    while (x && (x->hash != d->hash || x->words.n != d->words.n ||
                 memcmp(x->words.at, d->words.at, (size_t)d->words.n * sizeof *d->words.at) != 0))
        x = x->next;
    return x;
}

/* The draft becomes one of those met before. */
static Description *keep_draft(Arena *a, struct Descriptions *all)
{
    Description *d = NEW(a, Description), **bucket = &all->bucket[all->draft.hash % BUCKETS];

    *d = all->draft;
    d->next = *bucket;
    *bucket = d;
    all->draft = (Description){0}; /* its lists are the kept one's now */
    return d;
}

/* --- choices --- */

/* Where x stands in the box of `from`, that of `to` has an index, too. */
static Index *same_index(const Equation *from, const Index *x, const Equation *to)
{
    for (int i = 0; i < from->nbox; i++)
        if (from->box[i] == x)
            return to->box[i];
    return NULL;
}

static void choose_again(Choice *c, const Choice *old)
{
    const Equation *from = old->q, *to = c->q;

    c->cycles = old->cycles;
    c->flops = old->flops;
    c->pieces = old->pieces;
    c->ntiles = old->ntiles;
    for (int i = 0; i < c->ntiles; i++) {
        c->tile_index[i] = same_index(from, old->tile_index[i], to);
        c->tile[i] = old->tile[i];
    }
    c->nbounds = old->nbounds;
    for (int i = 0; i < c->nbounds; i++) {
        c->bound[i] = old->bound[i];
        c->bound[i].index = same_index(from, old->bound[i].index, to);
        c->bound[i].with = same_index(from, old->bound[i].with, to);
    }
    for (int i = 0; i < c->outer; i++)
        c->walk[i] = same_index(from, old->walk[i], to);
}

void choose_once(Build *b, Choice *c, Choose *choose)
{
    struct Descriptions *all = descriptions(b);

    if (c->q->how == EQ_MAP) { /* there is less to choose than to describe */
        choose(c);
        return;
    }
    describe(&all->draft, b, c, choose);
    const Description *old = find(all, &all->draft);
    if (old) {
        choose_again(c, old->choice);
        return;
    }
    Description *d = keep_draft(b->functions->arena, all);
    choose(c);
    Choice *kept = NEW(b->functions->arena, Choice);
    *kept = *c;
    d->choice = kept;
}

/* --- kernels --- */

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
    struct Descriptions *all = descriptions(b);

    describe(&all->draft, b, c, NULL);
    const Description *old = find(all, &all->draft);
    Kernel *k = old ? kernel_again(old, &all->draft) : kernel_print(b, c);
    k->choice = c;
    k->flops = flops_of(c);
    if (!old)
        keep_draft(b->functions->arena, all)->kernel = k;
    return k;
}
