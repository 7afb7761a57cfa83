/* tile.c -- the block of results that stays in registers while a reduction runs.
 *
 * A tile is one or two indices of the result with a number of steps each. Every load is shared by the elements of
 * the tile whose indices it does not mention: that is what a tile is for. All pairs are tried, and the one with the
 * fewest cycles for the whole result wins, remainders included. */
#include "loops/build.h"

#include <math.h>

/* Rows of memory that the processor fetches ahead when they are read side by side: measured, of 28 each takes twice as long. */
enum { ROWS_FORESEEN = 16 };
/* A vector from the second-level cache takes so many times as long as one from the first; one that is not foreseen costs so
 * many cycles more. */
static const double NEXT_CACHE = 2.5, WAIT = 0.5;
/* Lines of the first-level cache a multiple of so many bytes apart share a set, which holds so many. A row that is driven out
 * by the others costs so many cycles: measured, 28 rows of 4 KB take five times as long as 8. */
enum { APART = 4096, WAYS = 8, DRIVEN_OUT = 5 };
enum { THREADS = 2, WORTH_PARTING = 40000 /* cycles */ };
enum { MAX_STEPS = 28, MOST_CHOICES = 8, FEWEST_TOGETHER = 5, SIDE_BY_SIDE = 32 };

/* A load as the tile sees it. */
typedef struct Need {
    bool vector;    /* sixteen floats; else one, broadcast */
    unsigned index; /* bit i: depends on candidate i */
    double cycles;
    double apart;   /* vectors met by the reduction far from each other, for each of the tile */
    int64_t rows[MAX_BOX]; /* by candidate: so many of its steps stay in the cache side by side */
} Need;

typedef struct Tiling {
    const Choice *choice;
    int ncandidates;
    Index *candidate[MAX_BOX];
    int nneeds;
    Need need[MAX_LOADS];
    double iterations; /* of the reduction, for one element or vector of elements */
    double share;      /* of them: the rest is outside */
    double ending;     /* cycles to finish one accumulator */
} Tiling;

static int64_t steps_of(const Choice *c, const Index *x)
{
    return (x->size + lanes_of(c, x) - 1) / lanes_of(c, x);
}

static int64_t stride_in_result(const Choice *c, const Index *x)
{
    int64_t stride = 1, sum = 0;

    for (int a = c->q->out->rank; a-- > 0;) {
        Affine f;
        if (expr_affine(c->q->at[a], &f))
            sum += affine_coef(&f, x) * stride;
        stride *= c->q->out->size[a];
    }
    return sum;
}

/* Cycles to finish the sums of a tile. Those over lanes are finished sixteen side by side; where they are no neighbours in
 * the result, they are stored one by one. */
static double ending_cycles(const Tiling *t, const int *k, const int *steps)
{
    int sums = steps[0] * steps[1], inner = steps[1] > 1 ? 1 : 0;

    if (t->choice->lane != LANE_SAMPLES_SUM || t->choice->q->how != EQ_SUM || sums < FEWEST_TOGETHER)
        return sums * t->ending;
    bool row = stride_in_result(t->choice, t->candidate[k[inner]]) == 1 && (inner == 0 || steps[0] == 1);
    return (double)blocks_of(sums) * SIDE_BY_SIDE + (row ? 0 : sums);
}

/* Other sums in the same loops. */
static int sums_beside(const Choice *c)
{
    int n = 0;

    for (const Choice *x = c->next; x; x = x->next)
        n += x->q->how != EQ_MAP;
    return n;
}

/* A sum over samples reads nothing but vectors. What comes round again only after more than the first-level cache holds is
 * read from the second, more slowly: what the index of the inner loop moves along, after all of its steps. */
static double load_cycles(const Tiling *t, const Need *need, const int *k, const int *steps)
{
    double kept = t->iterations * LANES * 4;

    for (int d = 0; d < MAX_TILES; d++)
        if (k[d] >= 0 && need->index >> k[d] & 1)
            kept *= d == 0 && k[1] >= 0 ? steps[d] : (double)steps_of(t->choice, t->candidate[k[d]]);
    return need->cycles * (t->choice->lane == LANE_SAMPLES_SUM && kept > (double)loops_machine->l1 ? NEXT_CACHE : 1);
}

/* More vectors than one that lie far from those before are waited for, unless the first-level cache holds them beside other
 * things. */
static double wait_cycles(const Need *need, double n)
{
    return n * need->apart * LANES * 4 >= (double)loops_machine->l1 / 4 ? (n - 1) * WAIT : 0;
}

/* Rows of one load that do not stay in the cache until their next element is read. */
static double lost_rows(const Need *need, const int *k, const int *steps)
{
    double lost = 0;

    for (int d = 0; d < MAX_TILES; d++)
        if (k[d] >= 0 && need->index >> k[d] & 1 && steps[d] > need->rows[k[d]])
            lost += (double)(steps[d] - need->rows[k[d]]);
    return lost;
}

/* Cycles of one tile of t[0] by t[1] steps of the candidates k[0], k[1]. Registers: sums, and the vectors that
 * depend on the inner index stay through one iteration. */
static double tile_cycles(const Tiling *t, const int *k, const int *steps)
{
    double loads = 0, sums = (double)steps[0] * steps[1], held = 0, rows = 0, wait = 1;

    for (int i = 0; i < t->nneeds; i++)
        loads += lost_rows(&t->need[i], k, steps) * DRIVEN_OUT;
    for (int i = 0; i < t->nneeds; i++) {
        double n = 1, inner = 1;
        for (int d = 0; d < MAX_TILES; d++)
            if (k[d] >= 0 && t->need[i].index >> k[d] & 1) {
                n *= steps[d];
                inner = d == 1 ? steps[d] : inner;
            }
        loads += n * load_cycles(t, &t->need[i], k, steps);
        wait += wait_cycles(&t->need[i], n);
        if (t->need[i].vector)
            held += n == inner ? inner : 1;
        rows += t->need[i].vector ? n : 0;
    }
    if (t->choice->lane == LANE_SAMPLES_SUM && rows > ROWS_FORESEEN && rows * t->iterations * LANES * 4 > 4 * (double)loops_machine->l1)
        loads *= 2;
    if (sums * (1 + sums_beside(t->choice)) + held > loops_machine->registers)
        return 1e30;
    double work = sums * 0.8 > loads ? sums * 0.8 : loads;
    if (work < 4)
        work = 4; /* an addition must finish before the next into the same sum */
    return (work + wait) * t->iterations * t->share + ending_cycles(t, k, steps);
}

/* Of what the reduction runs through, if the tile is this. */
static double inside(const Tiling *t, const int *k, const int *steps)
{
    double share = 1;

    for (int i = 0; i < t->choice->nbounds; i++) {
        const Bound *b = &t->choice->bound[i];
        int64_t tile = 1;
        for (int d = 0; d < MAX_TILES; d++)
            if (k[d] >= 0 && t->candidate[k[d]] == b->with)
                tile = steps[d];
        share *= bound_share(b, tile);
    }
    return share;
}

/* A sum over samples is parted among threads by its tiles: two threads with three tiles take as long as with four. Not
 * for what one thread would do alone. */
static double waiting(const Tiling *t, double tiles, double cycles)
{
    if (t->choice->lane != LANE_SAMPLES_SUM || cycles < WORTH_PARTING)
        return 1;
    return ceil(tiles / THREADS) * THREADS / tiles;
}

static double pair_cycles(Tiling *t, const int *k, const int *steps)
{
    double total = 0;
    int64_t size[MAX_TILES], times[MAX_TILES][2];
    int part[MAX_TILES][2];

    for (int d = 0; d < MAX_TILES; d++) {
        size[d] = k[d] < 0 ? 1 : steps_of(t->choice, t->candidate[k[d]]);
        part[d][0] = steps[d];
        part[d][1] = (int)(size[d] % steps[d]);
        times[d][0] = size[d] / steps[d];
        times[d][1] = part[d][1] > 0;
    }
    t->share = inside(t, k, steps);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++)
            if (times[0][i] && times[1][j])
                total += (double)(times[0][i] * times[1][j]) * tile_cycles(t, k, (int[]){part[0][i], part[1][j]});
    double tiles = (double)((times[0][0] + times[0][1]) * (times[1][0] + times[1][1]));
    for (int i = 0; i < t->ncandidates; i++)
        if (i != k[0] && i != k[1]) {
            total *= (double)steps_of(t->choice, t->candidate[i]);
            tiles *= (double)steps_of(t->choice, t->candidate[i]);
        }
    total *= waiting(t, tiles, total);
    /* a remainder is a second copy of the code */
    return total * (1 + 0.02 * (double)(times[0][1] + times[1][1]));
}

/* A window slides along the lanes: nearly every vector of it lies in two lines of the cache. */
static bool slides(const Choice *c, const Expr *load)
{
    Affine f;

    return c->lane == LANE_AXIS && load->nargs > 0 && expr_affine(load->args[load->nargs - 1], &f) && f.n > 1 &&
           affine_coef(&f, c->lane_index) != 0;
}

/* x stands in the load as a subscript by itself: inside, whatever its value. */
static bool is_plain(const Expr *load, const Index *x)
{
    for (int a = 0; a < load->nargs; a++)
        if (expr_has_index(load->args[a], x) && (load->args[a]->kind != EXPR_INDEX || x->size > load->tensor->size[a]))
            return false;
    return true;
}

/* Samples in lanes: channels that are summed lie far apart, unless they are the last axis. */
static double vectors_apart(const Choice *c, const Expr *load)
{
    double n = 1;

    if (c->lane != LANE_SAMPLES || !load->tensor->batched)
        return 0;
    for (int a = 1; a < load->nargs; a++)
        for (int k = c->outer; k < c->q->nbox && load->args[a]->kind == EXPR_INDEX; k++)
            if (load->args[a]->index == c->q->box[k])
                n *= a + 1 < load->nargs ? (double)c->q->box[k]->size : 0;
    return n;
}

/* Whether a factor vanishes depends on x; where it does, the whole tile is skipped (see nest_conditions). */
static bool guards(const Choice *c, const Index *x)
{
    for (int i = 0; i < c->value->n; i++)
        if (is_guard(c, c->value->at[i]) && expr_has_index(c->value->at[i], x) && !is_plain(c->value->at[i], x))
            return true;
    return false;
}

/* Of the tensors that are kept, by how far apart their rows lie. */
static int64_t rows_held(const Choice *c, const Expr *load, const Index *x)
{
    const Tensor *t = load->tensor;
    int64_t step = 0, apart = APART;
    Layout l;
    Affine f;

    if (over_samples(c) || (t->role != ROLE_PARAM && t->role != ROLE_STATE))
        return MAX_STEPS;
    layout_kept(&l, t->rank, t->size, t->integer);
    for (int a = 0; a < t->rank; a++)
        if (expr_affine(load->args[a], &f))
            step += affine_coef(&f, x) * l.stride[a] * 4;
    while (step % apart != 0)
        apart /= 2;
    return APART / apart * WAYS;
}

static void tiling_new(Tiling *t, const Choice *c)
{
    const Equation *q = c->q;
    const Loads *l = c->value;

    *t = (Tiling){.choice = c, .iterations = 1, .ending = 2};
    if (sums_lanes(c))
        t->ending = c->lane == LANE_AXIS_SUM ? 4 : 9; /* side by side, or one by one */
    for (int i = 0; i < c->outer; i++)
        if (!q->box[i]->batch && q->box[i]->size > 1 && !guards(c, q->box[i]) && q->box[i] != c->strip)
            t->candidate[t->ncandidates++] = q->box[i];
    for (int i = c->outer; i < q->nbox; i++)
        t->iterations *= (double)(q->box[i] == c->lane_index && !q->box[i]->batch ? blocks_of(q->box[i]->size) : steps_of_sum(c, q->box[i]));
    t->nneeds = l->n;
    for (int i = 0; i < l->n; i++) {
        t->need[i].vector = c->lane_index && (expr_has_index(l->at[i], c->lane_index) || (c->fold && expr_has_index(l->at[i], c->fold)));
        t->need[i].apart = vectors_apart(c, l->at[i]);
        t->need[i].cycles = !t->need[i].vector ? 0.45 : slides(c, l->at[i]) ? 1.6 : over_samples(c) ? 0.9 : 0.8; /* those of samples lie apart */
        for (int k = 0; k < t->ncandidates; k++)
            if (expr_has_index(l->at[i], t->candidate[k])) {
                t->need[i].index |= 1u << k;
                t->need[i].rows[k] = rows_held(c, l->at[i], t->candidate[k]);
            }
    }
}

/* Steps worth trying: small ones, what divides the size, and what leaves the sixteenth part. */
static bool worth_trying(int64_t size, int steps)
{
    return steps <= size && (size % steps == 0 || steps <= 8 || steps % 4 == 0);
}

/* e asks whether x is this or that constant. */
static bool asks_for(Expr *e, const Index *x, unsigned walk)
{
    if (e->walk == walk)
        return false;
    e->walk = walk;
    if (expr_is(e, OP_eq) && e->args[0]->kind == EXPR_INDEX && e->args[0]->index == x && e->args[1]->kind == EXPR_NUMBER)
        return true;
    for (int i = 0; i < e->nargs; i++)
        if (asks_for(e->args[i], x, walk))
            return true;
    return false;
}

/* A map that chooses by an index among a few expressions (see graph/winograd.c): all its steps are unrolled, so that
 * what they share is computed once and the choice costs nothing. */
static void unroll_choices(Choice *c)
{
    const Equation *q = c->q;

    if (c->lane == LANE_NONE || c->flat)
        return;
    for (int i = 0; i < c->outer && c->ntiles < MAX_TILES; i++) {
        Index *x = q->box[i];
        if (x->batch || x == c->lane_index || x == c->strip || x->size > MOST_CHOICES || !asks_for(q->value, x, expr_walk()))
            continue;
        c->tile_index[c->ntiles] = x;
        c->tile[c->ntiles++] = (int)x->size;
        c->flops /= (double)x->size; /* nearly all of it is shared */
    }
}

static void set_tile(Choice *c, const Tiling *t, const int *k, const int *steps)
{
    c->ntiles = 0;
    for (int d = 0; d < MAX_TILES; d++)
        if (steps[d] > 1) {
            c->tile_index[c->ntiles] = t->candidate[k[d]];
            c->tile[c->ntiles++] = steps[d];
        }
}

/* Two rows go through together, also the last ones of an odd number. */
static int64_t most_steps(const Choice *c, const Index *x)
{
    return x == c->fold ? x->size / 2 : steps_of(c, x);
}

/* The best numbers of steps, from `least` on, of two candidates, of which the second is the inner one. */
static double try_pair(const Choice *c, Tiling *t, const int *k, int least, int *steps)
{
    int64_t m = most_steps(c, t->candidate[k[0]]), n = k[1] < 0 ? 1 : most_steps(c, t->candidate[k[1]]);
    int most = c->lane == LANE_AXIS_SUM ? LANES : MAX_STEPS;
    double best = 1e30;

    for (int a = least; a <= most && a <= m; a++)
        for (int b = least; a * b <= most && b <= n; b++) {
            if (!worth_trying(m, a) || !worth_trying(n, b))
                continue;
            double cycles = pair_cycles(t, k, (int[]){a, b});
            if (cycles >= best * 0.999)
                continue;
            best = cycles;
            steps[0] = a;
            steps[1] = b;
        }
    return best;
}

/* The tile of least cycles, all it reads being near; the first indices first. */
static void choose_near(Choice *c, Tiling *t)
{
    c->cycles = 1e30;
    for (int i = 0; i < t->ncandidates; i++)
        for (int j = i + 1; j <= t->ncandidates; j++) {
            int k[MAX_TILES] = {i, j < t->ncandidates ? j : -1}, steps[MAX_TILES] = {1, 1}; /* the last j is none at all */
            double cycles = try_pair(c, t, k, 1, steps);
            if (cycles >= c->cycles * 0.999)
                continue;
            c->cycles = cycles;
            set_tile(c, t, k, steps);
        }
}

/* Another one, if it is much better when what is read comes from further away. Of those that are equally good the one of
 * the last indices, whose steps are neighbours in memory. */
static void choose_far(Choice *c, Tiling *t)
{
    double best = 0.8 * choose_walk(c);

    for (int i = t->ncandidates; i-- > 0;)
        for (int j = t->ncandidates; j >= 0; j--) {
            int k[MAX_TILES] = {i, j < t->ncandidates ? j : -1}, steps[MAX_TILES] = {1, 1};
            Choice other = *c;
            other.cycles = i == j ? 1e30 : try_pair(c, t, k, k[1] < 0 ? 1 : 2, steps);
            if (other.cycles >= best * 0.999)
                continue;
            set_tile(&other, t, k, steps);
            double cycles = choose_walk(&other);
            if (cycles >= best * 0.999)
                continue;
            best = cycles;
            *c = other;
        }
}

static bool has_tile(const Choice *c)
{
    return c->q->how != EQ_MAP && !c->scatter && c->lane != LANE_NONE && !c->flat;
}

void choose_tile_near(Choice *c)
{
    Tiling t;

    if (c->q->how == EQ_MAP)
        unroll_choices(c);
    if (!has_tile(c))
        return;
    tiling_new(&t, c);
    choose_near(c, &t);
}

void choose_tile(Choice *c)
{
    Tiling t;

    choose_tile_near(c);
    if (!has_tile(c)) {
        choose_walk(c);
        return;
    }
    tiling_new(&t, c);
    choose_far(c, &t);
}

/* What has no tile is a map, or goes one by one. */
double choice_cycles(const Choice *c)
{
    double points = 1, call = 20;

    if (c->cycles > 0 && c->cycles < 1e30)
        return call + c->cycles * (c->strip ? (double)c->strip->size : 1); /* those of one strip */
    for (int i = 0; i < c->q->nbox; i++)
        points *= c->q->box[i]->batch ? 1 : (double)c->q->box[i]->size;
    return call + points * (c->lane == LANE_NONE ? 10 : c->lane == LANE_SAMPLES ? 4 : 0.5);
}
