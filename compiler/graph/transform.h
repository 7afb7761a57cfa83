/* transform.h -- the small matrices of Winograd's method, and products with them. */
#ifndef NNC_TRANSFORM_H
#define NNC_TRANSFORM_H

#include "graph/graph.h"

enum { WINDOW = 3, MOST_POINTS = 6 };

/* Tiles of m x m results of a window of three, from n x n points, n = m + 2. */
typedef struct Method {
    int m, n;
    double input[MOST_POINTS][MOST_POINTS], weights[MOST_POINTS][WINDOW], output[MOST_POINTS][MOST_POINTS];
} Method;

extern const Method methods[];
extern const int nmethods;

/* Matrices and the names they have in what is written about them. */
typedef enum {
    INPUT,    /* B', n x n: elements of the picture to points */
    WEIGHTS,  /* G, n x 3: elements of the window to points */
    OUTPUT,   /* A', m x n: points to results */
    RESULTS,  /* A, n x m: results to points */
    GRADIENT, /* G', 3 x n: points to elements of the window */
} Side;

/* Element (i[0], i[1]) of matrix * x * matrix', x[k][l] being what `element` gives. */
typedef Expr *Element(int k, int l, const void *user);
Expr *transform_both(Arena *a, const Method *m, Side side, Index *const *i, Element *element, const void *user);

#endif
