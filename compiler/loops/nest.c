/* nest.c -- the C of one equation: loops over the result, a tile of it in registers, loops of the reduction.
 *
 *     for tasks, blocks or steps of the result's indices        (parallel)
 *         for the other indices of the result                   (the last part of an index may be a smaller tile)
 *             sums of the tile = 0
 *             for the reduced indices
 *                 sums += value
 *             result = tail(sums) */
#include "loops/nest.h"

enum { MAX_PARTS = 4, ENOUGH_TASKS = 16, WORTH_PARTS = 30000 /* cycles */ };

/* An index of the result is walked in up to four parts: strips of whole tiles and what is left of them, a smaller tile, and
 * less than a vector. */
typedef struct Part {
    int64_t start, steps, step;
    int tile, partial;
    int64_t strip; /* tiles in a step */
} Part;

static int dim_of(const Choice *c, const Index *x)
{
    for (int d = 0; d < c->ntiles; d++)
        if (c->tile_index[d] == x)
            return d;
    return -1;
}

/* Which of the two loops that are cut into strips, or -1. */
static int strip_of(const Choice *c, const Index *x)
{
    for (int k = 0; k < STRIPS && c->pieces.n > 0; k++)
        if (c->walk[c->outer - STRIPS + k] == x)
            return k;
    return -1;
}

/* One tile has all of the index, and nobody asks where the tile begins. */
static bool is_whole(const Choice *c, const Index *x)
{
    int d = dim_of(c, x);

    for (int i = 0; i < c->nbounds; i++)
        if (c->bound[i].with == x)
            return false;
    return d >= 0 && c->tile[d] == x->size && lanes_of(c, x) == 1 && strip_of(c, x) < 0;
}

static int parts_of(const Choice *c, const Index *x, Part *part)
{
    int d = dim_of(c, x), s = strip_of(c, x), tile = d < 0 ? 1 : c->tile[d], n = 0;
    int64_t width = lanes_of(c, x), whole = x->size / width, tiles = whole / tile, strip = s < 0 ? 1 : c->pieces.strip[s];

    if (x == c->fold && x->size % 2) { /* the last tile begins one step earlier than after the one before it */
        int last = (int)(whole % tile) + 1;
        if (tiles > 0)
            part[n++] = (Part){0, tiles, tile * width, tile, LANES, 1};
        part[n++] = (Part){x->size - last * width, 1, 0, last, LANES, 1};
        return n;
    }
    if (tiles >= strip)
        part[n++] = (Part){0, tiles / strip, tile * width * strip, tile, LANES, strip};
    if (tiles % strip)
        part[n++] = (Part){tiles / strip * strip * tile * width, 1, 0, tile, LANES, tiles % strip};
    if (whole % tile)
        part[n++] = (Part){tiles * tile * width, 1, 0, (int)(whole % tile), LANES, 1};
    if (x->size % width)
        part[n++] = (Part){whole * width, 1, 0, 1, (int)(x->size % width), 1};
    return n;
}

/* A loop over strips counts their beginnings; the steps inside come later. */
static const char *loop_name(const Nest *n, const Index *x)
{
    const char *name = nest_var(n, x)->name;

    return strip_of(n->c, x) < 0 ? name : arena_print(n->b->arena, "%s_first", name);
}

static void open_brace(Nest *n, const char *format, const char *name, int64_t from, int64_t to, int64_t step)
{
    line(&n->out, n->depth++, format, name, (long long)from, name, (long long)to, name, (long long)step);
}

void nest_close(Nest *n) { line(&n->out, --n->depth, "}"); }

void nest_open(Nest *n, const char *name, int64_t from, int64_t to, int64_t step)
{
    open_brace(n, step == 1 ? "for (long %s = %lld; %s < %lld; %s++) {" : "for (long %s = %lld; %s < %lld; %s += %lld) {",
               name, from, to, step);
}

void nest_note(Nest *n, const Index *x, int64_t tile, LoopRole role)
{
    Kernel *k = n->k;

    for (int i = 0; i < k->nloops; i++)
        if (k->loop[i].index == x)
            return;
    if (k->nloops < MAX_LOOPS)
        k->loop[k->nloops++] = (Loop){x, x->size, tile, role};
}

/* --- the point inside all loops --- */

const char *nest_steps(const Nest *n, const char *array)
{
    Text t = {.arena = n->b->arena};

    text_print(&t, "%s", array);
    for (int d = 0; d < n->c->ntiles; d++)
        text_print(&t, "[%s]", n->step_name[d]);
    return t.s;
}

unsigned nest_dims(const Nest *n) { return (1u << n->c->ntiles) - 1; }

/* The statement that puts a finished value into its place, which is inside of the result. */
static const char *store_inside(Nest *n, Scope *s, const Choice *c, Piece v)
{
    const Place *p = place_written(n->b, c);
    Arena *a = n->b->arena;
    const char *name = nest_arg(n, p, true);
    unsigned dims = 0;

    if (n->doubles) {
        const char *at = address_text(n, p, c->q->at, NULL, &dims);
        const char *cast = p->layout.order == ORDER_DOUBLE ? "" : p->layout.integer ? "(int32_t)" : "(float)";
        v = scope_as(s, v, TYPE_DOUBLE);
        return arena_print(a, v.atom || !*cast ? "%s[%s] = %s%s;" : "%s[%s] = %s(%s);", name, at, cast, v.text);
    }
    v = scope_as(s, v, TYPE_VECTOR);
    if (c->fold && !p->layout.integer && is_contiguous(n, p, c->q->at)) {
        const char *at = address_text(n, p, c->q->at, NULL, &dims);
        return arena_print(a, "nn_store_halves(%s + %s, %s + %s + %lld, %d, %s);", name, at, name, at,
                           (long long)fold_step(n, p, c->q->at), half_lanes(n), v.text);
    }
    if (c->fold || !is_contiguous(n, p, c->q->at)) {
        const char *at = address_text(n, p, c->q->at, "l", &dims);
        v = scope_keep(s, (Piece){v.type, v.dims | nest_dims(n), v.text, v.atom}, "result");
        return arena_print(a, "%s %s[%s] = %s%s[l];", each_lane(n), name, at,
                           p->layout.integer ? "(int32_t)" : "", v.text);
    }
    const char *at = address_text(n, p, c->q->at, NULL, &dims);
    if (p->layout.integer)
        return arena_print(a, "nn_storei(%s + %s, nn_int(%s));", name, at, v.text);
    if (n->c->lane == LANE_AXIS && n->c->lane_index && n->c->lane_index->size % LANES) /* full vectors too: then they differ in a number only */
        return arena_print(a, "nn_store_first(%s + %s, %d, %s);", name, at, n->partial, v.text);
    return arena_print(a, "nn_store(%s + %s, %s);", name, at, v.text);
}

/* What falls outside is dropped; its value was made of zeros around what it reads. */
static const char *store(Nest *n, Scope *s, const Choice *c, Piece v)
{
    unsigned dims = 0;
    const char *inside = result_inside(n, c, NULL, &dims), *into = store_inside(n, s, c, v);

    return inside ? arena_print(n->b->arena, "if (%s) %s", inside, into) : into;
}

/* All that a group makes of a point is computed before any of it is stored: next values may replace old ones. */
void nest_finish(Nest *n, Scope *s, Piece v)
{
    const Choice *stored[MAX_ARGS];
    Piece value[MAX_ARGS];
    int count = 0, inside = n->c->ntiles;

    for (const Choice *c = n->c; c; c = c->next) {
        if (c != n->c) {
            scope_users(c->q->value);
            v = scope_value(s, c->q->value);
        }
        if (n->c->next) {
            v = scope_as(s, v, n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
            v.dims |= nest_dims(n);
            v = scope_keep(s, v, nest_arg_wish(n->b->arena, c->q->out->name));
            scope_know(s, expr_load(n->b->arena, c->q->out, c->q->at, false), v);
        }
        stored[count] = c;
        value[count] = v;
        count += c->stored;
    }
    for (int i = 0; i + 1 < count; i++) {
        const char *first = store(n, s, stored[i], value[i]);
        line(&s->level[inside], s->depth + inside, "%s", first);
    }
    scope_end(s, store(n, s, stored[count - 1], value[count - 1]));
}

static void print_map(Nest *n)
{
    Scope s;

    scope_start(&s, n, n->depth);
    scope_users(n->c->q->value);
    Piece v = scope_value(&s, n->c->q->value);
    nest_finish(n, &s, v);
}

/* --- the loops of the result --- */

static void print_inside(Nest *n)
{
    int depth;
    Text outside = part_begin(n, &depth);

    if (n->c->q->how == EQ_MAP)
        print_map(n);
    else if (n->c->pieces.n > 0)
        nest_pieces(n);
    else
        nest_reduce(n);
    part_end(n, &outside, depth);
}

static void print_result(Nest *n, int i, int nparallel, const int64_t *count);

/* One part of index i, then the indices after it. */
static void print_part(Nest *n, int i, int nparallel, const int64_t *count, const Part *part)
{
    const Choice *c = n->c;
    const Index *x = c->walk[i];
    int d = dim_of(c, x), s = strip_of(c, x), partial = n->partial;

    if (d >= 0)
        n->tile[d] = part->tile;
    if (s >= 0)
        n->strip[s] = part->strip;
    if (part->partial < LANES)
        n->partial = part->partial;
    print_result(n, i + 1, nparallel, count);
    n->partial = partial;
}

/* An index whose steps are tasks: its step is a digit of the task's number. */
static void print_parallel(Nest *n, int i, int nparallel, const int64_t *count, const Part *part, int parts)
{
    const Choice *c = n->c;
    const char *name = loop_name(n, c->walk[i]);
    Arena *a = n->b->arena;
    int64_t after = 1, before = 0;
    const char *digit = "task";

    for (int k = i + 1; k < nparallel; k++)
        after *= count[k];
    if (after > 1)
        digit = arena_print(a, "task / %lld", (long long)after);
    if (i > 0 && count[i] > 1)
        digit = arena_print(a, "%s %% %lld", digit, (long long)count[i]);
    if (count[i] == 1)
        digit = "0";
    if (parts == 1) {
        if (!is_whole(c, c->walk[i]))
            line(&n->out, n->depth, part->step == 1 ? "const long %s = %s;" : "const long %s = %s * %lld;", name, digit,
                 (long long)part->step);
        print_part(n, i, nparallel, count, part);
        return;
    }
    line(&n->out, n->depth, "const long %s_step = %s;", name, digit);
    for (int k = 0; k < parts; k++) {
        before += part[k].steps;
        if (k + 1 < parts)
            line(&n->out, n->depth++, k ? "} else if (%s_step < %lld) {" : "if (%s_step < %lld) {", name, (long long)before);
        else
            line(&n->out, n->depth++, "} else {");
        if (part[k].steps > 1)
            line(&n->out, n->depth, "const long %s = %lld * %s_step;", name, (long long)part[k].step, name);
        else
            line(&n->out, n->depth, "const long %s = %lld;", name, (long long)part[k].start);
        print_part(n, i, nparallel, count, &part[k]);
        n->depth--;
    }
    line(&n->out, n->depth, "}");
}

static void print_result(Nest *n, int i, int nparallel, const int64_t *count)
{
    const Choice *c = n->c;

    while (i < c->outer && c->walk[i]->batch)
        i++;
    if (i >= c->outer) {
        print_inside(n);
        return;
    }
    const Index *x = c->walk[i];
    const char *name = loop_name(n, x);
    Part part[MAX_PARTS];
    if (x == c->strip) {
        nest_note(n, x, 1, LOOP_STRIP);
        print_result(n, i + 1, nparallel, count);
        return;
    }
    int parts = parts_of(c, x, part), d = dim_of(c, x);
    nest_note(n, x, d < 0 ? 1 : c->tile[d], x == c->lane_index ? LOOP_LANE : d >= 0 ? LOOP_TILE : i < nparallel ? LOOP_PARALLEL : LOOP_SERIAL);
    if (i < nparallel) {
        print_parallel(n, i, nparallel, count, part, parts);
        return;
    }
    for (int k = 0; k < parts; k++) {
        if (part[k].steps == 1 && parts == 1) {
            if (!is_whole(c, x))
                line(&n->out, n->depth, "const long %s = 0;", name);
            print_part(n, i, nparallel, count, &part[k]);
            continue;
        }
        if (part[k].steps == 1) {
            line(&n->out, n->depth++, "{");
            line(&n->out, n->depth, "const long %s = %lld;", name, (long long)part[k].start);
        } else {
            nest_open(n, name, part[k].start, part[k].start + part[k].steps * part[k].step, part[k].step);
        }
        print_part(n, i, nparallel, count, &part[k]);
        nest_close(n);
    }
}

/* --- the door --- */

/* Where it takes long. */
bool parts_block(const Build *b, const Choice *leader)
{
    double cycles = 0;

    for (const Choice *c = leader; c; c = c->next)
        cycles += choice_cycles(c);
    return b->graph->batch <= LANES && cycles >= WORTH_PARTS;
}

static void print_tasks(Nest *n)
{
    const Choice *c = n->c;
    Kernel *k = n->k;
    int64_t count[MAX_BOX];
    int nparallel = 0;

    k->tasks = 1;
    if (c->lane == LANE_SAMPLES)
        nest_note(n, c->lane_index, LANES, LOOP_LANE);
    if (c->by_block || (c->lane == LANE_SAMPLES && !parts_block(n->b, c))) {
        k->blocked = true;
    } else if (c->flat) {
        k->tasks = place_written(n->b, c)->layout.count / LANES;
        line(&n->out, n->depth++, "for (long task = first; task < end; task++) {");
        line(&n->out, n->depth, "const long e = 16 * task;");
        print_map(n);
        nest_close(n);
        return;
    } else {
        while (nparallel < c->outer && k->tasks < ENOUGH_TASKS && !c->scatter) {
            Part part[MAX_PARTS];
            int parts = c->walk[nparallel]->batch ? 0 : parts_of(c, c->walk[nparallel], part);
            count[nparallel] = c->walk[nparallel]->batch;
            for (int i = 0; i < parts; i++)
                count[nparallel] += part[i].steps;
            k->tasks *= count[nparallel++];
        }
        if (k->tasks == 1)
            nparallel = 0;
        line(&n->out, n->depth++, "for (long task = first; task < end; task++) {");
        if (c->lane == LANE_SAMPLES)
            line(&n->out, n->depth, "const long block = 0;");
    }
    if (c->scatter)
        nest_scatter(n);
    else
        print_result(n, 0, nparallel, count);
    if (!k->blocked)
        nest_close(n);
}

Kernel *kernel_print(Build *b, const Choice *c)
{
    Nest *n = NEW(b->arena, Nest);
    Kernel *k = NEW(b->arena, Kernel);
    const Equation *q = c->q;

    *n = (Nest){.b = b, .c = c, .k = k, .partial = LANES, .doubles = c->lane == LANE_NONE, .depth = 1};
    n->head.arena = n->out.arena = b->arena;
    k->kind = KERNEL_EQUATION;
    k->equation = c->q;
    k->lane = c->lane;
    k->lane_index = c->lane_index;
    k->why = c->why;
    for (int i = 0; i < q->nbox; i++) {
        n->var[i].index = q->box[i];
        n->var[i].dim = dim_of(c, q->box[i]);
        n->var[i].whole = is_whole(c, q->box[i]);
        n->var[i].name = nest_fresh_name(n, q->box[i]->name);
        n->nvars++;
    }
    if (c->strip)
        k->strip = nest_var(n, c->strip)->name;
    if (c->flat)
        n->step_name[0] = "e";
    for (int d = 0; d < c->ntiles; d++) {
        const Var *v = nest_var(n, c->tile_index[d]);
        n->step_name[d] = v->whole ? v->name : nest_fresh_name(n, arena_print(b->arena, "%s_", v->name));
    }
    bool one = b->graph->batch <= LANES;
    bool many = c->batch && c->lane != LANE_SAMPLES && !c->by_block;
    k->takes_n = many && !(one && c->lane == LANE_SAMPLES_SUM);
    if (many)
        line(&n->head, 1, one ? "const long blocks = 1;" : "const long blocks = (n + 15) / 16;");
    print_tasks(n);

    const char *name = kernel_name(b->arena, q->out->name);
    Arena *scratch = arena_new();
    Tiles tiles = {0};
    const char *loops = parts_join(n, scratch, name, &tiles);
    kernel_function(b, k, name, c, n->arg_name, arena_print(scratch, "%s%s", n->head.n ? n->head.s : "", loops), &tiles);
    arena_free(scratch);
    return k;
}
