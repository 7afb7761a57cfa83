/* checkpoint.h -- the state of a training as one safetensors file, and back.
 *
 * Parameters and buffers stand under their own names, what the optimizer keeps under "optimizer.", sums of an
 * epoch that is not over under "metric."; everything else is notes in the metadata. */
#ifndef NN_CHECKPOINT_H
#define NN_CHECKPOINT_H

#include "file.h"
#include "nn.h"
#include "safetensors.h"

typedef enum {
    KEEP_WEIGHTS, /* parameters and buffers: all that eval and predict need */
    KEEP_STATE,   /* and what the optimizer keeps */
    KEEP_SUMS,    /* and the sums of the running epoch */
} Keep;

/* A checkpoint read from a file. */
typedef struct Checkpoint {
    const char *path;
    Bytes bytes;
    SafeTensors st;
} Checkpoint;

/* sources has room for p->ntensors. */
bool nn_checkpoint_build(const nn_program *p, const void *ctx, Keep keep, const char *notes, StSource *sources,
                         StImage *image, Fault *f);

/* Reads and checks the file; `path` must outlive it. */
bool nn_checkpoint_open(const char *path, Checkpoint *c, Fault *f);
void nn_checkpoint_close(Checkpoint *c);

/* Copies the tensors into the context: every one that `keep` names must be there with its shape, and there must
 * be none that the model does not know. Nothing is copied unless all is right. */
bool nn_checkpoint_load(const nn_program *p, const Checkpoint *c, Keep keep, void *ctx, Fault *f);

/* Copies the weights of one layer of the model, `into`, or of all of it (NULL), from a file that has them under another
 * name: `from`, or NULL for the one that fits. What else is in the file does not matter. */
bool nn_checkpoint_fill(const nn_program *p, const Checkpoint *c, const char *into, const char *from, void *ctx, Fault *f);

/* Notes, and a fault where they are missing or no number. */
bool nn_checkpoint_number(const Checkpoint *c, const char *key, double *number, Fault *f);
bool nn_checkpoint_count(const Checkpoint *c, const char *key, int64_t *count, Fault *f);

/* The first parameter or buffer with an element that is inf or nan; NULL: all are finite. */
const nn_tensor *nn_tensor_not_finite(const nn_program *p, const void *ctx);

/* A number that changes when the model, its options or its training change. */
uint32_t nn_program_fingerprint(const nn_program *p);

#endif
