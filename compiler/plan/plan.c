/* plan.c -- the memory of a whole program: what stays, and what graphs use while they run.
 *
 * needs:  the loops of every graph, with the lives of their storages
 * leaves: an offset for everything; the sizes that the header promises to the caller */
#include "plan/plan.h"

#include <limits.h>

Graph *program_graph(const Program *p, GraphKind kind)
{
    Graph *const graphs[GRAPHS] = {[GRAPH_INIT] = p->init,     [GRAPH_STEP] = p->step,       [GRAPH_EVAL] = p->eval,
                                   [GRAPH_REPORT] = p->report, [GRAPH_PREDICT] = p->predict, [GRAPH_PREPARE] = p->prepare,
                                   [GRAPH_DERIVE] = p->derive, [GRAPH_SINGLE] = p->single};
    int phase = (int)kind - GRAPH_STEP;

    return is_step(kind) && phase > 0 ? (phase < p->phases.n ? p->phases.at[phase].step : NULL) : graphs[kind];
}

int scalar_position(const char *name)
{
#define SCALAR_NAME(name, what) #name,
    static const char *const names[] = {SCALARS(SCALAR_NAME) "lr"};
#undef SCALAR_NAME

    _Static_assert(sizeof names / sizeof names[0] == SCALAR_COUNT, "nn.h counts the scalars too");
    for (int i = 0; i < SCALAR_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

bool is_derived(const Program *p, const Storage *s)
{
    int i = s->kind == STORAGE_KEPT ? names_find(&p->kept_names, s->name) : -1;

    return i >= 0 && p->kept.at[i].kind == KEPT_DERIVED;
}

int64_t kept_offset(const Plan *plan, const Program *p, const char *name)
{
    int i = names_find(&p->kept_names, name);

    if (i < 0)
        bug("'%s' is no kept tensor", name);
    return plan->kept[i].offset - (p->kept.at[i].kind == KEPT_DERIVED ? plan->derived_offset : 0);
}

int64_t output_count(const Output *o)
{
    int64_t n = 1;

    for (int i = 0; i < o->rank; i++)
        n *= o->size[i];
    return n;
}

static int64_t rounded(int64_t bytes) { return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN; }

static int64_t place_kept(const Program *p, Plan *plan, KeptKind kind, int64_t at)
{
    for (int i = 0; i < p->kept.n; i++) {
        const Kept *k = &p->kept.at[i];
        Layout l = {0};
        if (k->kind != kind)
            continue;
        layout_kept(&l, k->rank, k->size, k->integer);
        plan->kept[i].offset = at;
        plan->kept[i].bytes = layout_bytes(&l);
        plan->kept[i].row = k->rank == 0 ? 0 : k->rank == 1 ? k->size[0] : l.stride[k->rank - 2];
        at += rounded(plan->kept[i].bytes);
    }
    return at;
}

/* It wishes to lie where the other graph has what has this name, in the same phase of blocks or in none. The two graphs are
 * much alike: the search begins behind what was found last. */
static void wish(Buffer *b, const Work *like, int *last)
{
    for (int i = 0; like && i < like->n && !b->wishes; i++) {
        const Buffer *other = &like->buffers[(*last + i) % like->n];
        if (other->phase != b->phase || strcmp(other->name, b->name) != 0)
            continue;
        b->wishes = true;
        b->offset = other->offset;
        *last = (*last + i + 1) % like->n;
    }
}

/* Those that live in one phase of blocks, or (-1) in the graph. */
static void add_buffers(Work *w, const Work *like, int phase)
{
    int last = 0;

    for (int i = 0; i < w->loops->storages.n; i++) {
        const Storage *s = w->loops->storages.at[i];
        if (s->phase != phase)
            continue;
        w->buffer[s->id] = -1;
        if (s->kind != STORAGE_WORK || s->first == INT_MAX) /* no kernel touches it: its value is written in place */
            continue;
        w->buffer[s->id] = w->n;
        w->buffers[w->n++] = (Buffer){.name = s->name,
                                      .where = s->tensor ? s->tensor->where : NOWHERE,
                                      .bytes = phase < 0 ? layout_bytes(&s->layout) : storage_block_bytes(s),
                                      .first = s->first,
                                      .last = s->wanted ? INT_MAX : s->last,
                                      .phase = phase};
        wish(&w->buffers[w->n - 1], like, &last);
    }
}

/* What lives in the phase alone is packed into the room of one thread; returns that of all threads, 0 for none. */
static int64_t make_room(Arena *a, Work *w, const Work *like, int phase)
{
    const Phase *p = &w->loops->phases.at[phase];
    int first = w->n;

    add_buffers(w, like, phase);
    w->room[phase].bytes = plan_pack(a, w->buffers + first, w->n - first);
    w->room[phase].threads = p->threads < w->loops->threads ? p->threads : w->loops->threads;
    return w->room[phase].bytes * w->room[phase].threads;
}

/* `like`: the work of a graph that has much in common with this one, or NULL. */
static void work_make(Arena *a, Work *w, const Work *like, Loops *loops)
{
    w->loops = loops;
    if (!loops)
        return;
    w->buffers = NEW_ARRAY(a, Buffer, loops->storages.n + loops->phases.n + 1);
    w->buffer = NEW_ARRAY(a, int, loops->storages.n + 1);
    w->room = NEW_ARRAY(a, Room, loops->phases.n + 1);
    int64_t *rooms = NEW_ARRAY(a, int64_t, loops->phases.n + 1);
    for (int i = 0; i < loops->phases.n; i++)
        rooms[i] = make_room(a, w, like, i);
    int first = w->n;
    add_buffers(w, like, -1);
    for (int i = 0; i < loops->phases.n; i++) {
        int time = loops->kernels.at[loops->phases.at[i].first]->time;
        w->room[i].buffer = w->n;
        if (rooms[i] > 0)
            w->buffers[w->n++] = (Buffer){.name = arena_print(a, "phase %d, %lld for each of %d thread%s", i + 1,
                                                              (long long)w->room[i].bytes, w->room[i].threads,
                                                              w->room[i].threads > 1 ? "s" : ""),
                                          .where = NOWHERE,
                                          .bytes = rooms[i],
                                          .first = time,
                                          .last = time,
                                          .phase = -1};
    }
    w->bytes = plan_pack(a, w->buffers + first, w->n - first);
}

/* A block of sixteen samples takes as long as how many of them, one by one? */
static int few_samples(Loops *const *loops)
{
    const Loops *many = loops[GRAPH_PREDICT], *one = loops[GRAPH_SINGLE];

    return many && one && one->cycles > 0 ? (int)(many->cycles / one->cycles) : 0;
}

/* Nobody calls its kernels. */
static void drop_kernels(Loops *l)
{
    for (int i = 0; l && i < l->kernels.n; i++)
        l->kernels.at[i]->function->uses--;
}

/* Never none: a caller may declare an array of so many bytes. */
static int64_t scratch_bytes(const Work *w)
{
    return w->loops && w->bytes == 0 ? PLAN_ALIGN : w->bytes;
}

/* What graph derive makes, and behind it its work. */
static int64_t place_derived(const Program *p, Plan *plan, int64_t at)
{
    plan->derived_offset = at;
    if (plan->work[GRAPH_DERIVE].loops)
        at = place_kept(p, plan, KEPT_DERIVED, at);
    plan->derived_work = at - plan->derived_offset;
    plan->derived_bytes = plan->derived_work + plan->work[GRAPH_DERIVE].bytes;
    return at + plan->work[GRAPH_DERIVE].bytes;
}

Plan *plan_make(Arena *a, const Program *p, Loops *const *loops, const Functions *f)
{
    Plan *plan = NEW(a, Plan);
    int64_t at = rounded((SCALAR_DERIVED + 1) * 8), most = 0;

    plan->functions = f;
    plan->few = few_samples(loops);
    for (GraphKind i = 0; i < GRAPHS; i++) {
        bool dropped = plan->few < 2 && (i == GRAPH_SINGLE || i == GRAPH_DERIVE);
        if (dropped)
            drop_kernels(loops[i]);
        else if (i != GRAPH_EVAL)
            work_make(a, &plan->work[i], NULL, loops[i]);
    }
    work_make(a, &plan->work[GRAPH_EVAL], loops[GRAPH_PREDICT] ? &plan->work[GRAPH_PREDICT] : NULL, loops[GRAPH_EVAL]);
    for (GraphKind i = 0; i <= GRAPH_REPORT; i++)
        if (plan->work[i].bytes > most)
            most = plan->work[i].bytes;
    plan->kept = NEW_ARRAY(a, Place, p->kept.n + 1);
    at = place_kept(p, plan, KEPT_PARAM, at);
    at = place_kept(p, plan, KEPT_BUFFER, at);
    plan->weight_bytes = at = place_derived(p, plan, at);
    at = place_kept(p, plan, KEPT_OPTIMIZER, at);
    at = place_kept(p, plan, KEPT_METRIC, at);
    plan->metrics = at;
    for (int i = 0; i < p->metrics.n; i++)
        at += 8 * output_count(&p->metrics.at[i]);
    plan->work_offset = rounded(at);
    plan->bytes = plan->work_offset + most;
    plan->predict_bytes = scratch_bytes(&plan->work[GRAPH_PREDICT]);
    if (plan->derived_bytes + plan->work[GRAPH_SINGLE].bytes > plan->predict_bytes) /* the two share it */
        plan->predict_bytes = plan->derived_bytes + plan->work[GRAPH_SINGLE].bytes;
    plan->prepare_bytes = scratch_bytes(&plan->work[GRAPH_PREPARE]);
    return plan;
}
