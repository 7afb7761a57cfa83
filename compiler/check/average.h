/* average.h -- see average.c. */
#ifndef NNC_AVERAGE_H
#define NNC_AVERAGE_H

#include "check/value.h"

typedef struct Average {
    int n;
    Tensor **weight;   /* given: params of the step */
    Tensor **trained;  /* states */
    Tensor **now;      /* what takes the place of the weights in the step */
    const Node *share; /* as written */
} Average;

/* Before the gradient: `setting` is `ema = ...`. False after an error. */
bool average_open(Checker *c, Frame *f, const Node *setting, Average *a);
/* After the optimizer, which gave each `now` its next value. */
bool average_close(Checker *c, Frame *f, const Average *a);

#endif
