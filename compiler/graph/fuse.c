/* fuse.c -- fewer passes over memory: maps go into their readers, or into the tail of the reduction they read.
 *
 * absorb   z[b,o] = tanh(y[b,o] + bias[o]) reads the sum y, which nobody else reads: it becomes the sum's tail. The same
 *          for a producer that is a map written by compound subscripts (the gradient of pooling): the reader takes
 *          over its box.
 * inline   a map is written out where it is read: when that computes nothing twice; or when it is cheap and reading what
 *          it reads costs less than storing it and reading it again; or when it only rearranges and all subscripts
 *          stay affine.
 *
 * Recomputation never multiplies dear operations, and nothing but loads ever goes into the inner loop of a
 * contraction. A sum that reads a parameter does not also produce its next value.
 *
 * needs:  sums turned round and simplified
 * leaves: the wanted results, in an order in which (where there is one) the next value of a parameter or state comes
 *         after the last reader of the old one, and as soon as it can (order.c) */
#include "graph/rewrite.h"

/* Expressions that take more than this to write out are not made longer: somebody will read them. */
enum { MAX_WRITTEN = 500 };

/* So often may a cheap map be computed again in the map that reads it. */
enum { MOST_REPETITIONS = 4, MOST_READ = 64 };

typedef LIST(int) Places; /* positions of equations */

typedef struct Fuse {
    Graph *g;
    Arena *arena;
    Equation **maker;  /* by tensor */
    int *position;     /* of that maker */
    Places *readers;   /* by tensor: positions of the equations that read it */
    bool *kept;        /* by tensor: wanted, or the next value of something */
    Tensor **next_of;  /* by tensor: what it is the next value of */
    Equation **inlined; /* by tensor: the map being written out, else NULL */
    bool changed;
} Fuse;

/* --- who reads what --- */

typedef struct Reading {
    Fuse *f;
    int reader;
} Reading;

static int find_reader(const Places *places, int reader)
{
    for (int i = 0; i < places->n; i++)
        if (places->at[i] == reader)
            return i;
    return -1;
}

static void note_reader(const Expr *load, void *user)
{
    const Reading *r = user;
    Places *places = &r->f->readers[load->tensor->id];

    if (find_reader(places, r->reader) < 0)
        PUSH(r->f->arena, *places, r->reader);
}

static void drop_reader(const Expr *load, void *user)
{
    const Reading *r = user;
    Places *places = &r->f->readers[load->tensor->id];
    int i = find_reader(places, r->reader);

    if (i >= 0)
        places->at[i] = places->at[--places->n];
}

static void note_equations(Fuse *f)
{
    for (int i = 0; i < f->g->tensors.n; i++)
        f->readers[i].n = 0;
    for (int i = 0; i < f->g->equations.n; i++) {
        Equation *q = f->g->equations.at[i];
        f->maker[q->out->id] = q;
        f->position[q->out->id] = i;
        equation_loads(q, note_reader, &(Reading){f, i});
    }
}

static void remove_equation(Fuse *f, int i)
{
    Equation *q = f->g->equations.at[i];

    equation_loads(q, drop_reader, &(Reading){f, i});
    f->maker[q->out->id] = NULL;
    f->g->equations.at[i] = NULL;
    f->changed = true;
}

/* --- how often, and how --- */

static double points(const Equation *q, int n)
{
    double p = 1;
    for (int k = 0; k < n; k++)
        p *= (double)q->box[k]->size;
    return p;
}

/* The loads of one tensor in an equation. */
typedef struct Uses {
    const Tensor *tensor;
    const Expr *first;
    int n;
    bool differ;       /* not all with the same subscripts */
    bool in_subscript; /* a load is subscript to another */
    bool affine;       /* all subscripts of all loads */
    bool padded;
} Uses;

static bool reads_tensor(const Expr *e, const Tensor *t)
{
    if (e->kind == EXPR_LOAD && e->tensor == t)
        return true;
    for (int i = 0; i < e->nargs; i++)
        if (reads_tensor(e->args[i], t))
            return true;
    return false;
}

static void see_use(const Expr *load, void *user)
{
    Uses *u = user;
    Affine f;

    if (load->tensor != u->tensor) {
        for (int k = 0; k < load->nargs; k++)
            u->in_subscript |= load->args[k]->nargs && reads_tensor(load->args[k], u->tensor);
        return;
    }
    if (u->first)
        for (int k = 0; k < load->nargs; k++)
            u->differ |= !expr_same(u->first->args[k], load->args[k]);
    u->first = load;
    u->n++;
    u->padded |= load->padded;
    for (int k = 0; k < load->nargs; k++)
        u->affine &= expr_affine(load->args[k], &f);
}

static Uses uses_in(const Expr *e, const Tensor *t)
{
    Uses u = {.tensor = t, .affine = true};
    if (e)
        expr_loads(e, see_use, &u);
    return u;
}

/* Element-by-element work that a vector does in a few instructions. */
static bool cheap(const Expr *e)
{
    return !expr_dear(e) && expr_nodes(e) <= 24;
}

/* Only a load (or a number): nothing to compute. */
static bool rearranges(const Equation *p)
{
    Affine f;

    if (p->value->kind == EXPR_NUMBER)
        return true;
    if (p->value->kind != EXPR_LOAD)
        return false;
    for (int k = 0; k < p->value->nargs; k++)
        if (!expr_affine(p->value->args[k], &f))
            return false;
    return true;
}

typedef struct Streams {
    const Tensor *tensor[16];
    int64_t least; /* only tensors of so many elements count */
    int n;
} Streams;

static void see_stream(const Expr *load, void *user)
{
    Streams *s = user;

    for (int i = 0; i < s->n; i++)
        if (s->tensor[i] == load->tensor)
            return;
    if (s->n < 16 && tensor_count(load->tensor) >= s->least)
        s->tensor[s->n++] = load->tensor;
}

/* --- a map written out where it is read --- */

/* How often the points of p that q reads are computed when p is written out in q; 1 when each once. */
static double repetition(const Equation *p, const Equation *q)
{
    Uses inner = uses_in(q->value, p->out), tail = uses_in(q->tail, p->out);
    double work = 0;

    work += (inner.differ ? inner.n : inner.n > 0) * points(q, q->nbox);
    work += (tail.differ ? tail.n : tail.n > 0) * points(q, equation_outer(q));
    return work / (double)tensor_count(p->out);
}

/* In a map a few more operations cost less than another pass: a small map may be computed a few times, one that only
 * knows scalars as often as it is read. */
static bool cheap_for_map(const Equation *p, const Equation *q)
{
    Streams s = {.least = 2};

    if (q->how != EQ_MAP || !cheap(p->value))
        return false;
    expr_loads(p->value, see_stream, &s);
    return s.n == 0 || (s.n == 1 && repetition(p, q) <= MOST_REPETITIONS);
}

/* Tensors that an equation reads: each is a pointer of its kernel. */
typedef struct Read {
    const Tensor *tensor[MOST_READ + 1];
    int n;
} Read;

static void see_read(const Expr *load, void *user)
{
    Read *r = user;

    for (int i = 0; i < r->n; i++)
        if (r->tensor[i] == load->tensor)
            return;
    if (r->n <= MOST_READ)
        r->tensor[r->n++] = load->tensor;
}

static bool read_few(const Equation *p, const Equation *q)
{
    const Expr *e[] = {p->value, p->tail, q->value, q->tail};
    Read r = {.n = 0};

    for (int i = 0; i < 4; i++)
        if (e[i])
            expr_loads(e[i], see_read, &r);
    return r.n <= MOST_READ;
}

static bool fits(const Equation *p, const Equation *q)
{
    int uses = uses_in(q->value, p->out).n + uses_in(q->tail, p->out).n;
    int written = expr_written(q->value) + (q->tail ? expr_written(q->tail) : 0);
    return written + (double)uses * expr_written(p->value) + (p->tail ? expr_written(p->tail) : 0) <= MAX_WRITTEN && read_few(p, q);
}

static bool may_inline(const Fuse *f, const Equation *p, const Equation *q)
{
    if (!p || p->how != EQ_MAP || f->kept[p->out->id] || p->out->integer ||
        !subscripts_plain(p->at, p->out->rank, p->out->size) || !fits(p, q))
        return false;
    Uses inner = uses_in(q->value, p->out), tail = uses_in(q->tail, p->out);
    if (inner.in_subscript || tail.in_subscript)
        return false;
    if (p->value->kind == EXPR_NUMBER && !inner.padded && !tail.padded)
        return true;
    if (p->out->rank == 0 && q->nbox)
        return false; /* a scalar is computed once, in double */
    if (rearranges(p) && inner.affine && tail.affine) {
        /* A padded reader reads p's own edge, which only a plain axis of the same size passes on. */
        if (!inner.padded && !tail.padded)
            return true;
        for (int k = 0; k < p->out->rank; k++)
            if (p->at[k]->kind != EXPR_INDEX || !expr_vanishes(p->value, p->at[k]->index))
                return false;
        return true;
    }
    return repetition(p, q) <= 1 || cheap_for_map(p, q);
}

/* All readers may, and together they read less than they save. */
static bool worth_inlining(const Fuse *f, const Equation *p)
{
    const Places *readers = &f->readers[p->out->id];
    Streams s = {.least = tensor_count(p->out) / 2};

    if (readers->n == 0)
        return false;
    for (int i = 0; i < readers->n; i++)
        if (!may_inline(f, p, f->g->equations.at[readers->at[i]]))
            return false;
    if (readers->n == 1 || rearranges(p))
        return true;
    if (!cheap(p->value))
        return false;
    expr_loads(p->value, see_stream, &s);
    return readers->n * s.n <= s.n + 1 + readers->n;
}

static void inline_everywhere(Fuse *f, Equation *p)
{
    const Places *readers = &f->readers[p->out->id];

    f->inlined[p->out->id] = p;
    for (int i = 0; i < readers->n; i++) {
        Equation *q = f->g->equations.at[readers->at[i]];
        q->value = expr_inline(f->arena, q->value, f->inlined);
        if (q->tail)
            q->tail = expr_inline(f->arena, q->tail, f->inlined);
        equation_loads(p, note_reader, &(Reading){f, readers->at[i]});
    }
    f->inlined[p->out->id] = NULL;
    remove_equation(f, f->position[p->out->id]);
}

/* --- a map taken over by the equation it reads --- */

/* q, a map, reads an element of p's result at each of its points, and no element twice: all of them, in the order of
 * its own indices, or some (every other one, those from a margin on), where p's own places are plain. */
static bool point_for_point(const Equation *p, const Equation *q)
{
    Uses u = uses_in(q->value, p->out);
    const Tensor *t = p->out;
    bool all = true;
    int indices = 0;

    if (u.n == 0 || u.differ || u.padded || u.in_subscript)
        return false;
    for (int k = 0; k < t->rank; k++) {
        Affine f;
        if (!expr_affine(u.first->args[k], &f) || f.n > 1)
            return false;
        indices += f.n;
        for (int j = 0; j < k; j++)
            if (f.n && expr_has_index(u.first->args[j], f.index[0]))
                return false;
    }
    all = subscripts_plain(u.first->args, t->rank, t->size);
    return indices == q->nbox && (all || subscripts_plain(p->at, t->rank, t->size));
}

/* A sum that reads a parameter and stores its next value would tear it up while reading. */
static bool overwrites_operand(const Fuse *f, const Equation *p, const Equation *q)
{
    const Tensor *old = f->next_of[q->out->id];
    return old && uses_in(p->value, old).n > 0;
}

static bool may_absorb(const Fuse *f, const Equation *p, const Equation *q)
{
    return p && p->how != EQ_ARGMAX && !f->kept[p->out->id] && f->readers[p->out->id].n == 1 && equation_covers(p) &&
           point_for_point(p, q) && !overwrites_operand(f, p, q) && fits(p, q);
}

/* Of several the last one made: what the others make is there already when it runs. */
static Equation *find_absorber(const Fuse *f, const Equation *q)
{
    Streams s = {.least = 0};
    Equation *best = NULL;

    if (q->how != EQ_MAP)
        return NULL;
    expr_loads(q->value, see_stream, &s);
    for (int i = 0; i < s.n; i++) {
        Equation *p = f->maker[s.tensor[i]->id];
        bool later = p && (!best || f->position[p->out->id] > f->position[best->out->id]);
        if (later && may_absorb(f, p, q))
            best = p;
    }
    return best;
}

/* Which of p's and q's indices are the same: q's written as p's places where q reads all of p, else p's as q's
 * subscripts. */
static void match_indices(const Equation *p, const Equation *q, Rename *of_p, Rename *of_q)
{
    const Uses u = uses_in(q->value, p->out);
    const Tensor *t = p->out;
    bool all = subscripts_plain(u.first->args, t->rank, t->size);

    for (int k = 0; k < t->rank; k++) {
        const Expr *x = all ? u.first->args[k] : p->at[k];
        Rename *r = all ? of_q : of_p;
        if (x->kind != EXPR_INDEX)
            continue;
        r->from[r->nindex] = x->index;
        r->to[r->nindex++] = all ? p->at[k] : u.first->args[k];
    }
}

/* q's value as p's tail (or p's value, when p is a map); the result is q, with p's reduction. */
static void absorb(Fuse *f, const Equation *p, Equation *q)
{
    Arena *a = f->arena;
    Rename of_p = {0}, of_q = {0};
    int outer = equation_outer(p);

    match_indices(p, q, &of_p, &of_q);
    /* Marked by RESULT, q's load of p's element passes unchanged through the renaming. */
    Equation mark = *p;
    mark.value = expr_result(a);
    f->inlined[p->out->id] = &mark;
    Expr *after = expr_inline(a, q->value, f->inlined);
    f->inlined[p->out->id] = NULL;
    Expr *own = expr_place(a, p->value, &of_p), *tail = p->tail ? expr_place(a, p->tail, &of_p) : NULL;
    of_q.result = p->how == EQ_MAP ? own : tail ? tail : expr_result(a);
    after = expr_place(a, after, &of_q);
    for (int k = 0; k < q->out->rank; k++)
        q->at[k] = expr_place(a, q->at[k], &of_q);
    q->how = p->how;
    q->value = p->how == EQ_MAP ? after : own;
    q->tail = p->how == EQ_MAP ? NULL : after;
    if (!q->layer)
        q->layer = p->layer;
    equation_set_box(q, p->nbox - outer, p->box + outer);
}

/* --- the sweep --- */

static void fuse_equation(Fuse *f, int i)
{
    Equation *q = f->g->equations.at[i], *p;

    while ((p = find_absorber(f, q))) {
        int from = f->position[p->out->id];
        absorb(f, p, q);
        remove_equation(f, from);
        equation_loads(q, note_reader, &(Reading){f, i});
        drop_reader(&(Expr){.tensor = p->out}, &(Reading){f, i});
    }
    if (worth_inlining(f, q))
        inline_everywhere(f, q);
}

static void close_gaps(Graph *g)
{
    int n = 0;

    for (int i = 0; i < g->equations.n; i++)
        if (g->equations.at[i])
            g->equations.at[n++] = g->equations.at[i];
    g->equations.n = n;
}

void graph_fuse(Graph *g)
{
    Arena *a = g->arena;
    int n = g->tensors.n;
    Fuse f = {.g = g,
              .arena = a,
              .maker = NEW_ARRAY(a, Equation *, n),
              .position = NEW_ARRAY(a, int, n),
              .readers = NEW_ARRAY(a, Places, n),
              .kept = NEW_ARRAY(a, bool, n),
              .next_of = NEW_ARRAY(a, Tensor *, n),
              .inlined = NEW_ARRAY(a, Equation *, n)};

    for (int i = 0; i < n; i++) {
        Tensor *t = g->tensors.at[i];
        f.kept[i] |= t->wanted;
        if (t->next) {
            f.kept[t->next->id] = true;
            f.next_of[t->next->id] = t;
        }
    }
    graph_drop_dead(g); /* a reader that nobody wants would keep things apart */
    do {
        f.changed = false;
        note_equations(&f);
        for (int i = 0; i < g->equations.n; i++)
            if (g->equations.at[i])
                fuse_equation(&f, i);
        close_gaps(g);
    } while (f.changed);
    graph_order(g);
}
