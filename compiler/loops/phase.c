/* phase.c -- in which order kernels run, what must wait for what, and how long storages live.
 *
 * Kernels that need only their own block of samples of each other run block by block in one phase without waiting:
 * a whole network's forward and backward for sixteen samples, while they are in the cache. What reduces over the batch comes
 * in a phase after it, all such kernels together. What no other phase reads is kept of one block only for each thread. */
#include "loops/build.h"

#include <limits.h>

typedef struct Node {
    Kernel *k;
    LIST(int) before; /* kernels that must have run */
    LIST(int) after;  /* those that wait for this one */
    bool local;       /* reads batched tensors at its own samples only */
    bool pulled;      /* clears what one kernel makes, so it runs just before that */
    int turn;         /* runs in turn with this one, strip by strip, or -1 */
    bool follows;     /* is such a one */
    bool late;        /* writes what is kept, or waits for one that does */
    int phase;        /* where it runs, or -1 */
} Node;

typedef struct Queue {
    Build *b;
    int n;
    Node *node;
    Kernel **old; /* the kernels in the order of the equations */
    int early;    /* how many that are not late have not run yet */
    int taken;      /* of these in the phase that is being filled */
    double touched; /* by that phase: bytes of one block */
    bool stuck;     /* nothing could run without what is early */
    bool *in_block; /* by storage id: kernels meet it at their own block only, so it may live in one phase */
} Queue;

/* --- edges --- */

static Storage *storage_of(const Build *b, const Tensor *t)
{
    return b->rows[t->id].storage;
}

/* k reads the storage's old value: that of a parameter or state before the step. */
static bool reads_old(const Build *b, const Kernel *k, const Storage *s)
{
    for (const Choice *c = s->kind == STORAGE_KEPT ? k->choice : NULL; c; c = c->next) {
        const Loads *l[2] = {c->value, c->tail};
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < l[i]->n; j++) {
                const Tensor *t = l[i]->at[j]->tensor;
                if (t->role != ROLE_TEMP && storage_of(b, t) == s)
                    return true;
            }
    }
    return false;
}

static void add_edge(Queue *o, int from, int to)
{
    if (from == to)
        return;
    PUSH(o->b->arena, o->node[to].before, from);
    PUSH(o->b->arena, o->node[from].after, to);
}

static void find_edges(Queue *o)
{
    int storages = o->b->loops->storages.n;
    typedef LIST(int) Ints;
    Ints *writers = NEW_ARRAY(o->b->arena, Ints, storages);

    for (int i = 0; i < o->n; i++)
        for (int a = 0; a < o->node[i].k->nargs; a++) {
            Ints *w = &writers[o->node[i].k->arg[a]->id];
            if (!o->node[i].k->writes[a])
                continue;
            if (w->n > 0)
                add_edge(o, w->at[w->n - 1], i);
            PUSH(o->b->arena, *w, i);
        }
    for (int i = 0; i < o->n; i++)
        for (int a = 0; a < o->node[i].k->nargs; a++) {
            const Storage *s = o->node[i].k->arg[a];
            const Ints *w = &writers[s->id];
            if (w->n == 0 || o->node[i].k->writes[a])
                continue;
            bool old = reads_old(o->b, o->node[i].k, s);
            for (int j = 0; j < w->n; j++)
                if (old)
                    add_edge(o, i, w->at[j]);
                else
                    add_edge(o, w->at[j], i);
        }
}

/* Note: updates come last. Whatever changes parameters or states runs in phases after everything else, so that the
 * generated step can look at the loss in between and leave them alone where it is not finite. */
static void find_late(Queue *o)
{
    for (int i = 0; i < o->n; i++)
        for (int a = 0; a < o->node[i].k->nargs; a++)
            o->node[i].late |= o->node[i].k->writes[a] && o->node[i].k->arg[a]->kind == STORAGE_KEPT;
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < o->n; i++)
            for (int j = 0; j < o->node[i].before.n && !o->node[i].late; j++)
                again |= o->node[i].late = o->node[o->node[i].before.at[j]].late;
    }
}

static bool writes(const Kernel *k, const Storage *s)
{
    for (int a = 0; a < k->nargs; a++)
        if (k->arg[a] == s)
            return k->writes[a];
    return false;
}

/* A halo is cleared when what is inside is made: then it is in the cache, and its memory was free until now. */
static void find_pulled(Queue *o)
{
    for (int i = 0; i < o->n; i++)
        for (int j = 0; j < o->node[i].before.n; j++) {
            Node *x = &o->node[o->node[i].before.at[j]];
            if (x->k->kind != KERNEL_CLEAR || x->k->lane != LANE_SAMPLES || x->k->blocked != o->node[i].k->blocked || x->before.n > 0 ||
                !writes(o->node[i].k, x->k->arg[0]))
                continue;
            x->pulled = true;
            x->late = o->node[i].late;
        }
}

/* Kernels in turn are one: where the first runs, the others do. */
static void find_turns(Queue *o)
{
    for (int i = o->n; i-- > 0;) {
        Node *x = &o->node[i];
        x->turn = -1;
        for (int j = i + 1; x->k->choice && x->k->choice->after && x->turn < 0; j++)
            if (o->node[j].k->choice == x->k->choice->after)
                x->turn = j;
        if (x->turn >= 0) {
            o->node[x->turn].follows = true;
            x->late |= o->node[x->turn].late;
        }
    }
}

static bool is_local(const Kernel *k)
{
    for (const Choice *c = k->blocked ? k->choice : NULL; c; c = c->next) {
        const Loads *l[2] = {c->value, c->tail};
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < l[i]->n; j++)
                if (l[i]->at[j]->tensor->batched && !is_batch(l[i]->at[j]->args[0]))
                    return false;
    }
    return k->blocked;
}

/* --- phases --- */

/* Node i runs in turn with node j, after it. */
static bool runs_in_turn(const Queue *o, int j, int i)
{
    while (j >= 0 && j != i)
        j = o->node[j].turn;
    return j == i;
}

/* All that must run before node i has run; in this very phase only where that is allowed. */
static bool is_ready(const Queue *o, int i, int phase, bool same_phase)
{
    const Node *x = &o->node[i];

    for (int j = 0; j < x->before.n; j++) {
        const Node *y = &o->node[x->before.at[j]];
        if (y->phase < 0 ? !y->pulled && !runs_in_turn(o, x->before.at[j], i) : y->phase == phase && !same_phase)
            return false;
    }
    return x->turn < 0 || is_ready(o, x->turn, phase, o->node[x->turn].local);
}

/* Writes more than all that it reads. */
static bool grows(const Kernel *k)
{
    int64_t read = 0, written = 0;

    for (int a = 0; a < k->nargs; a++)
        *(k->writes[a] ? &written : &read) += layout_bytes(&k->arg[a]->layout);
    return written > read;
}

/* Makes much of little, and whoever waits for it also waits for what cannot run yet: memory is better spent later, when
 * all is there. But not when nothing else can run: what cannot run yet may do so in turn with one that waits for this. */
static bool is_early(const Queue *o, int i)
{
    const Node *x = &o->node[i];

    if (o->stuck || x->after.n == 0 || !grows(x->k))
        return false;
    for (int j = 0; j < x->after.n; j++) {
        const Node *y = &o->node[x->after.at[j]];
        bool all = true;
        for (int k = 0; k < y->before.n && all; k++) {
            int z = y->before.at[k];
            all = o->node[z].phase >= 0 || is_ready(o, z, -1, true);
        }
        if (all)
            return false;
    }
    return true;
}

static bool fits(const Queue *o, int i, PhaseKind kind, int phase)
{
    const Node *x = &o->node[i];

    if (x->pulled || x->follows || (x->late && o->early > 0))
        return false;
    switch (kind) {
    case PHASE_BLOCKS: return x->k->blocked && is_ready(o, i, phase, x->local) && !is_early(o, i);
    case PHASE_TASKS: return !x->k->blocked && is_ready(o, i, phase, false);
    default: return !x->k->blocked && x->k->threads == 1 && is_ready(o, i, phase, true);
    }
}

/* When the kernels of a phase have met so much of one block, nothing of its beginning is in the cache any more: what
 * comes after goes into a phase of its own, and memory that lived for the first alone is free again. But not between two
 * kernels of which one makes what only such as the other read: of that one block is enough. */
enum { MOST_CACHES = 8 };

static bool continues(const Queue *o, int i, int phase)
{
    const Node *x = &o->node[i];

    for (int j = 0; j < x->before.n; j++) {
        const Node *y = &o->node[x->before.at[j]];
        for (int a = 0; y->phase == phase && a < y->k->nargs; a++)
            if (y->k->writes[a] && o->in_block[y->k->arg[a]->id])
                return true;
    }
    return false;
}

static void take_one(Queue *o, int i, Phase *p, int phase)
{
    Node *x = &o->node[i];

    if (x->k->blocked != (p->kind == PHASE_BLOCKS))
        bug("kernel %s in a phase of another kind", x->k->function->name);
    x->phase = phase;
    x->k->in_turn = 1;
    x->k->strips = 0;
    o->taken += !x->late;
    PUSH(o->b->arena, o->b->loops->kernels, x->k);
    if (x->k->threads > p->threads)
        p->threads = x->k->threads;
    if (p->kind == PHASE_BLOCKS)
        o->touched += x->k->bytes / (double)blocks_of(o->b->graph->batch);
}

/* Kernel i runs in this phase, and those in turn with it; before them what they pull. */
static void take(Queue *o, int i, Phase *p, int phase)
{
    for (int k = i; k >= 0; k = o->node[k].turn)
        for (int j = 0; j < o->node[k].before.n; j++)
            if (o->node[o->node[k].before.at[j]].pulled && o->node[o->node[k].before.at[j]].phase < 0)
                take_one(o, o->node[k].before.at[j], p, phase);
    take_one(o, i, p, phase);
    for (int k = o->node[i].turn; k >= 0; k = o->node[k].turn) {
        take_one(o, k, p, phase);
        o->node[i].k->in_turn++;
        o->node[i].k->strips = o->node[i].k->choice->strip->size;
    }
}

/* Takes the kernels that may run in a phase of this kind. */
static int fill_phase(Queue *o, PhaseKind kind)
{
    Loops *l = o->b->loops;
    Phase p = {.kind = kind, .first = l->kernels.n, .threads = 1};
    int phase = l->phases.n;
    double most = MOST_CACHES * (double)loops_machine->l2;

    o->taken = 0;
    o->touched = 0;
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < o->n; i++) {
            if (o->node[i].phase >= 0)
                continue;
            if (!fits(o, i, kind, phase)) {
                /* Of one sample: what was made long before it is read is in the cache no more. */
                if (o->b->graph->single && o->node[i].k->threads > 1)
                    break;
                continue;
            }
            if (o->touched > most && !continues(o, i, phase))
                continue;
            take(o, i, &p, phase);
            again = kind != PHASE_TASKS;
        }
    }
    o->early -= o->taken; /* now only: a phase is all early or all late */
    p.count = l->kernels.n - p.first;
    if (p.count > 0)
        PUSH(o->b->arena, l->phases, p);
    return p.count;
}

/* --- work and threads --- */

static double microseconds(const Kernel *k)
{
    double work = k->flops / loops_machine->gflops, traffic = k->bytes / loops_machine->gbytes;

    return (work > traffic ? work : traffic) / 1000;
}

/* Microseconds of work in a kernel, in a step. A single sample comes alone: threads that slept since the last one are to
 * be woken, and then wait for each other after nearly every kernel, but not for long. */
enum { WORTH_A_THREAD = 5, WORTH_THREADS = 20, WORTH_A_SHARE = 2, WORTH_WAKING = 200 };

static void choose_threads(Build *b, Kernel **kernels, int n)
{
    double all = 0, blocks = (double)blocks_of(b->graph->batch);

    for (int i = 0; i < n; i++) {
        Kernel *k = kernels[i];
        double us = microseconds(k), most = (double)k->tasks * (k->blocked ? blocks : 1);
        double worth = us / (b->graph->single ? WORTH_A_SHARE : WORTH_A_THREAD);
        all += us;
        /* block by block, what counts is the whole phase */
        k->threads = (int)(k->blocked || worth > most ? most : worth);
        if (k->threads < 1)
            k->threads = 1;
        b->loops->flops += k->flops;
        b->loops->bytes += k->bytes;
    }
    b->loops->threads = 1;
    for (int i = 0; i < n; i++) {
        if (all < (b->graph->single ? WORTH_WAKING : WORTH_THREADS))
            kernels[i]->threads = 1;
        if (kernels[i]->threads > b->loops->threads)
            b->loops->threads = kernels[i]->threads;
    }
}

/* --- lives --- */

static bool *find_in_block(const Build *b)
{
    const Loops *l = b->loops;
    bool *in_block = NEW_ARRAY(b->arena, bool, l->storages.n);

    for (int i = 0; i < l->storages.n; i++)
        in_block[i] = l->storages.at[i]->kind == STORAGE_WORK && !l->storages.at[i]->wanted && blocks_of(b->graph->batch) > 1;
    for (int i = 0; i < l->kernels.n; i++)
        for (int a = 0; a < l->kernels.at[i]->nargs; a++)
            in_block[l->kernels.at[i]->arg[a]->id] &= l->kernels.at[i]->at_block[a];
    return in_block;
}

/* The phase in which a storage is met at one block alone. */
static void find_homes(const Queue *o)
{
    const Loops *l = o->b->loops;
    enum { NONE = -1, SEVERAL = -2 };

    for (int i = 0; i < l->phases.n; i++)
        for (int j = l->phases.at[i].first; j < l->phases.at[i].first + l->phases.at[i].count; j++)
            for (int a = 0; a < l->kernels.at[j]->nargs; a++) {
                Storage *s = l->kernels.at[j]->arg[a];
                s->phase = o->in_block[s->id] && (s->phase == NONE || s->phase == i) ? i : SEVERAL;
            }
    for (int i = 0; i < l->storages.n; i++)
        if (l->storages.at[i]->phase == SEVERAL)
            l->storages.at[i]->phase = NONE;
}

/* Kernels in turn, as those of a phase whose blocks are at different places at a time, share one time. */
static void find_lives(Build *b)
{
    Loops *l = b->loops;
    bool many = blocks_of(b->graph->batch) > 1;
    int time = 0;

    for (int i = 0; i < l->phases.n; i++) {
        Phase *p = &l->phases.at[i];
        bool together = (p->kind == PHASE_BLOCKS && many) || (p->kind == PHASE_TASKS && l->threads > 1);
        for (int j = p->first, turn = j, left = 0; j < p->first + p->count; j++) {
            Kernel *k = l->kernels.at[j];
            if (left == 0) {
                turn = j;
                left = k->in_turn;
            }
            k->time = time;
            for (int a = 0; a < k->nargs; a++) {
                Storage *s = k->arg[a];
                int now = s->phase < 0 ? time : turn;
                s->first = now < s->first ? now : s->first;
                s->last = now > s->last ? now : s->last;
            }
            if (--left == 0)
                time += !together;
        }
        time += together;
    }
    for (int i = 0; i < l->storages.n; i++)
        if (l->storages.at[i]->wanted)
            l->storages.at[i]->last = INT_MAX;
}

/* Storages that no kernel mentions and nobody wants are no storages. */
static void drop_unused(Loops *l)
{
    int n = 0;

    for (int i = 0; i < l->storages.n; i++) {
        Storage *s = l->storages.at[i];
        if (s->last < 0 && !s->wanted)
            continue;
        s->id = n;
        l->storages.at[n++] = s;
    }
    l->storages.n = n;
}

void phases_make(Build *b)
{
    Loops *l = b->loops;
    Queue o = {.b = b, .n = l->kernels.n, .old = l->kernels.at};
    int left = o.n;

    o.node = NEW_ARRAY(b->arena, Node, o.n);
    choose_threads(b, o.old, o.n);
    for (int i = 0; i < o.n; i++)
        o.node[i] = (Node){.k = o.old[i], .local = is_local(o.old[i]), .phase = -1};
    find_edges(&o);
    find_late(&o);
    find_pulled(&o);
    find_turns(&o);
    for (int i = 0; i < o.n; i++)
        o.early += !o.node[i].late;
    o.in_block = find_in_block(b);
    l->kernels.at = NULL;
    l->kernels.n = l->kernels.room = 0;
    while (left > 0) {
        int before = left;
        left -= fill_phase(&o, PHASE_SERIAL);
        left -= fill_phase(&o, PHASE_TASKS); /* before blocks: then no block waits halfway */
        left -= fill_phase(&o, PHASE_BLOCKS);
        if (left == before && o.stuck)
            bug("kernels of graph %s wait for each other", b->graph->name);
        o.stuck = left == before;
    }
    find_homes(&o);
    find_lives(b);
    drop_unused(l);
}
