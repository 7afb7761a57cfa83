/* finish.h -- the first and the last words of a training. */
#ifndef NN_FINISH_H
#define NN_FINISH_H

#include "clock.h"
#include "trainer.h"

/* What is going to be trained on what: to standard error. */
void nn_show_start(Trainer *t, const Clock *c, int64_t total_steps);

/* Loads the best weights, tests them, and says on standard output what came out and what to try next. */
bool nn_show_result(Trainer *t, const Clock *c, Fault *f);

/* The metrics that the context holds, one a line or as JSON; tables as tables. */
void nn_print_metrics(Trainer *t, Split split, bool json);

#endif
