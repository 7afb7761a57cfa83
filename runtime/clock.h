/* clock.h -- where a training stands: everything that a resumed one must know beside the tensors. */
#ifndef NN_CLOCK_H
#define NN_CLOCK_H

#include "checkpoint.h"
#include "settings.h"

enum { NN_MAX_METRICS = 64 };

typedef struct Clock {
    int64_t restart;      /* 0, 1, ...: the seed is settings.seed + restart */
    int64_t epoch, step;  /* epochs done in this restart; updates done in this epoch */
    int64_t steps;        /* updates done in this restart */
    int64_t rows;         /* of the log */
    int64_t phase, first_epoch, first_step; /* the phase of the training; epochs and steps done when it began */
    int64_t finished;     /* 1: nothing is left to do */
    int64_t validating;   /* 1: the updates of this epoch are done, `train` holds their metrics */
    int64_t target;       /* 1: a condition to stop is met */
    double seconds;       /* of everything so far */
    double first_second;  /* of them when the phase began */
    double trained_seconds, trained_samples; /* updates only */
    double epoch_seconds, train_seconds;     /* this epoch: all of it, and its updates */
    double waiting_seconds;                  /* of its updates: for the data */
    double valid_loss, lr;
    int64_t has_best, best_epoch, best_restart;
    double best;
    double stop_best[NN_MAX_STOPS];   /* what patience compares with, and since when */
    int64_t stop_epoch[NN_MAX_STOPS];
    double train[NN_MAX_METRICS];
} Clock;

/* As notes of a checkpoint, each with a comma before it. */
void nn_clock_write(const nn_program *p, const Settings *s, const Clock *c, Text *notes);
bool nn_clock_read(const nn_program *p, const Settings *s, const Checkpoint *from, Clock *c, Fault *f);

/* A new restart begins: what was best stays. */
void nn_clock_restart(Clock *c, int64_t restart);

/* The next phase begins: what was best stays, and what the conditions to stop look at starts anew. */
void nn_clock_phase(Clock *c);

/* Whether `value` is better than `than`. */
bool nn_monitor_better(const Monitor *m, double value, double than);

/* The end of an epoch: counts it, remembers the best and what the conditions to stop need. True if this epoch is
 * the best so far. `train` and `valid` are the metrics; valid is NULL without validation. */
bool nn_clock_epoch(Clock *c, const Settings *s, const double *train, const double *valid);

/* Why this phase of the restart is over, or NULL if it goes on. */
const char *nn_clock_over(const Clock *c, const Settings *s);

#endif
