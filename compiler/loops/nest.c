/* nest.c -- the C of one equation: loops over the result, a tile of it in registers, loops of the reduction.
 *
 *     for tasks, blocks or steps of the result's indices        (parallel)
 *         for the other indices of the result                   (the last part of an index may be a smaller tile)
 *             sums of the tile = 0
 *             for the reduced indices
 *                 sums += value
 *             result = tail(sums) */
#include "loops/nest.h"

enum { MAX_PARTS = 3, ENOUGH_TASKS = 16 };

/* An index of the result is walked in up to three parts: whole tiles, a smaller one, and less than a vector. */
typedef struct Part {
    int64_t start, steps, step;
    int tile, partial;
} Part;

static bool over_samples(const Choice *c) { return c->lane == LANE_SAMPLES || c->lane == LANE_SAMPLES_SUM; }
static bool sums_lanes(const Choice *c) { return c->lane == LANE_SAMPLES_SUM || c->lane == LANE_AXIS_SUM; }

static int dim_of(const Choice *c, const Index *x)
{
    for (int d = 0; d < c->ntiles; d++)
        if (c->tile_index[d] == x)
            return d;
    return -1;
}

static int parts_of(const Choice *c, const Index *x, Part *part)
{
    int d = dim_of(c, x), tile = d < 0 ? 1 : c->tile[d], n = 0;
    bool lanes = c->lane == LANE_AXIS && x == c->lane_index;
    int64_t width = lanes ? LANES : 1, whole = x->size / width;

    if (whole >= tile)
        part[n++] = (Part){0, whole / tile, tile * width, tile, LANES};
    if (whole % tile)
        part[n++] = (Part){whole / tile * tile * width, 1, 0, (int)(whole % tile), LANES};
    if (lanes && x->size % LANES)
        part[n++] = (Part){whole * LANES, 1, 0, 1, (int)(x->size % LANES)};
    return n;
}

static void open_brace(Nest *n, const char *format, const char *name, int64_t from, int64_t to, int64_t step)
{
    line(&n->out, n->depth++, format, name, (long long)from, name, (long long)to, name, (long long)step);
}

static void close_brace(Nest *n) { line(&n->out, --n->depth, "}"); }

static void open_loop(Nest *n, const char *name, int64_t from, int64_t to, int64_t step)
{
    open_brace(n, step == 1 ? "for (long %s = %lld; %s < %lld; %s++) {" : "for (long %s = %lld; %s < %lld; %s += %lld) {",
               name, from, to, step);
}

static void note_loop(Nest *n, const Index *x, int64_t tile, LoopRole role)
{
    Kernel *k = n->k;

    for (int i = 0; i < k->nloops; i++)
        if (k->loop[i].index == x)
            return;
    if (k->nloops < MAX_LOOPS)
        k->loop[k->nloops++] = (Loop){x, x->size, tile, role};
}

/* --- the point inside all loops --- */

static const char *all_steps(const Nest *n, const char *array)
{
    Text t = {.arena = n->b->arena};

    text_print(&t, "%s", array);
    for (int d = 0; d < n->c->ntiles; d++)
        text_print(&t, "[%s]", n->step_name[d]);
    return t.s;
}

static unsigned all_dims(const Nest *n) { return (1u << n->c->ntiles) - 1; }

/* The statement that puts a finished value into its place. */
static const char *store_text(Nest *n, Scope *s, Piece v)
{
    const Choice *c = n->c;
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
    if (!is_contiguous(n, p, c->q->at)) {
        const char *at = address_text(n, p, c->q->at, "l", &dims);
        v = scope_keep(s, (Piece){v.type, v.dims | all_dims(n), v.text, v.atom}, "result");
        return arena_print(a, "for (int l = 0; l < %d; l++) %s[%s] = %s%s[l];", n->partial, name, at,
                           p->layout.integer ? "(int32_t)" : "", v.text);
    }
    const char *at = address_text(n, p, c->q->at, NULL, &dims);
    if (p->layout.integer)
        return arena_print(a, "nn_storei(%s + %s, nn_int(%s));", name, at, v.text);
    if (n->partial < LANES)
        return arena_print(a, "nn_store_first(%s + %s, %d, %s);", name, at, n->partial, v.text);
    return arena_print(a, "nn_store(%s + %s, %s);", name, at, v.text);
}

static void print_map(Nest *n)
{
    Scope s;

    scope_start(&s, n, n->depth);
    scope_users(n->c->q->value);
    Piece v = scope_value(&s, n->c->q->value);
    scope_end(&s, store_text(n, &s, v));
}

/* --- reductions --- */

static const char *neutral(How how, bool doubles)
{
    switch (how) {
    case EQ_SUM: return doubles ? "0.0" : "0.0f";
    case EQ_PROD: return doubles ? "1.0" : "1.0f";
    case EQ_MIN: return doubles ? "__builtin_inf()" : "__builtin_inff()";
    default: return doubles ? "-__builtin_inf()" : "-__builtin_inff()";
    }
}

static void over_tile(Nest *n, const char *format, const char *what, const char *value)
{
    const Choice *c = n->c;

    for (int d = 0; d < c->ntiles; d++)
        line(&n->out, n->depth + d, "NN_UNROLL for (int %s = 0; %s < %d; %s++)", n->step_name[d], n->step_name[d],
             n->tile[d], n->step_name[d]);
    line(&n->out, n->depth + c->ntiles, format, all_steps(n, what), value);
}

static void declare(Nest *n, const char *name, const char *value)
{
    Text t = {.arena = n->b->arena};

    text_print(&t, "%s %s", n->doubles ? "double" : "nn_v", name);
    if (n->c->ntiles == 0) {
        line(&n->out, n->depth, n->doubles ? "%s = %s;" : "%s = nn_set(%s);", t.s, value);
        return;
    }
    for (int d = 0; d < n->c->ntiles; d++)
        text_print(&t, "[%d]", n->tile[d]);
    line(&n->out, n->depth, "%s;", t.s);
    over_tile(n, "%s = nn_set(%s);", name, value);
}

/* Takes the conditions off a sum's value: where one fails there is nothing to add. */
static const Expr *strip_conditions(Nest *n, Scope *s, const Expr *value)
{
    Arena *a = n->b->arena;

    while (n->c->q->how == EQ_SUM && expr_is(value, OP_select) && expr_is_number(value->args[2], 0) &&
           !lane_dependent(n, value->args[0])) {
        Piece p = scope_value(s, value->args[0]);
        if (p.dims || (p.type != TYPE_TRUTH && p.type != TYPE_WHOLE))
            break;
        if (strcmp(p.text, "1") != 0)
            line(&s->level[0], s->depth, "if (!%s)", p.atom ? p.text : arena_print(a, "(%s)", p.text)),
                line(&s->level[0], s->depth + 1, "continue;");
        value = value->args[1];
    }
    return value;
}

/* Row-major position over the reduced indices. */
static const char *position_text(Nest *n, unsigned *dims)
{
    const Choice *c = n->c;
    Arena *a = n->b->arena;
    Expr *sum = expr_number(a, 0);

    for (int i = c->outer; i < c->q->nbox; i++)
        sum = expr_op(a, "add", expr_op(a, "mul", expr_number(a, (double)c->q->box[i]->size), sum, NULL),
                      expr_index(a, c->q->box[i]), NULL);
    return whole_text(n, sum, NULL, dims);
}

static void print_argmax(Nest *n)
{
    Scope s;
    unsigned dims = 0;
    Arena *a = n->b->arena;
    const char *acc = all_steps(n, "acc"), *best = all_steps(n, "best"), *at;

    scope_start(&s, n, n->depth);
    scope_users(n->c->q->value);
    Piece v = scope_as(&s, scope_value(&s, n->c->q->value), n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
    v = scope_keep(&s, (Piece){v.type, v.dims | all_dims(n), v.text, v.atom}, "t");
    at = position_text(n, &dims);
    if (n->doubles) {
        scope_end(&s, arena_print(a, "if (%s > %s) { %s = %s; %s = (double)%s; }", v.text, best, best, v.text, acc, at));
        return;
    }
    line(&s.level[n->c->ntiles], s.depth + n->c->ntiles, "const nn_m more = nn_gt(%s, %s);", v.text, best);
    line(&s.level[n->c->ntiles], s.depth + n->c->ntiles, "%s = nn_select(more, %s, %s);", best, v.text, best);
    scope_end(&s, arena_print(a, "%s = nn_select(more, nn_set((float)%s), %s);", acc, at, acc));
}

/* sums of the tile += value */
static void print_step(Nest *n)
{
    const Choice *c = n->c;
    How how = c->q->how;
    Arena *a = n->b->arena;
    const char *acc = all_steps(n, "acc");
    Scope s;

    if (how == EQ_ARGMAX) {
        print_argmax(n);
        return;
    }
    scope_start(&s, n, n->depth);
    scope_users(c->q->value);
    const Expr *value = strip_conditions(n, &s, c->q->value);
    Piece sum = {TYPE_VECTOR, all_dims(n), acc, true};
    if (how == EQ_SUM && !n->doubles && n->partial == LANES && expr_is(value, OP_mul)) {
        Piece next = scope_multiply_add(&s, value, sum);
        scope_end(&s, arena_print(a, "%s = %s;", acc, next.text));
        return;
    }
    Piece v = scope_as(&s, scope_value(&s, value), n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
    if (!v.atom && v.dims != all_dims(n))
        v = scope_keep(&s, v, "t");
    if (n->partial < LANES && c->lane == LANE_AXIS_SUM)
        v.text = arena_print(a, "nn_select(nn_first(%d), %s, nn_set(%s))", n->partial, v.text, neutral(how, false));
    const char *x = v.text;
    if (how == EQ_SUM)
        scope_end(&s, arena_print(a, "%s += %s;", acc, x));
    else if (how == EQ_PROD)
        scope_end(&s, arena_print(a, v.atom ? "%s *= %s;" : "%s *= (%s);", acc, x));
    else if (n->doubles)
        scope_end(&s, arena_print(a, how == EQ_MAX ? "%s = fmax(%s, %s);" : "%s = fmin(%s, %s);", acc, acc, x));
    else
        scope_end(&s, arena_print(a, how == EQ_MAX ? "%s = nn_max(%s, %s);" : "%s = nn_min(%s, %s);", acc, acc, x));
}

/* Reduced indices from number i on; the lane's comes last, its end less than a vector. */
static void print_reduction(Nest *n, int i)
{
    const Choice *c = n->c;
    const Equation *q = c->q;

    while (i < q->nbox && q->box[i] == c->lane_index && !q->box[i]->batch)
        i++;
    if (i < q->nbox) {
        const Index *x = q->box[i];
        int depth = n->depth;
        note_loop(n, x, 1, x == c->lane_index ? LOOP_LANE : LOOP_REDUCE);
        if (!x->batch) {
            open_loop(n, nest_var(n, x)->name, 0, x->size, 1);
        } else if (over_samples(c)) {
            line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
        } else {
            line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
            line(&n->out, n->depth, "const long samples = n - 16 * block < 16 ? n - 16 * block : 16;");
            line(&n->out, n->depth++, "for (long s = 0; s < samples; s++) {");
        }
        print_reduction(n, i + 1);
        while (n->depth > depth)
            close_brace(n);
        return;
    }
    if (c->lane != LANE_AXIS_SUM) {
        print_step(n);
        return;
    }
    const Index *x = c->lane_index;
    int64_t whole = x->size / LANES * LANES;
    note_loop(n, x, LANES, LOOP_LANE);
    if (whole > 0) {
        open_loop(n, nest_var(n, x)->name, 0, whole, LANES);
        print_step(n);
        close_brace(n);
    }
    if (x->size % LANES) {
        n->partial = (int)(x->size % LANES);
        open_loop(n, nest_var(n, x)->name, whole, whole + 1, 1);
        print_step(n);
        close_brace(n);
        n->partial = LANES;
    }
}

static const char *horizontal(How how)
{
    return how == EQ_SUM ? "nn_sum" : how == EQ_MAX ? "nn_hmax" : how == EQ_MIN ? "nn_hmin" : "nn_hprod";
}

/* result = tail(sums) */
static void print_ending(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    Arena *a = n->b->arena;
    const char *acc = all_steps(n, "acc");
    const Place *p = place_written(n->b, c);
    Scope s;

    scope_start(&s, n, n->depth);
    if (q->tail)
        scope_users(q->tail);
    if (sums_lanes(c) && q->out->rank > 0) {
        unsigned dims = 0;
        const char *at = address_text(n, p, q->at, NULL, &dims);
        scope_end(&s, arena_print(a, "%s[%s] = %s(%s);", nest_arg(n, p, true), at, horizontal(q->how), acc));
        return;
    }
    s.result = (Piece){n->doubles ? TYPE_DOUBLE : TYPE_VECTOR, all_dims(n), acc, true};
    if (sums_lanes(c)) {
        n->doubles = true;
        s.result = (Piece){TYPE_DOUBLE, 0, arena_print(a, "(double)%s(acc)", horizontal(q->how)), true};
    }
    Piece v = q->tail ? scope_value(&s, q->tail) : s.result;
    scope_end(&s, store_text(n, &s, v));
    n->doubles = c->lane == LANE_NONE;
}

/* --- sums gathered in memory: places are met more than once, or not at all --- */

static const char *place_inside(Nest *n, const char *lane, unsigned *dims)
{
    const Equation *q = n->c->q;
    Expr out = {.kind = EXPR_LOAD, .tensor = q->out, .padded = true, .nargs = q->out->rank};

    memcpy(out.args, q->at, sizeof out.args);
    Place bare = *place_written(n->b, n->c);
    memset(bare.layout.low, 0, sizeof bare.layout.low);
    memset(bare.layout.high, 0, sizeof bare.layout.high);
    return q->padded ? inside_text(n, &bare, &out, lane, dims) : NULL;
}

static void print_scatter_step(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    Arena *a = n->b->arena;
    const Place *p = place_written(n->b, c);
    const char *name = nest_arg(n, p, true);
    unsigned dims = 0;
    bool vary = false;
    Scope s;

    scope_start(&s, n, n->depth);
    scope_users(q->value);
    for (int i = 0; i < q->out->rank; i++)
        vary = vary || (lane_dependent(n, q->at[i]) && !is_batch(q->at[i]));
    const char *lane = vary ? "l" : NULL, *inside = place_inside(n, lane, &dims);
    const char *at = address_text(n, p, q->at, lane, &dims), *test = inside ? arena_print(a, "if (%s) ", inside) : "";
    const Expr *value = strip_conditions(n, &s, q->value);
    Piece v = scope_as(&s, scope_value(&s, value), n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
    if (n->doubles) {
        scope_end(&s, arena_print(a, "%s%s[%s] += (float)(%s);", test, name, at, v.text));
    } else if (vary) {
        v = scope_keep(&s, v, "t");
        scope_end(&s, arena_print(a, "for (int l = 0; l < 16; l++) %s%s[%s] += %s[l];", test, name, at, v.text));
    } else {
        scope_end(&s, arena_print(a, "%snn_store(%s + %s, nn_load(%s + %s) + %s);", test, name, at, name, at, v.text));
    }
}

static void print_scatter(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    const Place *p = place_written(n->b, c);
    const Layout *l = &p->layout;
    const char *name = nest_arg(n, p, true);
    int depth = n->depth;

    if (q->tail)
        bug("a scattering sum with a tail");
    if (over_samples(c)) {
        line(&n->out, n->depth, "for (long at = 0; at < %lld; at += 16)", (long long)l->stride[0]);
        line(&n->out, n->depth + 1, "nn_store(%s + %lld * block + at, nn_set(0.0f));", name, (long long)l->stride[0]);
    } else {
        line(&n->out, n->depth, "for (long at = 0; at < %lld; at++)", (long long)l->count);
        line(&n->out, n->depth + 1, l->integer ? "%s[at] = 0;" : "%s[at] = 0.0f;", name);
    }
    for (int i = 0; i < q->nbox; i++) {
        const Index *x = q->box[i];
        note_loop(n, x, 1, x == c->lane_index ? LOOP_LANE : LOOP_SERIAL);
        if (x->batch && over_samples(c))
            continue;
        if (!x->batch) {
            open_loop(n, nest_var(n, x)->name, 0, x->size, 1);
            continue;
        }
        line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
        line(&n->out, n->depth, "const long samples = n - 16 * block < 16 ? n - 16 * block : 16;");
        line(&n->out, n->depth++, "for (long s = 0; s < samples; s++) {");
    }
    print_scatter_step(n);
    while (n->depth > depth)
        close_brace(n);
}

/* --- the loops of the result --- */

static void print_inside(Nest *n)
{
    const Choice *c = n->c;

    if (c->q->how == EQ_MAP) {
        print_map(n);
        return;
    }
    declare(n, "acc", neutral(c->q->how == EQ_ARGMAX ? EQ_SUM : c->q->how, n->doubles));
    if (c->q->how == EQ_ARGMAX)
        declare(n, "best", neutral(EQ_MAX, n->doubles));
    print_reduction(n, c->outer);
    print_ending(n);
}

static void print_result(Nest *n, int i, int nparallel, const int64_t *count);

/* One part of index i, then the indices after it. */
static void print_part(Nest *n, int i, int nparallel, const int64_t *count, const Part *part)
{
    const Choice *c = n->c;
    const Index *x = c->q->box[i];
    int d = dim_of(c, x), partial = n->partial;

    if (d >= 0)
        n->tile[d] = part->tile;
    if (part->partial < LANES)
        n->partial = part->partial;
    print_result(n, i + 1, nparallel, count);
    n->partial = partial;
}

/* An index whose steps are tasks: its step is a digit of the task's number. */
static void print_parallel(Nest *n, int i, int nparallel, const int64_t *count, const Part *part, int parts)
{
    const Choice *c = n->c;
    const char *name = nest_var(n, c->q->box[i])->name;
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

    while (i < c->outer && c->q->box[i]->batch)
        i++;
    if (i >= c->outer) {
        print_inside(n);
        return;
    }
    const Index *x = c->q->box[i];
    const char *name = nest_var(n, x)->name;
    Part part[MAX_PARTS];
    int parts = parts_of(c, x, part), d = dim_of(c, x);
    note_loop(n, x, d < 0 ? 1 : c->tile[d], x == c->lane_index ? LOOP_LANE : d >= 0 ? LOOP_TILE : i < nparallel ? LOOP_PARALLEL : LOOP_SERIAL);
    if (i < nparallel) {
        print_parallel(n, i, nparallel, count, part, parts);
        return;
    }
    for (int k = 0; k < parts; k++) {
        if (part[k].steps == 1 && parts == 1) {
            line(&n->out, n->depth, "const long %s = 0;", name);
            print_part(n, i, nparallel, count, &part[k]);
            continue;
        }
        if (part[k].steps == 1) {
            line(&n->out, n->depth++, "{");
            line(&n->out, n->depth, "const long %s = %lld;", name, (long long)part[k].start);
        } else {
            open_loop(n, name, part[k].start, part[k].start + part[k].steps * part[k].step, part[k].step);
        }
        print_part(n, i, nparallel, count, &part[k]);
        close_brace(n);
    }
}

/* --- the door --- */

static void print_tasks(Nest *n)
{
    const Choice *c = n->c;
    const Equation *q = c->q;
    Kernel *k = n->k;
    int64_t count[MAX_BOX];
    int nparallel = 0;

    k->tasks = 1;
    if (c->lane == LANE_SAMPLES) {
        k->blocked = true;
        note_loop(n, c->lane_index, LANES, LOOP_LANE);
        line(&n->out, n->depth++, "for (long block = first; block < end; block++) {");
    } else if (c->flat) {
        k->tasks = place_written(n->b, c)->layout.count / LANES;
        line(&n->out, n->depth++, "for (long task = first; task < end; task++) {");
        line(&n->out, n->depth, "const long e = 16 * task;");
        print_map(n);
        close_brace(n);
        return;
    } else {
        while (nparallel < c->outer && k->tasks < ENOUGH_TASKS && !c->scatter) {
            Part part[MAX_PARTS];
            int parts = parts_of(c, q->box[nparallel], part);
            count[nparallel] = 0;
            for (int i = 0; i < parts; i++)
                count[nparallel] += part[i].steps;
            k->tasks *= count[nparallel++];
        }
        if (k->tasks == 1)
            nparallel = 0;
        line(&n->out, n->depth++, "for (long task = first; task < end; task++) {");
    }
    if (c->scatter)
        print_scatter(n);
    else
        print_result(n, 0, nparallel, count);
    close_brace(n);
}

Kernel *kernel_equation(Build *b, const Choice *c)
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
    k->flops = c->flops;
    for (int i = 0; i < q->nbox; i++) {
        n->var[i].index = q->box[i];
        n->var[i].dim = dim_of(c, q->box[i]);
        n->var[i].name = nest_fresh_name(n, q->box[i]->name);
        n->nvars++;
    }
    if (c->flat)
        n->step_name[0] = "e";
    for (int d = 0; d < c->ntiles; d++)
        n->step_name[d] = arena_print(b->arena, "%s_", nest_var(n, c->tile_index[d])->name);
    k->takes_n = c->batch && c->lane != LANE_SAMPLES;
    if (k->takes_n)
        line(&n->head, 1, "const long blocks = (n + 15) / 16;");
    print_tasks(n);

    Text body = {.arena = b->arena};
    text_print(&body, "%s%s", n->head.n ? n->head.s : "", n->out.s);
    kernel_function(b, k, c_name(b->arena, q->out->name), q, n->arg_name, body.s);
    return k;
}
