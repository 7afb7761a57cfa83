/* check_gradients.h -- derived gradients compared with differences of the loss, in double. */
#ifndef NNC_CHECK_GRADIENTS_H
#define NNC_CHECK_GRADIENTS_H

#include "graph/program.h"

/* What became of one parameter. Small ones are compared element by element, large ones in some elements and along
 * random directions. */
typedef struct GradientRow {
    const char *name;
    int64_t elements;
    int compared;            /* elements and directions */
    double worst;            /* the largest difference, relative to the size of the gradient */
    double derived, numeric; /* there */
    int64_t element;         /* there; -1 is a random direction */
    bool unused;             /* the loss does not depend on it */
    bool by_hand;            /* a hand-written derivative lies between: it need not agree */
    bool good;
} GradientRow;

typedef struct GradientCheck {
    double loss;
    int samples;
    LIST(GradientRow) rows;
    bool good; /* all rows are, and the loss is finite */
} GradientCheck;

/* The gradient of tensor `loss` of graph step by every parameter that is not frozen. Parameters and states start as
 * graph init draws them, inputs and labels are drawn from `seed`; both are the graphs as check() leaves them, before
 * any pass. A graph without init (tests) starts from random parameters. */
GradientCheck *check_gradients(Arena *a, const Program *p, uint64_t seed);
void gradient_check_print(Text *t, const GradientCheck *c); /* the table for people, a line a parameter */

#endif
