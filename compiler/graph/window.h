/* window.h -- a sum over channels and a window of 3 x 3, found in an equation; see winograd.c for how it looks. */
#ifndef NNC_WINDOW_H
#define NNC_WINDOW_H

#include "graph/transform.h"

/* The equation as a window, by the roles of its indices. */
typedef struct Window {
    Equation *q;
    bool single;                    /* of one sample: there is no b, and tiles ti, tj are one index */
    bool gradient;                  /* of the weights */
    const Expr *x, *w;              /* the loads: of the picture; of the weights, or in their gradient of the result's */
    Index *batch, *out, *place[2];  /* b, o, i and j */
    Index *channel, *step[2];       /* c, p and q */
    bool turned[2];                 /* the window's step is subtracted */
    const Method *method;
} Window;

/* The equation is one. Of one sample pictures must have their channels last: tiles are made of sixteen neighbours. */
bool window_find(Window *w, Equation *q, bool single);

#endif
