/* ahead.h -- the samples, batch by batch, made while the batch before them is computed.
 *
 *     nn_ahead_start(&ahead, p, samples, threads, f)       once; takes all memory and starts the readers
 *     nn_ahead_begin(&ahead, order, first, n, seen)        samples order[first] to order[n - 1], batch by batch
 *     fields = nn_ahead_next(&ahead, &count, f)            the next batch; it stays until the next call
 *     nn_ahead_stop(&ahead)                                until the next begin the samples and their order are the caller's
 *     nn_ahead_end(&ahead)
 *
 * Readers are threads that take the samples one after the other, in order, and read, convert and augment each into a ring
 * of a few batches; who waits for a batch helps. What a batch holds does not depend on them: with one processor, with
 * --threads=1, and where a batch takes less time than handing it over, there are none and `next` does the work itself. */
#ifndef NN_AHEAD_H
#define NN_AHEAD_H

#include "samples.h"

#include <pthread.h>

enum { NN_RING = 3, NN_MOST_READERS = 16 };

/* Who makes samples: a thread, or the caller. */
typedef struct Reader {
    struct Ahead *ahead;
    pthread_t thread;
    Room room;
    Fault fault; /* of the sample at hand */
} Reader;

typedef struct Ahead {
    const nn_program *p;
    const Samples *samples;
    int nreaders;                     /* threads */
    Reader readers[NN_MOST_READERS];
    Reader caller;
    void **ring[NN_RING];             /* a batch of each field; without a thread only the first */

    const int64_t *order;             /* of the samples; NULL: 0, 1, 2 ... */
    Seen seen;
    bool augmented;

    pthread_mutex_t lock;             /* over what follows */
    pthread_cond_t changed;
    int64_t first, next, n;           /* where it began, the first sample that nobody has taken, where it ends */
    int missing[NN_RING];             /* samples of the batch that are not made */
    int64_t taken;                    /* batches since begin that `next` was asked for */
    int64_t failed;                   /* the first sample that could not be made, or INT64_MAX */
    Fault fault;                      /* why not */
    int working;                      /* readers that are making a sample */
    bool over;                        /* they shall end */

    double waited;                    /* seconds that `next` took, since begin or since the caller set it to 0 */
} Ahead;

/* threads: as many as the trainer was told to use; 0: all. */
bool nn_ahead_start(Ahead *a, const nn_program *p, const Samples *samples, int threads, Fault *f);
/* So many threads all the same: for tests. */
bool nn_ahead_threads(Ahead *a, int n, Fault *f);
/* seen NULL: as they are. */
void nn_ahead_begin(Ahead *a, const int64_t *order, int64_t first, int64_t n, const Seen *seen);
/* NULL where a sample of the batch could not be read: the first one of which that holds, for any number of readers. */
void **nn_ahead_next(Ahead *a, int *count, Fault *f);
void nn_ahead_stop(Ahead *a);
void nn_ahead_end(Ahead *a);

#endif
