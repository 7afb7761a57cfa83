/* loops.h -- graphs become loop nests: how every tensor lies in memory, which index runs over the sixteen lanes,
 * which block of the result stays in registers, what runs in parallel, and the C of every kernel.
 *
 * One mechanism for every equation. Each index of its box has a role that follows from where it stands and from
 * sizes; a cost estimate chooses the lane and the register tile. There is no convolution or matrix product here.
 *
 *     layout.c  storages: strides, halos, rows, and tensors that are another one's bytes
 *     replace.c next values in the place of old ones
 *     turn.c    weights copied with another axis last
 *     choose.c  roles of indices, the lane
 *     block.c   sums over samples, of each block by itself
 *     group.c   equations that are carried out together, point by point
 *     bounds.c  sums that stay where padded loads are inside
 *     strip.c   kernels that run in turn, strip by strip
 *     tile.c    the register tile
 *     walk.c    in which order the tiles are visited
 *     nest.c    the loops of one equation, printed; reduce.c, sums.c, scatter.c what is inside
 *     value.c   expressions on lanes or on doubles; load.c, address.c what they begin with
 *     roll.c      statements that repeat with other numbers, as a loop
 *     function.c  kernels as functions, equal ones shared
 *     parts.c     one inline function for parts of a result that differ in numbers
 *     share.c     one function for kernels that differ in numbers; form.c knows what differs
 *     common.c    one text for kernels that must know the numbers in which they differ
 *     same.c      equal equations found before they are printed
 *     move.c    packing, unpacking, clearing halos, copying
 *     phase.c   what must wait for what, which kernels run block by block, lives of storages
 *     loops.c   the door, and the text of --emit=loops
 *
 * Memory. Floats unless integer (int32_t); a rank-0 unbatched tensor is one double.
 *
 *     ORDER_LANES   batched: [blocks of 16 samples][axes, each with a halo of zeros below and above][16]
 *     ORDER_ROWS    [axes], row-major; batched: one row of axes a sample. In a graph of one sample with halos, and with
 *                   room behind the end for vectors that run over it
 *     ORDER_DOUBLE  one double
 *
 * Kernels are static C functions  void NAME(pointers..., numbers..., [long n,] long first, long end)  that carry
 * out tasks first..end-1, where n is the number of samples in this call; or, block by block,
 * void NAME(pointers..., numbers..., [long n,] [long block,] [long strip]). Any split of the tasks or blocks over threads gives the
 * same bits: a task writes outputs of its own and holds every sum it needs. */
#ifndef NNC_LOOPS_H
#define NNC_LOOPS_H

#include "graph/program.h"

enum { LANES = 16, MAX_ARGS = 128, MAX_NUMBERS = 8, MAX_LOOPS = 20 };

typedef enum { ORDER_LANES, ORDER_ROWS, ORDER_DOUBLE } Order;

/* Element (i0, i1, ...) is at origin + sum of i[a] * stride[a], in elements; in lanes i0 is the block, and the
 * lane is added. */
typedef struct Layout {
    Order order;
    bool integer;
    int rank; /* of the tensor, the batch axis counted */
    int64_t size[MAX_RANK];
    int64_t stride[MAX_RANK];
    int64_t low[MAX_RANK], high[MAX_RANK]; /* halo; never on the batch axis */
    int64_t origin;
    int64_t count; /* elements in all, halo and padding included; a multiple of 16 in lanes and for kept tensors */
} Layout;

/* The layout of a parameter or state: it depends on nothing but its sizes, so all graphs agree. stride[rank - 2] is
 * nn_tensor.row. Rows of 256, 512, ... floats get 16 more: equal columns must not share a set of the cache. */
void layout_kept(Layout *l, int rank, const int64_t *size, bool integer);
/* Floats and int32_t take 4 bytes, doubles 8. */
int64_t layout_bytes(const Layout *l);

typedef enum {
    STORAGE_FIELD,  /* the caller's input: ORDER_ROWS, n samples and not one more */
    STORAGE_OUTPUT, /* the caller's result, likewise */
    STORAGE_KEPT,   /* a parameter or state in the context, found by `name` */
    STORAGE_SCALAR, /* a number of the training clock, found by `name`: a double */
    STORAGE_WORK,   /* between kernels; given a place by plan */
} StorageKind;

typedef struct Storage {
    const char *name; /* of its first tensor; a second form of the same tensor has " (rows)" or " (lanes)" after it */
    StorageKind kind;
    Tensor *tensor;   /* the first tensor kept here */
    Layout layout;
    int id;           /* position in Loops.storages */
    int first, last;  /* STORAGE_WORK: its life in Kernel.time; two may share bytes when their lives do not meet */
    int phase;        /* STORAGE_WORK: the phase of blocks it lives in alone: each thread has room for one block of it, used
                       * for block after block, and its life counts in Loops.kernels; or -1 */
    bool wanted;      /* a result of the graph: read after the run, so last is INT_MAX */
    int field;        /* STORAGE_FIELD: position in Program.fields; STORAGE_OUTPUT: in Program.outputs (predict), or the
                       * position among the wanted batched tensors of the graph (prepare) */
} Storage;

typedef enum {
    LOOP_PARALLEL, /* its steps are tasks */
    LOOP_SERIAL,
    LOOP_TILE,     /* unrolled, held in registers */
    LOOP_LANE,     /* runs over the sixteen lanes */
    LOOP_REDUCE,
    LOOP_STRIP,    /* outside of the kernel, which is called for one step */
} LoopRole;

typedef struct Loop {
    const Index *index;
    int64_t size;
    int64_t tile; /* > 1: stepped by this, the steps inside unrolled (LOOP_TILE) */
    LoopRole role;
} Loop;

typedef enum {
    LANE_SAMPLES,     /* the batch, which is in the output: nothing is packed, every load is aligned */
    LANE_SAMPLES_SUM, /* the batch, which is reduced: one horizontal sum at the end */
    LANE_AXIS,        /* an index of the output whose neighbours are neighbours in memory */
    LANE_AXIS_SUM,    /* a reduced index, likewise: one horizontal sum at the end */
    LANE_NONE,        /* scalar code in double */
} LaneKind;

typedef enum { KERNEL_EQUATION, KERNEL_PACK, KERNEL_UNPACK, KERNEL_CLEAR, KERNEL_COPY } KernelKind;

/* In the text of a function: the prefix of all functions' names. */
#define TILE_MARK '@'

/* One C function; kernels with the same text share it. */
typedef struct Function {
    const char *name; /* unique in the program, without the model's prefix */
    const char *text; /* comment (equation, file:line) and definition, ends in a newline */
    const char *body; /* what makes it equal to another: the text without comment and name */
    uint32_t hash;    /* of body */
    int uses;
    bool is_tile;             /* an inline function that kernels call (parts.c), by its name behind a TILE_MARK */
    int ntiles;
    struct Function **tile;   /* those that it calls */
    struct Function *shared; /* the one called instead, with these numbers (share.c), or NULL */
    int nsizes, nreals;
    int64_t *size;
    const char **real; /* doubles, as C writes them */
    int which;         /* of the constants of a function in common (common.c) */
} Function;

typedef struct Kernel {
    KernelKind kind;
    Equation *equation; /* or NULL */
    Function *function;
    int nargs;
    Storage *arg[MAX_ARGS]; /* pointers, in the order of the parameters */
    bool writes[MAX_ARGS];  /* else const */
    int nnumbers;
    uint32_t number[MAX_NUMBERS]; /* then these, as uint32_t: streams of random numbers */
    bool blocked;           /* carries out one block of samples; else tasks */
    bool at_block[MAX_ARGS]; /* blocked: the pointer is to the block's own numbers, not to those of the first */
    bool takes_n;           /* then `long n` */
    bool takes_block;       /* then `long block` */
    const char *strip;      /* then a long of this name: the step of an index; or NULL */
    int64_t strips;         /* steps, of the first of some kernels that run one after the other for each step; else 0 */
    int in_turn;            /* so many kernels: this one and those that follow it */
    int64_t tasks;          /* 1 when blocked */
    int threads;            /* more than this are not worth their synchronisation (1 = serial) */
    int time;               /* see Storage.first */

    /* what was chosen, for --emit=loops and the bench */
    LaneKind lane;
    const Index *lane_index;
    int nloops;
    Loop loop[MAX_LOOPS];
    double flops, bytes;  /* of a full batch */
    const char *why;
    const struct Choice *choice; /* of an equation */
} Kernel;

/* Kernels that run without waiting for each other. Between phases: a barrier. */
typedef enum {
    PHASE_BLOCKS, /* all kernels are blocked, and each needs only its own block of the others: a thread takes its share of
                   * the (n + 15) / 16 blocks and runs all the kernels for one block before the next */
    PHASE_TASKS,  /* independent kernels: of each, a thread carries out its share of the tasks */
    PHASE_SERIAL, /* one thread runs them in order */
} PhaseKind;

typedef struct Phase {
    PhaseKind kind;
    int first, count; /* in Loops.kernels */
    int threads;      /* the largest of its kernels' */
} Phase;

typedef struct Loops {
    Graph *graph;
    LIST(Storage *) storages; /* those that some kernel uses or somebody wants */
    LIST(Kernel *) kernels;   /* in the order in which they run */
    LIST(Phase) phases;
    int threads;              /* 1: too little work for a parallel region: no OpenMP at all */
    double flops, bytes;      /* of a full batch */
    double cycles;            /* a rough estimate: of one block of samples, or of the one */
    struct Place *rows, *lanes; /* for loops_storage */
} Loops;

/* Functions of the whole program, shared between its graphs. */
typedef struct Functions {
    Arena *arena;
    LIST(Function *) list;
    Names names; /* of all that are or were in the list */
    struct Descriptions *descriptions; /* what they were printed for (same.c) */
} Functions;

/* The graph after graph_fuse; it is not changed, but the kernels point into it (and into a copy of it). p tells which
 * wanted tensors are kept ones (init) and which are the caller's (fields, outputs). */
Loops *loops_make(Arena *a, const Program *p, const Graph *g, Functions *f);
/* What a call of the kernel looks like: "conv1_y(" args and numbers "n, first, end)", or "n, block, strip)" with variables `block` and
 * `strip` at hand. `pointer` prints the expression for a storage, with the right type: const float *, float *, int32_t * or double *. */
typedef void StoragePointer(Text *t, const Storage *s, void *user);
void kernel_call(Text *t, const Kernel *k, const char *prefix, StoragePointer *pointer, void *user, const char *n,
                 const char *first, const char *end);
/* What the functions need beside nn_vec.h, nn_math.h and nn_random.h: to be printed once, after them. */
void loops_prelude(Text *t);
/* The definition with its prefix: "NN_KERNEL void lenet5_conv1_y(...)"; NN_KERNEL, of the prelude, is a static one. */
void function_print(Text *t, const Function *f, const char *prefix);
/* When all graphs have their kernels: functions of one form become one with parameters. */
void functions_share(Functions *f);
/* --emit=loops. */
void loops_print(Text *t, const Loops *l);
/* The storage of a tensor of the graph, or NULL when nobody reads or wants it. */
Storage *loops_storage(const Loops *l, const char *tensor);
/* Of one block of sixteen samples. */
int64_t storage_block_bytes(const Storage *s);
const char *element_type(const Storage *s); /* "float", "int32_t" or "double" */

/* What the loops need to know of a processor. One row each; chosen by --target-cpu. */
typedef struct Machine {
    const char *name;
    int registers;   /* of sixteen floats that may hold sums */
    int64_t l1, l2;  /* bytes */
    double gflops;   /* of one core, a rough figure: decides between one thread and several */
    double gbytes;   /* memory traffic of one core */
} Machine;
extern const Machine *loops_machine; /* AVX-512 unless set */
const Machine *machine_find(const char *target); /* "x86-64-v3", ...; the nearest row, never NULL */

#endif
