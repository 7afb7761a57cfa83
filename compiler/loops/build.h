/* build.h -- what the files of loops/ share while one graph becomes kernels. Nobody else includes it. */
#ifndef NNC_BUILD_H
#define NNC_BUILD_H

#include "loops/loops.h"

/* Where a tensor lies: several may share a storage and see it through layouts of their own. */
typedef struct Place {
    Storage *storage; /* NULL: nobody asked for this form */
    Layout layout;
} Place;

enum { MAX_TILES = 2, MAX_BOUNDS = 4 };

/* Different loads of an expression. */
enum { MAX_LOADS = 256 };
typedef struct Loads {
    int n;
    const Expr *at[MAX_LOADS];
} Loads;

/* A reduced index runs only while 0 <= sign * index + coef * with + offset < size; see bounds.c. */
typedef struct Bound {
    Index *index, *with; /* reduced, of the result */
    int sign;            /* 1 or -1 */
    int64_t coef, offset, size;
} Bound;

/* Strips of tiles, and their sums in pieces; see walk.c. */
enum { STRIPS = 2 };
typedef struct Pieces {
    int64_t strip[STRIPS]; /* tiles of each of the two innermost loops that come before the next of any other; 0: no pieces */
    int n;                 /* so many of the first reduced indices have their loops outside of a strip */
    int64_t step;          /* of the last of these, the others going by one: the rest of it stays inside */
} Pieces;

/* What is chosen for one equation. */
typedef struct Choice {
    Equation *q;
    int number; /* position in Build.choices, once all are there */
    Loads *value, *tail; /* what they read */
    LaneKind lane;
    Index *lane_index; /* NULL: LANE_NONE, or flat */
    Index *fold;       /* LANE_AXIS over an axis of at most eight: lanes 8..15 are those of the next step of this index; or NULL */
    Index *batch;      /* the batch index of the box, or NULL */
    int outer;         /* indices in `at`: the first ones of the box */
    bool flat;         /* LANE_AXIS over all elements of equal tensors, padding included */
    bool by_block;     /* LANE_SAMPLES_SUM: the sum of one block of samples, in a row of the result of its own; see block.c */
    bool scatter;      /* sums are gathered in memory: a place of the result is met more than once */
    int ntiles;
    Index *tile_index[MAX_TILES];
    int tile[MAX_TILES]; /* in steps of one, or of sixteen when it is the lane's index */
    int nbounds;
    Bound bound[MAX_BOUNDS];
    Index *walk[MAX_BOX]; /* the first `outer` indices of the box, in the order of their loops */
    Pieces pieces;
    struct Choice *leader; /* the one whose kernel carries it out, or NULL: it has a kernel of its own */
    struct Choice *next;   /* carried out after it at every point of the result, in the same kernel; see group.c */
    bool stored;           /* somebody outside of the group reads the result */
    Index *strip;          /* the kernel carries out one step of it at a time, in turn with others; or NULL; see strip.c */
    struct Choice *after;  /* the one that follows in each step, or NULL */
    int passed;            /* the axis of the result that has one step only, read by the one that follows; 0: none */
    double flops, bytes, cycles;
    const char *why;
} Choice;

typedef struct Build {
    Arena *arena;
    const Program *program;
    Graph *graph; /* a copy of the caller's */
    Functions *functions;
    Loops *loops;
    LIST(Choice *) choices; /* one for each equation, in order */
    Place *lanes;           /* by tensor id: batched tensors in lanes */
    Place *rows;            /* by tensor id: everything else, and batched tensors sample by sample */
    Choice **maker;         /* by tensor id: of the equation that makes it, or NULL */
    int *last_reader;       /* by tensor id: the number of a choice, or 0 */
    bool *want_rows;        /* by tensor id: some kernel reads a batched tensor sample by sample */
    bool *want_lanes;
    bool *in_place;         /* by tensor id: its next value takes its place */
    bool *is_view;          /* by equation: its result is another tensor's bytes, there is nothing to do */
} Build;

static inline bool over_samples(const Choice *c) { return c->lane == LANE_SAMPLES || c->lane == LANE_SAMPLES_SUM; }
static inline bool sums_lanes(const Choice *c) { return c->lane == LANE_SAMPLES_SUM || c->lane == LANE_AXIS_SUM; }
/* A factor of the sum that is 0 outside of its tensor, whatever the lane: there nothing needs to be added. */
static inline bool is_guard(const Choice *c, const Expr *load)
{
    const Expr *v = c->q->value;

    return over_samples(c) && c->q->how == EQ_SUM && load->padded && !load->tensor->batched && v->kind == EXPR_OP &&
           v->op->id == OP_mul && (v->args[0] == load || v->args[1] == load);
}
/* How many steps of an index of the result lie side by side in the lanes. */
static inline int64_t lanes_of(const Choice *c, const Index *x)
{
    if (c->lane != LANE_AXIS || !x || (x != c->lane_index && x != c->fold))
        return 1;
    return x == c->fold ? 2 : c->fold ? LANES / 2 : LANES;
}
static inline int64_t blocks_of(int64_t samples) { return (samples + LANES - 1) / LANES; }
/* Of a batched tensor. */
static inline double block_bytes(const Tensor *t) { return (double)(tensor_count(t) / t->size[0] * LANES) * 4; }
enum { LAST_CACHE = 16 }; /* the size of the last cache, in second-level ones */
/* To fetch so much from memory, or to put it there. */
static inline double memory_cycles(double bytes) { return bytes / 6; }
/* Steps of a reduced index in one call of the kernel; samples in lanes go by in blocks. */
static inline int64_t steps_of_sum(const Choice *c, const Index *x)
{
    if (x == c->strip || (x->batch && c->by_block))
        return 1;
    return x->batch && over_samples(c) ? blocks_of(x->size) : x->size;
}

/* choose.c */
Loads *loads_of(Arena *a, const Expr *e); /* none for NULL */
Choice *choose_lane(Build *b, Equation *q);
/* block.c */
typedef struct Readers {
    int *count;     /* by tensor id: the equations that read it */
    double largest; /* bytes of one block of the largest tensor that is read */
} Readers;
Readers readers_of(Arena *a, const Graph *g);
/* The sum becomes one of each block, if that is worth it: returns the equation that adds them up, or NULL. */
Equation *part_blocks(Build *b, Choice *c, const Readers *readers);
/* group.c */
void choose_groups(Build *b);
/* turn.c */
Equation *turn_weights(Build *b, Equation *q);
/* strip.c */
void choose_strips(Build *b);
/* tile.c */
void choose_tile(Choice *c);
void choose_tile_near(Choice *c); /* all it reads being near */
/* Rough: of one block of samples, or of the one. */
double choice_cycles(const Choice *c);
/* bounds.c */
void choose_bounds(Choice *c); /* before the tile */
void drop_bounds(Choice *c);   /* after it: those that it made worthless */
const Bound *bound_of(const Choice *c, const Index *x); /* or NULL */
double bound_share(const Bound *b, int64_t tile);
/* The steps that `tile` steps of b->with need: from slope * with + low to slope * with + end. */
void bound_ends(const Bound *b, int64_t tile, int64_t *slope, int64_t *low, int64_t *end);
/* The load never goes outside along axis a. */
bool is_bounded(const Choice *c, const Expr *load, int a);
/* walk.c */
double choose_walk(Choice *c); /* its cycles, with those in which it waits for what is far away */
/* The batch index, exactly: the subscript of axis 0 of a batched tensor in most loads. */
bool is_batch(const Expr *e);

/* replace.c: the next value of t may take its place */
bool replaces_in_place(Build *b, const Tensor *t);

/* layout.c */
void layouts_make(Build *b);
/* The form of a load's tensor that a kernel with this choice reads, and of its result. */
Place *place_read(Build *b, const Choice *c, const Expr *load);
Place *place_written(Build *b, const Choice *c);
Storage *storage_new(Build *b, const char *name, StorageKind kind, Tensor *t, const Layout *l);

/* same.c: what was chosen or printed for equal equations is taken again */
typedef void Choose(Choice *c); /* sets tiles, walk, pieces, bounds, cycles and flops, by what the equations say */
void choose_once(Build *b, Choice *c, Choose *choose);
Kernel *kernel_equation(Build *b, const Choice *c);

/* nest.c: one block of samples is all there is, and tasks are parts of the result */
bool parts_block(const Build *b, const Choice *leader);
/* nest.c: its C; for same.c, which knows those printed before */
Kernel *kernel_print(Build *b, const Choice *c);

/* move.c */
Kernel *kernel_pack(Build *b, Tensor *t, const Place *from, const Place *to);
Kernel *kernel_unpack(Build *b, Tensor *t, const Place *from, const Place *to);
Kernel *kernel_clear(Build *b, const Place *p, bool blocked);
Kernel *kernel_copy(Build *b, const Place *from, const Place *to);

/* function.c */
int kernel_arg(Kernel *k, Storage *s, bool writes); /* its position */
/* Gives the kernel its function: an old one when the text is the same. `names` are the parameters', by position. */
typedef LIST(Function *) Tiles;
void kernel_function(Build *b, Kernel *k, const char *name, const Choice *c, const char *const *names, const char *body,
                     const Tiles *tiles); /* c, whose equations stand in the comment, and tiles, which it calls, may be NULL */
/* An inline function for a kernel of this name, or an old one. `full`: with its parameters. */
Function *tile_function(Build *b, const char *name, const char *full);
/* Of "stage1.basic2.conv1.weight" only "conv1_weight": equal layers share the function. */
const char *kernel_name(Arena *a, const char *tensor);
const char *c_name(Arena *a, const char *name); /* an identifier: '.' and others become '_' */

/* common.c: after functions have been shared that need not know their numbers */
void functions_common(Functions *all, Function **every, int n); /* every one that there was */

/* phase.c */
void phases_make(Build *b);

#endif
