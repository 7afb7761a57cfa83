/* ahead.h -- the batches of an epoch, assembled while the step before them runs.
 *
 *     nn_ahead_start(&ahead, p, samples, threads, f)       once; takes all memory and starts the reader's thread
 *     nn_ahead_begin(&ahead, order, first, n, seen)        samples order[first] to order[n - 1], batch by batch
 *     fields = nn_ahead_next(&ahead, &count)               the next batch; it stays until the next call
 *     nn_ahead_stop(&ahead)                                until the next begin the samples and their order are the caller's
 *     nn_ahead_end(&ahead)
 *
 * The reader gathers, converts and augments into a ring of a few batches. What a batch holds does not depend on it:
 * with one processor, with --threads=1, and where a batch takes less time than handing it over, there is no thread
 * and `next` does the work itself. */
#ifndef NN_AHEAD_H
#define NN_AHEAD_H

#include "samples.h"

#include <pthread.h>

enum { NN_RING = 3 };

typedef struct Ahead {
    const nn_program *p;
    Samples *samples;
    bool threaded;
    void **ring[NN_RING]; /* a batch of each field; without a thread only the first */
    int count[NN_RING];

    const int64_t *order; /* of the samples of this epoch */
    int64_t next, n;      /* the first sample that is not assembled; where they end */
    Seen seen;

    pthread_t thread;
    pthread_mutex_t lock; /* over what follows, and over `next` and `n` */
    pthread_cond_t changed;
    int64_t made, taken;  /* batches since begin: assembled, and handed out */
    bool working, over;   /* the reader assembles one; it shall end */

    double waited;        /* seconds that `next` took, since the caller last set it to 0 */
} Ahead;

/* threads: as many as the trainer was told to use; 0: all. */
bool nn_ahead_start(Ahead *a, const nn_program *p, Samples *samples, int threads, Fault *f);
/* A thread all the same: for tests. */
bool nn_ahead_thread(Ahead *a, Fault *f);
void nn_ahead_begin(Ahead *a, const int64_t *order, int64_t first, int64_t n, const Seen *seen);
void **nn_ahead_next(Ahead *a, int *count);
void nn_ahead_stop(Ahead *a);
void nn_ahead_end(Ahead *a);

#endif
