/* graph.h -- the equation graph: tensors, and equations over boxes of indices. It knows no layer.
 *
 * A graph is a list of equations in an order in which they can be carried out. Every temporary tensor is
 * the result of exactly one equation (static single assignment); inputs, parameters, states and scalars are
 * given from outside. An equation says, for every point of its box (the product of its index ranges):
 *
 *     map     out[at] = value                      each point writes a place of its own
 *     reduce  out[at] = tail(sum/max/min/prod of value over the points that write this place)
 *
 * The batch is an ordinary axis: axis 0 of every batched tensor, of size Graph.batch. The last batch of an
 * epoch is short: only samples b < count are real ("count" is a scalar tensor). Reductions over the batch
 * in the source are lowered with the guard `select(b < count, e, 0)`; everything else may compute garbage in
 * the samples that are not there, and no gradient flows out of them. */
#ifndef NNC_GRAPH_H
#define NNC_GRAPH_H

#include "base/base.h"
#include "base/diag.h"
#include "graph/ops.h"

enum { MAX_RANK = 8, MAX_BOX = 16 };

typedef struct Index {
    const char *name; /* as in the source, "o", "c"; for people only: identity is the pointer */
    int64_t size;     /* runs over 0..size-1 */
    bool batch;       /* runs over the samples */
} Index;

typedef enum {
    ROLE_INPUT,  /* a field of the batch, given by the caller: batched, sample-major */
    ROLE_PARAM,  /* trained; kept in the context */
    ROLE_STATE,  /* kept in the context, not trained */
    ROLE_SCALAR, /* a number of the training clock (see SCALARS below): rank 0 */
    ROLE_TEMP,   /* the result of an equation */
} Role;

typedef struct Tensor {
    const char *name; /* unique in its graph: "conv1.weight", "conv1.y", "d.conv1.y" */
    Role role;
    bool integer; /* holds whole numbers (class indices): int32 outside, a whole double inside */
    bool batched; /* axis 0 is the batch */
    bool wanted;  /* the graph exists to compute it: an output. Never removed, always stored */
    int64_t below; /* integer: holds 0..below-1; 0: nobody knows */
    int rank;
    int64_t size[MAX_RANK];
    int id;              /* position in Graph.tensors */
    int copies;          /* other tensors that were to have its name */
    struct Tensor *next; /* of a param or state: the temporary that replaces it after the step, or NULL */
    Span where;          /* where the source defines it */
} Tensor;

/* An operation on numbers: a row of ops.h. */
#define OP_ID(name, ...) OP_##name,
typedef enum { OPS(OP_ID) } OpId;
#undef OP_ID

typedef struct Op {
    OpId id;
    const char *name;
    int arity;
    double (*eval)(const double *args);
    const char *derivative[3]; /* text; NULL for zero */
    const char *c_vector;      /* on vectors of lanes: "%a + %b", "nn_tanh(%a)" */
    const char *c_scalar;      /* on doubles, for rank-0 code: "tanh(%a)" */
    bool whole;                /* the result is whole where the operands are: may stand in a subscript */
    bool rounds;               /* the result is whole whatever the operands are */
    bool condition;            /* the result is 1 or 0: a lane mask in vector code */
    bool dear;                 /* worth computing once outside a loop: exp, pow, div, sqrt ... */
} Op;

typedef enum {
    EXPR_NUMBER,
    EXPR_INDEX,  /* the value of an index, as a number */
    EXPR_LOAD,   /* tensor[subscripts]; a subscript is any whole-valued expression */
    EXPR_OP,     /* op(args); comparisons give 1 or 0; select(c, a, b) is a where c != 0 */
    EXPR_RESULT, /* in a tail: the finished reduction */
    EXPR_RANDOM, /* uniform in [0,1), a pure function of (seed, step, stream, arg 0): see runtime/nn_random.h */
} ExprKind;

/* Expressions are never changed once made, so they are shared: x^2 is mul(x, x) with one x. Who walks deep ones
 * marks where he was (expr_walk), or a chain of squares costs him 2^n steps. */
typedef struct Expr {
    ExprKind kind;
    bool padded;   /* EXPR_LOAD: gives 0 where a subscript is outside; else all are proved inside */
    uint8_t nargs; /* subscripts, operands, or the counter of a random number */
    union {        /* there are millions */
        double number; /* EXPR_NUMBER; EXPR_RANDOM: the stream, a whole number below 2^32 */
        Index *index;  /* EXPR_INDEX */
        Tensor *tensor; /* EXPR_LOAD */
        const Op *op;  /* EXPR_OP */
        uint64_t bits; /* any: equal in equal ones */
    };
    /* Scratch of the walk under way; slot and image mean something only while walk is its number. */
    unsigned walk;
    int slot;
    struct Expr *image;
    struct Expr *args[MAX_RANK]; /* there is memory for nargs of them only */
} Expr;

typedef enum { EQ_MAP, EQ_SUM, EQ_MAX, EQ_MIN, EQ_PROD, EQ_ARGMAX } How;

/* A layer as the user wrote it, for `info`, comments and messages. */
typedef struct Layer {
    const char *name; /* "conv1", "stage1.basic2.body1.conv1" */
    const char *call; /* "conv(6, 5, pad = 2)" */
    Span where;
    Tensor *out; /* its (first) result */
    struct Layer *parent;
} Layer;

/* A sum may scatter: several points, or none, may write a place of `out` (a sum over no points is 0). All other
 * equations write every place: maps once, reductions and sums with a tail from one point of the indices in `at`. */
typedef struct Equation {
    Tensor *out;
    Expr *at[MAX_RANK]; /* one subscript for each axis of out: an index, or affine in indices ("c*H*W + i*W + j") */
    How how;
    Expr *value;
    int nbox;
    Index *box[MAX_BOX]; /* every index of the equation, each once: those in `at` first, then the reduced ones */
    Expr *tail;          /* reductions: what is stored, over EXPR_RESULT and the indices in `at`; NULL: the result */
    Layer *layer;        /* the layer it came from, or NULL */
    Span where;
    bool backward; /* made by the gradient */
    bool padded;   /* EQ_SUM, EQ_MAP: points whose place is outside of `out` are dropped (the gradient of a padded load; tiles
                    * that reach over the edge) */
} Equation;
/* EQ_ARGMAX gives the position of the first largest value, counted row-major over the reduced indices. */

/* A hand-written derivative (`grad z = ...` in the source): equations made before the gradients exist. While the
 * reverse sweep passes over equations first..last-1, they contribute nothing to `in`; instead `equations` are
 * appended, in which `dout` stands for the gradient of `out`, and `din` is a contribution to the gradient of `in`.
 * Other tensors read by first..last-1 (parameters) get their gradients in the ordinary way unless listed too. */
typedef struct CustomGrad {
    int first, last;
    Tensor *in, *out;
    Tensor *dout, *din;
    LIST(Equation *) equations;
} CustomGrad;

typedef struct Graph {
    Arena *arena;
    const char *name; /* "step", "eval", "predict", "prepare", "init", "report" */
    int64_t batch;
    bool single; /* of one sample: no batch axis; inputs and wanted tensors are the caller's as they are (single.c) */
    LIST(Tensor *) tensors;
    LIST(Equation *) equations;
    LIST(CustomGrad *) customs;
    Names names; /* tensor ids */
} Graph;

/* The scalars a graph may read: tensors of ROLE_SCALAR with these names. Kept as doubles in the context, set by
 * the training loop. X(name, what) */
#define SCALARS(X)                                                                             \
    X(count, "samples in this call")                                                           \
    X(total, "samples in the whole step, over all its accumulated calls")                      \
    X(last, "1 if this call ends the step (always, unless gradients accumulate)")              \
    X(steps, "the number of this step, from 1")                                                \
    X(epoch, "the number of this epoch, from 1")                                               \
    X(steps_per_epoch, "steps in one epoch")                                                   \
    X(total_steps, "steps in the whole training")                                              \
    X(base_lr, "learning rate as given, before the schedule")                                  \
    X(valid_loss, "loss on the validation split after the epoch before, or inf")               \
    X(seed, "the seed of all randomness")

/* --- making graphs (graph.c) --- */
Graph *graph_new(Arena *a, const char *name, int64_t batch);
/* Sizes are copied. For batched tensors size[0] is the batch. The name is made unique by appending .2, .3 ... */
Tensor *graph_tensor(Graph *g, const char *name, Role role, int rank, const int64_t *size);
Tensor *graph_find(const Graph *g, const char *name); /* or NULL */
Tensor *graph_scalar(Graph *g, const char *name);     /* the ROLE_SCALAR tensor, made when first asked for */
Index *index_new(Arena *a, const char *name, int64_t size);
Index *index_batch(Graph *g); /* a fresh index over the samples */
/* Appends `out[at] how= value`; the box is collected from `at`, then from `value`. */
Equation *graph_equation(Graph *g, Tensor *out, Expr *const *at, How how, Expr *value);
int64_t tensor_count(const Tensor *t); /* product of its sizes */
/* The equation that makes t, or NULL: a search. For many, ask for all at once: an array by tensor id. */
Equation *graph_maker(const Graph *g, const Tensor *t);
Equation **graph_makers(const Graph *g);
/* Fills q->box from `at` and `value`; for those who write equations by hand or change them. */
void equation_collect_box(Equation *q);
/* How many of the box's indices stand in `at`; they come first. */
int equation_outer(const Equation *q);
/* The indices in `at` meet every place of `out` once, those outside aside; what is no scattering sum must. */
bool equation_covers(const Equation *q);
bool equation_scatters(const Equation *q);
/* A copy that shares nothing changeable: passes may change it and leave g alone. Tensors keep their ids. Layers are
 * shared and go on pointing into g. */
Graph *graph_copy(const Graph *g, const char *name);

/* --- expressions (expr.c) --- */
const Op *op_find(const char *name); /* NULL when there is none */
const Op *op_at(int i);              /* i-th of the table, NULL past its end */
Expr *expr_number(Arena *a, double x);
Expr *expr_index(Arena *a, Index *i);
Expr *expr_load(Arena *a, Tensor *t, Expr *const *subscripts, bool padded);
Expr *expr_scalar(Arena *a, Tensor *t); /* load of a rank-0 tensor */
Expr *expr_result(Arena *a);
Expr *expr_random(Arena *a, uint32_t stream, Expr *counter);
/* Folds constants and the identities that hold for all floats (x*1, x+0 for an index, select of a constant), and
 * pow with a small constant exponent into products and roots. Where a condition is wanted (and, or, not, the first
 * operand of select), a number x becomes ne(x, 0). `name` must be in the table. Unused operands NULL. */
Expr *expr_op(Arena *a, const char *name, Expr *x, Expr *y, Expr *z);
/* The same expression with indices and tensors replaced; maps may be NULL. */
typedef struct Rename {
    int nindex;
    Index *from[MAX_BOX];
    Expr *to[MAX_BOX];   /* what stands for from[i] */
    Expr *result;        /* what stands for EXPR_RESULT, or NULL */
    Tensor *old, *fresh; /* a tensor to be replaced, or NULL */
} Rename;
Expr *expr_rename(Arena *a, Expr *e, const Rename *r);
Expr *expr_with_tensors(Arena *a, Expr *e, Tensor *const *by_id); /* each tensor t replaced by by_id[t->id] */
bool expr_same(const Expr *a, const Expr *b);
bool expr_whole(const Expr *e); /* surely a whole number: may be a subscript */
bool expr_has_index(const Expr *e, const Index *i);
bool expr_is(const Expr *e, OpId op);              /* e is op(...) */
bool expr_is_number(const Expr *e, double x);
bool expr_is_condition(const Expr *e);             /* a comparison, and, or, not */
Expr *expr_apply(Arena *a, const Op *op, Expr *const *args); /* expr_op for who has the operation at hand */
/* d op(args) / d args[i], y standing for the result; NULL for zero. (ops.c) */
Expr *op_derivative(Arena *a, const Op *op, int i, Expr *const *args, Expr *y);
/* A fresh number for a walk: visited nodes are those with e->walk == it. One walk at a time. */
unsigned expr_walk(void);

/* e = offset + sum of coef[k] * index[k], if it is that. */
typedef struct Affine {
    int n;
    Index *index[MAX_BOX];
    int64_t coef[MAX_BOX];
    int64_t offset;
} Affine;
bool expr_affine(const Expr *e, Affine *out);
int64_t affine_coef(const Affine *f, const Index *i); /* 0 when i is not in it */
Expr *affine_expr(Arena *a, const Affine *f); /* c*144 + i*12 + j + 3 */
/* f = d*q + r with 0 <= r < d for all values of the indices, if the terms fall apart like that. */
bool affine_divide(const Affine *f, int64_t d, Affine *q, Affine *r);
/* No two points of the box have the same subscripts: surely. */
bool subscripts_injective(Expr *const *at, int rank, Index *const *box, int nbox);
/* Every index's range is what `size` says and each stands once, alone: one point for every element of a tensor. */
bool subscripts_plain(Expr *const *at, int rank, const int64_t *size);
/* Smallest and largest value of a whole-valued expression over its indices' ranges; false if it cannot tell. */
bool expr_range(const Expr *e, int64_t *low, int64_t *high);

/* --- text (print.c): what --emit=graph shows, and the comments above generated loops --- */
void expr_print(Text *t, const Expr *e);
void equation_print(Text *t, const Equation *q); /* "y[b,o,i,j] = tanh(sum[c,p,q] w[o,c,p,q] * x[b,c,i+p,j+q] + bias[o])" */
void graph_print(Text *t, const Graph *g);

/* --- checks and oracle --- */
void graph_verify(const Graph *g, const char *after); /* bug() when an invariant is broken; names the pass */

/* The interpreter (interp.c): everything in double, no cleverness. `data[id]` holds tensor_count doubles for each
 * tensor; inputs, params, states and scalars are filled by the caller, temporaries by the run; states and
 * params keep their old values (the new ones are in data[t->next->id]). */
typedef struct Run {
    const Graph *graph;
    double **data;   /* by tensor id; allocated by run_new */
    int64_t samples; /* only the first so many of the batch are computed; run_new says all */
} Run;
Run *run_new(Arena *a, const Graph *g);
void run_graph(Run *r);
void run_equation(Run *r, const Equation *q);

/* --- passes over one graph, each one file --- */
/* Appends the derivative of the rank-0 tensor `loss` by each of `of[i]` and returns the gradient tensors in `grad[i]`
 * (NULL where the loss does not depend on it). Linear in the graph. Two tensors may have the same gradient, and a
 * gradient may be read by others: it is a result like any. (gradient.c) */
void graph_gradient(Graph *g, Tensor *loss, int n, Tensor *const *of, Tensor **grad);
void graph_gather(Graph *g);   /* turns scattering sums round: every output element is written by its own sum (gather.c) */
void graph_simplify(Graph *g); /* algebra, conditions that ranges decide, equal equations computed once (simplify.c) */
void graph_hoist(Graph *g);    /* scalar subexpressions without indices get equations of their own (hoist.c) */
void graph_fuse(Graph *g);     /* maps into their readers, maps into the tails of reductions (fuse.c) */
void graph_channels(Graph *g); /* of one sample: channels last, and those of the weights (channels.c) */
void graph_panels(Graph *g);   /* of one sample: weights laid out as sums read them (panels.c) */
void graph_winograd(Graph *g); /* 3 x 3 windows with fewer multiplications (winograd.c) */
void graph_drop_dead(Graph *g);/* equations nobody wants (dead.c) */
/* The graph of one sample without its batch axis, or NULL where samples meet; g stays as it is. (single.c) */
Graph *graph_single(const Graph *g, const char *name);

#endif
