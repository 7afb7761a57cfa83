/* place.c -- where the pointers of listed calls point (list.c): a table of places.
 *
 * There are thousands, each with an address of eight digits, but most lie close to others. So the table holds groups of
 * places in one part of memory, with one address and the distances from it. A place is the number of its group times
 * sixteen, and which of it. */
#include "emit/parts.h"

#include <stdlib.h>

enum { BUCKETS = 4096, GROUP = 16, LINE_BYTES = 64 };

/* As in the text of carry.c. */
typedef enum { PART_CONTEXT, PART_WORK, PART_SCALARS, PART_ROOM, PART_DERIVED, PART_GIVEN } Part;

/* Lines of 64 bytes from the start of a part of memory, and from one block of samples to the next. Scalars and what is
 * given are counted, not lines. */
typedef struct Spot {
    Part part;
    int64_t at, step;
    int uses;          /* how often it is needed */
    int number;        /* of the place */
    struct Spot *next; /* of the same bucket */
} Spot;

typedef struct Group {
    Spot **spot; /* by address */
    int n, uses;
} Group;

struct Places {
    const Program *program;
    const Plan *plan;
    LIST(Spot *) spots;
    LIST(Group) groups;
    Spot *bucket[BUCKETS];
};

static int64_t lines(int64_t bytes)
{
    if (bytes % LINE_BYTES)
        bug("%lld bytes are no lines", (long long)bytes);
    return bytes / LINE_BYTES;
}

static Spot *spot_at(Places *all, Part part, int64_t at, int64_t step)
{
    Arena *a = all->program->arena;
    Spot **bucket = &all->bucket[(uint64_t)(at * 31 + (int)part + step) % BUCKETS], *x = *bucket;

    while (x && (x->part != part || x->at != at || x->step != step))
        x = x->next;
    if (x)
        return x;
    x = NEW(a, Spot);
    *x = (Spot){.part = part, .at = at, .step = step, .next = *bucket};
    PUSH(a, all->spots, x);
    return *bucket = x;
}

static int64_t work_offset(const Work *w, const Storage *s) { return w->buffers[w->buffer[s->id]].offset; }

static Spot *spot_of_storage(Places *all, GraphKind graph, const Storage *s, int64_t step)
{
    const Program *p = all->program;

    switch (s->kind) {
    case STORAGE_FIELD: return spot_at(all, PART_GIVEN, s->field, 0);
    case STORAGE_OUTPUT: return spot_at(all, PART_GIVEN, p->fields.n + s->field, 0);
    case STORAGE_KEPT: return spot_at(all, is_derived(p, s) ? PART_DERIVED : PART_CONTEXT, lines(kept_offset(all->plan, p, s->name)), step);
    case STORAGE_SCALAR: return spot_at(all, PART_SCALARS, scalar_position(s->name), 0);
    case STORAGE_WORK: break;
    }
    return spot_at(all, s->phase < 0 ? PART_WORK : PART_ROOM, lines(work_offset(&all->plan->work[graph], s)), step);
}

static Spot *spot_of_pointer(Places *all, GraphKind graph, const Kernel *k, int i)
{
    const Storage *s = k->arg[i];

    return spot_of_storage(all, graph, s, k->at_block[i] && s->phase < 0 ? lines(s->layout.stride[0] * 4) : 0);
}

static Spot *spot_of_room(Places *all, GraphKind graph, int phase)
{
    const Work *w = &all->plan->work[graph];
    const Room *room = &w->room[phase];

    return spot_at(all, PART_WORK, lines(w->buffers[room->buffer].offset), lines(room->bytes));
}

int place_of_pointer(Places *all, GraphKind graph, const Kernel *k, int i) { return spot_of_pointer(all, graph, k, i)->number; }

int place_of_room(Places *all, GraphKind graph, int phase) { return spot_of_room(all, graph, phase)->number; }

int place_of_storage(Places *all, GraphKind graph, const Storage *s) { return spot_of_storage(all, graph, s, 0)->number; }

/* --- groups --- */

static int by_address(const void *a, const void *b)
{
    const Spot *x = *(Spot *const *)a, *y = *(Spot *const *)b;

    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    if (x->step != y->step)
        return x->step < y->step ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* What is used often comes first: small numbers are short. */
static int by_uses(const void *a, const void *b)
{
    const Group *x = a, *y = b;
    int64_t uses = (int64_t)y->uses * x->n - (int64_t)x->uses * y->n;

    return uses ? uses > 0 ? 1 : -1 : by_address(x->spot, y->spot);
}

static void make_groups(Places *all)
{
    Spot **spot = all->spots.at;
    int n = all->spots.n;

    qsort(spot, (size_t)n, sizeof *spot, by_address);
    for (int i = 0; i < n;) {
        Group g = {.spot = &spot[i]};
        for (; i < n && g.n < GROUP && spot[i]->part == g.spot[0]->part && spot[i]->step == g.spot[0]->step; i++, g.n++)
            g.uses += spot[i]->uses;
        PUSH(all->program->arena, all->groups, g);
    }
    qsort(all->groups.at, (size_t)all->groups.n, sizeof *all->groups.at, by_uses);
    for (int k = 0; k < all->groups.n; k++)
        for (int i = 0; i < all->groups.at[k].n; i++)
            all->groups.at[k].spot[i]->number = GROUP * k + i;
}

Places *places_make(const Program *p, const Plan *plan)
{
    Places *all = NEW(p->arena, Places);

    *all = (Places){.program = p, .plan = plan};
    for (GraphKind g = 0; g < GRAPHS; g++) {
        const Loops *l = plan->work[g].loops;
        for (int i = 0; l && i < l->kernels.n; i++)
            for (int k = 0; k < l->kernels.at[i]->nargs; k++)
                spot_of_pointer(all, g, l->kernels.at[i], k)->uses++;
        for (int i = 0; l && i < l->phases.n; i++)
            if (plan->work[g].room[i].bytes)
                spot_of_room(all, g, i)->uses++;
        if (l && is_step(g) && loops_storage(l, "loss"))
            spot_of_storage(all, g, loops_storage(l, "loss"), 0)->uses++;
    }
    make_groups(all);
    return all;
}

void print_places(Text *t, const Places *all)
{
    for (int k = 0; k < all->groups.n; k++) {
        const Group *g = &all->groups.at[k];
        text_print(t, "{%d,%lld,%lld,{", (int)g->spot[0]->part, (long long)g->spot[0]->at, (long long)g->spot[0]->step);
        for (int i = 0; i < g->n; i++)
            text_print(t, i ? ",%lld" : "%lld", (long long)(g->spot[i]->at - g->spot[0]->at));
        text_print(t, "}},\n");
    }
}
