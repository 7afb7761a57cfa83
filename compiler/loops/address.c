/* address.c -- subscripts as C: addresses as sums of products with constants, whole expressions, bounds. */
#include "loops/nest.h"

#include <ctype.h>

enum { MAX_SUM = 32 };

/* constant + sum of coef * text */
typedef struct Sum {
    int n;
    int64_t coef[MAX_SUM];
    const char *text[MAX_SUM];
    int64_t constant;
} Sum;

static void sum_add(Sum *s, int64_t coef, const char *text)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->text[i], text) == 0) {
            s->coef[i] += coef;
            return;
        }
    if (s->n == MAX_SUM)
        bug("an address with more than %d terms", MAX_SUM);
    s->text[s->n] = text;
    s->coef[s->n++] = coef;
}

static const char *sum_text(Arena *a, const Sum *s)
{
    Text t = {.arena = a};

    for (int i = 0; i < s->n; i++) {
        int64_t c = s->coef[i] < 0 ? -s->coef[i] : s->coef[i];
        if (c == 0)
            continue;
        text_print(&t, "%s", s->coef[i] < 0 ? (t.n ? " - " : "-") : (t.n ? " + " : ""));
        if (c != 1)
            text_print(&t, "%lld * ", (long long)c);
        text_print(&t, "%s", s->text[i]);
    }
    if (s->constant || !t.n)
        text_print(&t, t.n && s->constant < 0 ? " - %lld" : t.n ? " + %lld" : "%lld",
                   (long long)(t.n && s->constant < 0 ? -s->constant : s->constant));
    return t.s;
}

const Var *nest_var(const Nest *n, const Index *i)
{
    for (int k = 0; k < n->nvars; k++)
        if (n->var[k].index == i)
            return &n->var[k];
    bug("index '%s' has no loop", i->name);
}

/* Adds coef * index. The batch is a block and, when samples are walked one by one, a place in it. */
static void sum_index(Nest *n, Sum *s, int64_t coef, const Index *i, const char *lane, unsigned *dims)
{
    bool samples = over_samples(n->c);

    if (i->batch) {
        sum_add(s, coef * LANES, "block");
        if (!samples || lane)
            sum_add(s, coef, samples ? lane : "s");
        return;
    }
    const Var *v = nest_var(n, i);
    sum_add(s, coef, v->name);
    if (v->dim >= 0)
        *dims |= 1u << v->dim;
    if (v->dim >= 0 && !v->whole)
        sum_add(s, coef * lanes_of(n->c, i), n->step_name[v->dim]);
    if (lane && i == n->c->lane_index)
        sum_add(s, coef, n->c->fold ? arena_print(n->b->arena, "(%s %% 8)", lane) : lane);
    else if (lane && i == n->c->fold)
        sum_add(s, coef, arena_print(n->b->arena, "(%s / 8)", lane));
}

static void sum_expr(Nest *n, Sum *s, int64_t coef, const Expr *e, const char *lane, unsigned *dims)
{
    Affine f;

    if (!expr_affine(e, &f)) {
        sum_add(s, coef, whole_text(n, e, lane, dims));
        return;
    }
    s->constant += coef * f.offset;
    for (int k = 0; k < f.n; k++)
        sum_index(n, s, coef * f.coef[k], f.index[k], lane, dims);
}

/* --- whole expressions --- */

static bool never_negative(const Expr *e)
{
    int64_t low, high;

    return expr_range(e, &low, &high) && low >= 0;
}

const char *whole_operation(Arena *a, const Expr *e, const char *const *x)
{
    switch (e->op->id) {
    case OP_add: return arena_print(a, "(%s + %s)", x[0], x[1]);
    case OP_sub: return arena_print(a, "(%s - %s)", x[0], x[1]);
    case OP_mul: return arena_print(a, "%s * %s", x[0], x[1]);
    case OP_neg: return arena_print(a, "(-%s)", x[0]);
    case OP_idiv: return arena_print(a, never_negative(e->args[0]) ? "(%s / %s)" : "nn_idiv(%s, %s)", x[0], x[1]);
    case OP_mod: return arena_print(a, never_negative(e->args[0]) ? "(%s %% %s)" : "nn_mod(%s, %s)", x[0], x[1]);
    case OP_max: return arena_print(a, "nn_larger(%s, %s)", x[0], x[1]);
    case OP_min: return arena_print(a, "nn_smaller(%s, %s)", x[0], x[1]);
    case OP_lt: return arena_print(a, "(%s < %s)", x[0], x[1]);
    case OP_le: return arena_print(a, "(%s <= %s)", x[0], x[1]);
    case OP_gt: return arena_print(a, "(%s > %s)", x[0], x[1]);
    case OP_ge: return arena_print(a, "(%s >= %s)", x[0], x[1]);
    case OP_eq: return arena_print(a, "(%s == %s)", x[0], x[1]);
    case OP_ne: return arena_print(a, "(%s != %s)", x[0], x[1]);
    case OP_and: return arena_print(a, "(%s && %s)", x[0], x[1]);
    case OP_or: return arena_print(a, "(%s || %s)", x[0], x[1]);
    case OP_not: return arena_print(a, "(!%s)", x[0]);
    case OP_select: return arena_print(a, "(%s ? %s : %s)", x[0], x[1], x[2]);
    case OP_abs: return arena_print(a, "nn_larger(%s, -%s)", x[0], x[0]);
    case OP_detach:
    case OP_floor:
    case OP_ceil:
    case OP_round:
    case OP_trunc:
        if (expr_whole(e->args[0]))
            return x[0];
        break;
    default: break;
    }
    bug("'%s' in a subscript", e->op->name);
}

const char *whole_text(Nest *n, const Expr *e, const char *lane, unsigned *dims)
{
    Arena *a = n->b->arena;
    Affine f;

    if (e->kind == EXPR_NUMBER)
        return arena_print(a, "%lld", (long long)e->number);
    if (e->kind == EXPR_LOAD) {
        const Place *p = place_read(n->b, n->c, e);
        const char *name = nest_arg(n, p, false);
        const char *inside = inside_text(n, p, e, lane, dims);
        const char *at = address_text(n, p, e->args, lane, dims);
        return inside ? arena_print(a, "(%s ? (long)%s[%s] : 0)", inside, name, at)
                      : arena_print(a, "(long)%s[%s]", name, at);
    }
    if (expr_affine(e, &f)) {
        Sum s = {.constant = f.offset};
        for (int k = 0; k < f.n; k++)
            sum_index(n, &s, f.coef[k], f.index[k], lane, dims);
        bool single = (s.n == 1 && s.coef[0] == 1 && !s.constant) || s.n == 0;
        return arena_print(a, single ? "%s" : "(%s)", sum_text(a, &s));
    }
    if (e->kind != EXPR_OP)
        bug("a subscript that is not whole");
    const char *x[3] = {"", "", ""};
    for (int i = 0; i < e->nargs; i++)
        x[i] = whole_text(n, e->args[i], lane, dims);
    return whole_operation(a, e, x);
}

/* --- names --- */

/* Functions of nn_vec.h and nn_math.h, keys of random numbers. */
static bool reserved(const char *name)
{
    return strncmp(name, "nn_", 3) == 0 || strncmp(name, "key", 3) == 0 || strncmp(name, "stream", 6) == 0;
}

static bool name_taken(const Nest *n, const char *name)
{
    static const char *const words[] = {"n", "s", "l", "e", "block", "blocks", "task", "tasks", "first", "end", "at",
                                        "acc", "best", "more", "samples", "auto", "break", "case", "char", "const",
                                        "continue", "default", "do", "double", "else", "enum", "extern", "float",
                                        "for", "goto", "if", "inline", "int", "long", "register", "restrict",
                                        "return", "short", "signed", "sizeof", "static", "struct", "switch",
                                        "typedef", "union", "unsigned", "void", "volatile", "while", "asm", "typeof",
                                        "exp", "expm1", "log", "log1p", "sqrt", "tanh", "erf", "sin", "cos", "tan",
                                        "atan", "floor", "ceil", "fabs", "fmax", "fmin", "pow", "nearbyint", "int32_t",
                                        "uint32_t"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    for (int i = 0; i < n->names.n; i++)
        if (strcmp(n->names.at[i], name) == 0)
            return true;
    return false;
}

const char *nest_fresh_name(Nest *n, const char *wish)
{
    Arena *a = n->b->arena;
    const char *base = c_name(a, *wish ? wish : "i"), *name = base;

    if (reserved(base))
        name = base = arena_print(a, "its_%s", base);
    for (int i = 2; name_taken(n, name); i++)
        name = arena_print(a, "%s_%d", base, i);
    PUSH(a, n->names, name);
    return name;
}

const char *nest_arg_wish(Arena *a, const char *tensor)
{
    const char *last = tensor;

    for (const char *p = tensor; *p; p++)
        if (*p == '.' && !isdigit((unsigned char)p[1]))
            last = p + 1;
    const char *stop = last + strcspn(last, ". (");
    const char *name = c_name(a, arena_copy(a, last, (size_t)(stop - last)));
    if (strncmp(tensor, "d.", 2) == 0 && last != tensor)
        name = arena_print(a, "d_%s", name);
    return strstr(tensor, "(rows)") ? arena_print(a, "%s_rows", name) : name;
}

/* --- addresses --- */

/* Sums of each block: the block has a row of its own. */
static bool is_row_of_block(const Nest *n, const Place *p) { return n->c->by_block && p == place_written(n->b, n->c); }

/* Block by block the pointer is to the block's own numbers, but for whoever reads other samples' too. */
static bool at_block(const Nest *n, const Place *p)
{
    if (is_row_of_block(n, p))
        return true;
    if (!n->k->blocked || p->layout.order != ORDER_LANES)
        return false;
    for (const Choice *c = n->c; c; c = c->next) {
        const Loads *l[2] = {c->value, c->tail};
        for (int i = 0; i < 2; i++)
            for (int k = 0; k < l[i]->n; k++)
                if (place_read(n->b, c, l[i]->at[k])->storage == p->storage && !is_batch(l[i]->at[k]->args[0]))
                    return false;
    }
    return true;
}

const char *nest_arg(Nest *n, const Place *p, bool writes)
{
    if (!p->storage)
        bug("'%s': a form of a tensor that nobody asked for", n->c->q->out->name);
    int i = kernel_arg(n->k, p->storage, writes);
    n->k->at_block[i] = at_block(n, p);
    if (!n->arg_name[i])
        n->arg_name[i] = nest_fresh_name(n, nest_arg_wish(n->b->arena, p->storage->name));
    return n->arg_name[i];
}

const char *address_text(Nest *n, const Place *p, Expr *const *at, const char *lane, unsigned *dims)
{
    const Layout *l = &p->layout;
    Sum s = {.constant = l->origin};

    if (l->order == ORDER_DOUBLE)
        return "0";
    if (n->c->flat)
        return n->step_name[0];
    for (int a = is_row_of_block(n, p) ? 1 : 0; a < l->rank; a++) {
        if (a > 0 || l->order != ORDER_LANES) {
            sum_expr(n, &s, l->stride[a], at[a], lane, dims);
        } else if (is_batch(at[a])) {
            bool samples = over_samples(n->c);
            if (!at_block(n, p))
                sum_add(&s, l->stride[0], "block");
            if (!samples || lane)
                sum_add(&s, 1, samples ? lane : "s");
        } else {
            const char *sample = whole_text(n, at[a], lane, dims);
            sum_add(&s, l->stride[0], arena_print(n->b->arena, "(%s / 16)", sample));
            sum_add(&s, 1, arena_print(n->b->arena, "(%s %% 16)", sample));
        }
    }
    return sum_text(n->b->arena, &s);
}

bool within_halo(const Layout *l, const Expr *load, int a)
{
    int64_t low, high;

    return expr_range(load->args[a], &low, &high) && low >= -l->low[a] && high < l->size[a] + l->high[a];
}

const char *inside_text(Nest *n, const Place *p, const Expr *load, const char *lane, unsigned *dims)
{
    const Layout *l = &p->layout;
    Text t = {.arena = n->b->arena};

    for (int a = 0; load->padded && a < load->nargs; a++) {
        int64_t low, high;
        bool known = expr_range(load->args[a], &low, &high);
        if (within_halo(l, load, a) || is_bounded(n->c, load, a))
            continue;
        const char *at = whole_text(n, load->args[a], lane, dims);
        if (!known || low < 0)
            text_print(&t, "%s%s >= 0", t.n ? " && " : "", at);
        if (!known || high >= l->size[a])
            text_print(&t, "%s%s < %lld", t.n ? " && " : "", at, (long long)l->size[a]);
    }
    return t.n ? t.s : NULL;
}

const char *result_inside(Nest *n, const Choice *c, const char *lane, unsigned *dims)
{
    const Equation *q = c->q;
    Expr out = {.kind = EXPR_LOAD, .tensor = q->out, .padded = q->padded, .nargs = (uint8_t)q->out->rank};

    memcpy(out.args, q->at, sizeof out.args);
    Place bare = *place_written(n->b, c);
    memset(bare.layout.low, 0, sizeof bare.layout.low);
    memset(bare.layout.high, 0, sizeof bare.layout.high);
    return inside_text(n, &bare, &out, lane, dims);
}

bool lane_dependent(const Nest *n, const Expr *e)
{
    return n->c->lane_index && (expr_has_index(e, n->c->lane_index) || (n->c->fold && expr_has_index(e, n->c->fold)));
}

/* From one step of x to the next, or -1. */
static int64_t index_step(const Nest *n, const Place *p, Expr *const *at, const Index *x)
{
    const Layout *l = &p->layout;
    int64_t step = 0;

    for (int a = 0; a < l->rank; a++) {
        Affine f;
        if (!lane_dependent(n, at[a]))
            continue;
        if (!expr_affine(at[a], &f))
            return -1;
        if (l->order == ORDER_LANES && a == 0) {
            step += is_batch(at[a]) ? 1 : LANES;
            continue;
        }
        step += affine_coef(&f, x) * l->stride[a];
    }
    return step;
}

int64_t lane_step(const Nest *n, const Place *p, Expr *const *at)
{
    return n->c->flat ? 1 : index_step(n, p, at, n->c->lane_index);
}

int half_lanes(const Nest *n) { return n->partial < LANES / 2 ? n->partial : LANES / 2; }

const char *each_lane(const Nest *n)
{
    if (n->c->fold && half_lanes(n) < LANES / 2)
        return arena_print(n->b->arena, "for (int l = 0; l < %d; l++) if (l %% 8 < %d)", LANES, half_lanes(n));
    return arena_print(n->b->arena, "for (int l = 0; l < %d; l++)", n->partial);
}

int64_t fold_step(const Nest *n, const Place *p, Expr *const *at)
{
    return n->c->fold ? index_step(n, p, at, n->c->fold) : 8 * lane_step(n, p, at);
}

bool is_contiguous(const Nest *n, const Place *p, Expr *const *at) { return lane_step(n, p, at) == 1; }

bool may_run_over(const Nest *n, const Place *p)
{
    return n->b->graph->single && n->c->lane == LANE_AXIS && p->storage->kind == STORAGE_WORK;
}
