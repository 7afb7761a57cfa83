/* reduce.c -- sums, products and extremes of a tile: cleared, gathered over the reduced indices, finished by the tail. */
#include "loops/nest.h"

/* Two sums of a group go through the same loops; see group.c. */
static bool has_beside(const Choice *c) { return c->next && c->next->q->how != EQ_MAP; }

static void skip_unless(Scope *s, const char *condition)
{
    line(&s->level[0], s->depth, "if (!%s)", condition);
    line(&s->level[0], s->depth + 1, "continue;");
}

/* The product without asking whether a factor is inside of its tensor: where it is not there is nothing to add. */
static const Expr *skip_outside(Nest *n, Scope *s, const Expr *product)
{
    Arena *a = n->b->arena;
    Expr *factor[2] = {product->args[0], product->args[1]};

    for (int i = 0; i < 2; i++) {
        const Expr *load = factor[i];
        unsigned dims = 0;
        if (load->kind != EXPR_LOAD || !is_guard(n->c, load))
            continue;
        const char *inside = inside_text(n, place_read(n->b, n->c, load), load, NULL, &dims);
        if (!inside || dims)
            continue;
        skip_unless(s, arena_print(a, "(%s)", inside));
        factor[i] = expr_load(a, load->tensor, load->args, false);
        return expr_op(a, "mul", factor[0], factor[1], NULL);
    }
    return product;
}

/* Takes the conditions off a sum's value: where one fails there is nothing to add. */
const Expr *nest_conditions(Nest *n, Scope *s, const Expr *value)
{
    Arena *a = n->b->arena;

    while (n->c->q->how == EQ_SUM && expr_is(value, OP_select) && expr_is_number(value->args[2], 0) &&
           !lane_dependent(n, value->args[0])) {
        Piece p = scope_value(s, value->args[0]);
        if (p.dims || (p.type != TYPE_TRUTH && p.type != TYPE_WHOLE))
            break;
        if (strcmp(p.text, "1") != 0)
            skip_unless(s, p.atom ? p.text : arena_print(a, "(%s)", p.text));
        value = value->args[1];
    }
    return expr_is(value, OP_mul) ? skip_outside(n, s, value) : value;
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
    const char *acc = sums_text(n), *best = nest_steps(n, "best"), *at;

    scope_start(&s, n, n->depth);
    scope_users(n->c->q->value);
    Piece v = scope_as(&s, scope_value(&s, n->c->q->value), n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
    v = scope_keep(&s, (Piece){v.type, v.dims | nest_dims(n), v.text, v.atom}, "t");
    at = position_text(n, &dims);
    if (n->doubles) {
        scope_end(&s, arena_print(a, "if (%s > %s) { %s = %s; %s = (double)%s; }", v.text, best, best, v.text, acc, at));
        return;
    }
    line(&s.level[n->c->ntiles], s.depth + n->c->ntiles, "const nn_m more = nn_gt(%s, %s);", v.text, best);
    line(&s.level[n->c->ntiles], s.depth + n->c->ntiles, "%s = nn_select(more, %s, %s);", best, v.text, best);
    scope_end(&s, arena_print(a, "%s = nn_select(more, nn_set((float)%s), %s);", acc, at, acc));
}

/* In lanes that are not in use the product is 0: both factors are loads, which give 0 there. */
static bool vanishes_beyond(const Nest *n, const Expr *e)
{
    for (int i = 0; i < e->nargs; i++)
        if (e->args[i]->kind != EXPR_LOAD || !lane_dependent(n, e->args[i]))
            return false;
    return true;
}

/* sums of the tile += value */
static void print_step(Nest *n)
{
    const Choice *c = n->c;
    How how = c->q->how;
    Arena *a = n->b->arena;
    const char *acc = sums_text(n);
    Scope s;

    if (how == EQ_ARGMAX) {
        print_argmax(n);
        return;
    }
    scope_start(&s, n, n->depth);
    scope_users(c->q->value);
    const Expr *value = c->leader || has_beside(c) ? c->q->value : nest_conditions(n, &s, c->q->value);
    Piece sum = {TYPE_VECTOR, nest_dims(n), acc, true};
    if (how == EQ_SUM && !n->doubles && expr_is(value, OP_mul) &&
        (n->partial == LANES || c->lane == LANE_AXIS || vanishes_beyond(n, value))) {
        Piece next = scope_multiply_add(&s, value, sum);
        scope_end(&s, arena_print(a, "%s = %s;", acc, next.text));
        return;
    }
    Piece v = scope_as(&s, scope_value(&s, value), n->doubles ? TYPE_DOUBLE : TYPE_VECTOR);
    if (!v.atom && v.dims != nest_dims(n))
        v = scope_keep(&s, v, "t");
    if (n->partial < LANES && c->lane == LANE_AXIS_SUM)
        v.text = arena_print(a, "nn_select(nn_first(%d), %s, nn_set(%s))", n->partial, v.text, sums_neutral(how, false));
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

/* Prints with the second sum in the place of the first. */
static void take_turns(Nest *n, const Choice *c, void print(Nest *n))
{
    Choice beside = *c->next;

    memcpy(beside.tile, c->tile, sizeof beside.tile);
    memcpy(beside.tile_index, c->tile_index, sizeof beside.tile_index);
    beside.ntiles = c->ntiles;
    n->c = &beside;
    n->sum = n->beside;
    print(n);
    n->c = c;
    n->sum = "acc";
}

/* So few additions are written out: their operands may be in registers. */
enum { FEW_STEPS = 64 };

/* "2 * i - 3" */
static const char *linear_text(Arena *a, int64_t slope, const char *name, int64_t offset)
{
    const char *text = slope == 1 ? name : slope == -1 ? arena_print(a, "-%s", name) : arena_print(a, "%lld * %s", (long long)slope, name);

    if (offset)
        text = arena_print(a, offset < 0 ? "%s - %lld" : "%s + %lld", text, (long long)(offset < 0 ? -offset : offset));
    return text;
}

static void open_bounded(Nest *n, const Bound *b)
{
    Arena *a = n->b->arena;
    const Var *with = nest_var(n, b->with);
    const char *name = nest_var(n, b->index)->name;
    int64_t slope, low, end;

    bound_ends(b, with->dim < 0 ? 1 : n->tile[with->dim], &slope, &low, &end);
    line(&n->out, n->depth++, "for (long %s = nn_larger(0, %s); %s < nn_smaller(%lld, %s); %s++) {", name,
         linear_text(a, slope, with->name, low), name, (long long)b->index->size, linear_text(a, slope, with->name, end), name);
}

/* The last index that is cut into pieces goes through one of them. */
static void open_steps(Nest *n, int i, const Index *x)
{
    const Pieces *p = &n->c->pieces;
    const char *name = nest_var(n, x)->name;

    if (n->in_piece && i + 1 == n->c->outer + p->n)
        line(&n->out, n->depth++, "for (long %s = %s_first; %s < %s_first + %lld; %s++) {", name, name, name, name, (long long)p->step, name);
    else
        nest_open(n, name, 0, x->size, 1);
}

/* Reduced indices from number i on; the lane's comes last, its end less than a vector. */
static void print_reduction(Nest *n, int i)
{
    const Choice *c = n->c;
    const Equation *q = c->q;

    for (; i < q->nbox && (q->box[i] == c->strip || (q->box[i] == c->lane_index && (!q->box[i]->batch || c->by_block))); i++)
        if (c->lane != LANE_AXIS_SUM)
            nest_note(n, q->box[i], q->box[i]->batch ? LANES : 1, q->box[i]->batch ? LOOP_LANE : LOOP_STRIP);
    if (i < q->nbox) {
        const Index *x = q->box[i];
        int depth = n->depth;
        nest_note(n, x, 1, x == c->lane_index ? LOOP_LANE : LOOP_REDUCE);
        if (bound_of(c, x)) {
            open_bounded(n, bound_of(c, x));
        } else if (!x->batch) {
            if (i + 1 == q->nbox && x->size * sums_most(c) <= FEW_STEPS)
                line(&n->out, n->depth, "NN_UNROLL");
            else if (i + 1 == q->nbox && n->b->graph->single && c->lane == LANE_AXIS && sums_most(c) >= 8)
                line(&n->out, n->depth, "NN_ROLLED"); /* a tile that fills the registers: with two, they go through memory */
            open_steps(n, i, x);
        } else if (over_samples(c)) {
            line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
        } else {
            line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
            line(&n->out, n->depth, "const long samples = n - 16 * block < 16 ? n - 16 * block : 16;");
            line(&n->out, n->depth++, "for (long s = 0; s < samples; s++) {");
        }
        print_reduction(n, i + 1);
        while (n->depth > depth)
            nest_close(n);
        return;
    }
    if (c->lane != LANE_AXIS_SUM) {
        print_step(n);
        if (has_beside(c))
            take_turns(n, c, print_step);
        return;
    }
    const Index *x = c->lane_index;
    int64_t whole = x->size / LANES * LANES;
    nest_note(n, x, LANES, LOOP_LANE);
    if (whole > 0) {
        nest_open(n, nest_var(n, x)->name, 0, whole, LANES);
        print_step(n);
        nest_close(n);
    }
    if (x->size % LANES) {
        n->partial = (int)(x->size % LANES);
        nest_open(n, nest_var(n, x)->name, whole, whole + 1, 1);
        print_step(n);
        nest_close(n);
        n->partial = LANES;
    }
}

static void print_clear(Nest *n) { sums_declare(n, n->sum, "0.0f"); }

/* Loads of kept tensors that come after the sum, a vector at every place of the tile. */
static int kept_after(const Nest *n, const Expr **load)
{
    const Choice *c = n->c;
    int count = 0;

    for (const Choice *x = c; x; x = x->next) {
        const Loads *l = x == c ? c->tail : x->value;
        for (int i = 0; i < l->n; i++) {
            const Place *p = place_read(n->b, c, l->at[i]);
            int k = 0;
            while (k < count && !expr_same(load[k], l->at[i]))
                k++;
            if (k < count || count == MAX_ARGS || l->at[i]->tensor->role == ROLE_TEMP || p->storage->kind != STORAGE_KEPT)
                continue;
            if (!p->layout.integer && lane_dependent(n, l->at[i]) && is_contiguous(n, p, l->at[i]->args))
                load[count++] = l->at[i];
        }
    }
    return count;
}

/* Weights and their momenta that do not fit into the cache are on their way while the sum runs. */
static void fetch_ahead(Nest *n)
{
    const Expr *load[MAX_ARGS];
    int count = n->c->lane == LANE_AXIS ? kept_after(n, load) : 0;
    int64_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += layout_bytes(&place_read(n->b, n->c, load[i])->layout);
    for (int i = 0; i < count && bytes > loops_machine->l2; i++) {
        const Place *p = place_read(n->b, n->c, load[i]);
        unsigned dims = 0;
        sums_over_tile(n, "nn_fetch(%s + %s);", nest_arg(n, p, false), address_text(n, p, load[i]->args, NULL, &dims));
    }
}

void nest_reduce(Nest *n)
{
    const Choice *c = n->c;

    n->sum = "acc";
    sums_declare(n, n->sum, sums_neutral(c->q->how == EQ_ARGMAX ? EQ_SUM : c->q->how, n->doubles));
    if (c->q->how == EQ_ARGMAX)
        sums_declare(n, "best", sums_neutral(EQ_MAX, n->doubles));
    if (has_beside(c)) {
        n->beside = nest_fresh_name(n, "beside");
        take_turns(n, c, print_clear);
    }
    fetch_ahead(n);
    print_reduction(n, c->outer);
    sums_end(n);
    if (has_beside(c))
        take_turns(n, c, sums_end);
}

/* --- pieces --- */

static void open_strips(Nest *n)
{
    const Choice *c = n->c;

    for (int k = 0; k < STRIPS; k++) {
        const Var *x = nest_var(n, c->walk[c->outer - STRIPS + k]);
        int64_t step = x->dim < 0 ? 1 : n->tile[x->dim];
        line(&n->out, n->depth++, "for (long at%d = 0; at%d < %lld; at%d++) {", k, k, (long long)n->strip[k], k);
        line(&n->out, n->depth, step == 1 ? "const long %s = %s_first + at%d;" : "const long %s = %s_first + at%d * %lld;",
             x->name, x->name, k, (long long)step);
    }
}

/* The loops of the reduction outside of the strips. */
static void open_pieces(Nest *n)
{
    const Choice *c = n->c;
    int end = c->outer + c->pieces.n;

    for (int i = c->outer; i < end; i++) {
        const Index *x = c->q->box[i];
        const char *name = nest_var(n, x)->name;
        nest_note(n, x, 1, x->batch ? LOOP_LANE : LOOP_REDUCE);
        if (x->batch)
            line(&n->out, n->depth++, "for (long block = 0; block < blocks; block++) {");
        else if (i + 1 == end && c->pieces.step > 1)
            nest_open(n, arena_print(n->b->arena, "%s_first", name), 0, x->size, c->pieces.step);
        else
            nest_open(n, name, 0, x->size, 1);
    }
}

static void close_to(Nest *n, int depth)
{
    while (n->depth > depth)
        nest_close(n);
}

/* Every tile of the strips goes through each piece before the next. */
void nest_pieces(Nest *n)
{
    const Choice *c = n->c;
    const char *kept = nest_steps(n, "kept[at0][at1]");
    Text sizes = {.arena = n->b->arena};
    int depth = n->depth;

    n->sum = "acc";
    for (int d = 0; d < c->ntiles; d++)
        text_print(&sizes, "[%d]", n->tile[d]);
    line(&n->out, n->depth, "nn_v kept[%lld][%lld]%s;", (long long)n->strip[0], (long long)n->strip[1], sizes.s);
    for (int k = 0; k < STRIPS; k++)
        line(&n->out, n->depth++, "for (long at%d = 0; at%d < %lld; at%d++)", k, k, (long long)n->strip[k], k);
    sums_over_tile(n, "%s = nn_set(%s);", kept, "0.0f");
    n->depth = depth;
    open_pieces(n);
    open_strips(n);
    sums_declare_as(n, n->sum, "%s = %s;", kept);
    n->in_piece = c->pieces.step > 1;
    print_reduction(n, c->outer + c->pieces.n - n->in_piece);
    n->in_piece = false;
    sums_over_tile(n, "%s = %s;", kept, sums_text(n));
    close_to(n, depth);
    open_strips(n);
    sums_declare_as(n, n->sum, "%s = %s;", kept);
    sums_end(n);
    close_to(n, depth);
}
