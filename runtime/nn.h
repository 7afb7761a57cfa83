/* nn.h -- the runtime that trainers link with: data, training loop, checkpoints, the command line.
 *
 * A trainer is three pieces of C: model.c (the network, embeddable, knows nothing of this header), main.c (made by
 * nnc: describes the model in an nn_program and hands it to nn_main) and this library. Anyone may write such a
 * main.c by hand for a network of their own. */
#ifndef NN_H
#define NN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { NN_MAX_RANK = 8 };

/* What init, step ... return. */
enum { NN_OK = 0, NN_EARGUMENT = 1, NN_EFORMAT = 2, NN_ENOTFINITE = 3, NN_ECPU = 4 };

typedef enum { NN_PARAM, NN_BUFFER, NN_OPTIMIZER, NN_METRIC } nn_kind;

/* A tensor kept in the context. Its elements are floats (rank 0: one double), rows row-major; the last axis may be
 * padded: element (i, j) of a matrix is at i * row + j. */
typedef struct nn_tensor {
    const char *name; /* "conv1.weight", PyTorch's naming */
    nn_kind kind;
    int rank;
    int64_t shape[NN_MAX_RANK];
    int64_t row;      /* floats from one row (last axis) to the next; rank 0 and 1: unused */
    size_t offset;    /* bytes from the start of the context */
    bool frozen;
    int line;         /* of the .nn file */
} nn_tensor;

/* A part of a sample: what a reader delivers and a model takes. */
typedef struct nn_field {
    const char *name;
    int rank;
    int64_t shape[NN_MAX_RANK]; /* of one sample */
    int classes;                /* > 0: int32_t class index below this; 0: floats */
    bool label;                 /* needed to train and to evaluate, not to predict */
    int line;
} nn_field;

/* What the loss wants of each sample: where it is not so, that sample's loss is -inf. */
typedef struct nn_demand {
    const char *loss, *text; /* "hinge", "it wants the targets -1 and 1" */
    const char *field;       /* that it is about, or NULL */
    bool transformed;        /* it is about what the data section makes of the field */
    int line, column;
} nn_demand;

/* A result of predict (floats), or a metric of report (doubles). */
typedef struct nn_output {
    const char *name;
    int rank;
    int64_t shape[NN_MAX_RANK];
    size_t offset; /* metrics: bytes from the start of the context, doubles, valid after report */
    bool higher_is_better;
    bool probabilities;
    const char *const *columns; /* metrics: the names of the last axis' elements, or NULL */
} nn_output;

/* A state that is a statistic of the training split, along axis 0 of output number `output` of prepare. */
typedef struct nn_measured {
    int tensor; /* index into tensors */
    int output; /* index into the outputs of prepare */
    bool deviation; /* false: mean; true: standard deviation with n - 1, and 1 where that is 0 */
} nn_measured;

typedef struct nn_layer {
    const char *name, *call; /* "conv1", "conv(6, 5, pad = 2)" */
    int rank;
    int64_t shape[NN_MAX_RANK]; /* of the result, one sample */
    int64_t weights;
    int64_t operations; /* floating-point operations of one sample, forward */
    int depth, line;
} nn_layer;

/* A setting of the .nn file, evaluated. */
typedef enum { NN_NUMBER, NN_TEXT, NN_WORD, NN_BOOL, NN_PERCENT, NN_DURATION, NN_LIST, NN_CALL } nn_value_kind;
typedef struct nn_value {
    nn_value_kind kind;
    double number;     /* PERCENT: 20 for 20% */
    const char *text;  /* TEXT, WORD; DURATION: "epochs" "steps" "samples" "seconds"; CALL: what is called */
    int n;
    const struct nn_value *parts;
    const char *const *names; /* CALL: names of the parts, NULL for positional ones */
} nn_value;
typedef struct nn_setting {
    const char *name;
    nn_value value;
    const char *text; /* as written */
    int line, column; /* of the value */
} nn_setting;

/* Positions in scalars(): the clock of the training. The trainer sets them before each step; step advances
 * NN_STEPS and writes NN_LR. An update of the weights is one step, or `accumulate` of them: NN_STEPS,
 * NN_STEPS_PER_EPOCH and NN_TOTAL_STEPS count updates, so the trainer sets NN_STEPS back before each part of one. */
enum {
    NN_COUNT,           /* samples of this call */
    NN_TOTAL,           /* samples of the whole update: the loss is divided by it */
    NN_LAST,            /* 1: this call ends the update; 0: it only accumulates */
    NN_STEPS,           /* updates done; inside step: counted from 1 */
    NN_EPOCH,           /* counted from 1 */
    NN_STEPS_PER_EPOCH,
    NN_TOTAL_STEPS,
    NN_BASE_LR,
    NN_VALID_LOSS,      /* of the epoch before (the training loss where there is no validation); inf in the first */
    NN_SEED,
    NN_LR,              /* written by step: the learning rate it used */
    NN_SCALARS
};

/* A part of the training: what is learnt, and how, may change from one to the next. */
typedef struct nn_phase {
    const char *name;
    int (*step)(void *ctx, const void *const *fields, int n);
    int ntrain;
    const nn_setting *train;
} nn_phase;

/* A kernel of a step, for `bench`. The last of a list has no name and stands for what lies behind the others' code. */
typedef struct nn_kernel {
    const char *name;
    int line;            /* of the .nn file, 0: none */
    int calls;           /* in one step */
    double operations;   /* of floating point, of these calls with a full batch */
    void (*code)(void);
} nn_kernel;

/* Fields are passed as one pointer each, in the order of `fields`: samples x shape, row-major, floats or int32_t.
 * n is at most `batch`. Every function returns NN_OK or an error above. */
typedef struct nn_program {
    const char *name, *source, *directory; /* model; path of the .nn file; where it was compiled: data paths in it are relative to its file */
    const char *version, *target;          /* of nnc; processor it was built for */
    size_t bytes, align, predict_bytes, prepare_bytes;
    int batch;

    int ntensors, nfields, ndemands, noutputs, nmetrics, nmeasured, nprepared, nlayers;
    const nn_tensor *tensors;
    const nn_field *fields; /* inputs first, then labels */
    const nn_demand *demands;
    const nn_output *outputs, *metrics, *prepared; /* metrics[0] is the loss */
    const nn_measured *measured;
    const nn_layer *layers;
    int noptions, ndata, ntrain;
    const nn_setting *options, *data, *train; /* data[0] is "source", an NN_CALL */

    double *(*scalars)(void *ctx);
    int (*init)(void *ctx, uint64_t seed);
    int (*step)(void *ctx, const void *const *fields, int n);
    int (*eval)(void *ctx, const void *const *fields, int n);
    int (*reset)(void *ctx);  /* metric sums to zero */
    int (*report)(void *ctx); /* metric sums to metrics */
    int (*predict)(const void *ctx, void *scratch, const void *const *fields, int n, float *const *outputs);
    int (*prepare)(const void *ctx, void *scratch, const void *const *fields, int n, float *const *outputs);
    const char *plan; /* the memory plan, as --emit=plan prints it */
    const char *data_name; /* of the data section, "digits"; NULL: none */
    int nphases; /* 0: the training has one part only; else step and train are those of the first phase */
    const nn_phase *phases;
    const nn_kernel *kernels;       /* NULL: bench tells nothing of kernels */
    float (*multiply_add)(long n);  /* n times `operations`, at the processor's peak */
    double operations;
} nn_program;

/* Settings of the train section that the trainer carries out itself; a condition arrives as a call:
 *
 *     stop = patience(3 epochs)         CALL patience(DURATION)
 *     stop = errors == 0                CALL "=="(WORD errors, NUMBER 0); the same for < <= > >=
 *     stop = 30 minutes                 DURATION of 1800 "seconds"
 *     checkpoint = best(valid.accuracy) CALL best(WORD valid.accuracy)
 *
 * A LIST stops at the first of its conditions. */

/* The whole command line of a trainer: train, resume, eval, predict, export, info, check-gradients.
 * Returns the exit status. */
int nn_main(const nn_program *p, int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
