/* transform.c -- products with the small matrices of Winograd's method, written out.
 *
 * All three matrices hold rows (2k - 1, 2k) that are the sum and the difference of two terms, but for the first and the
 * last: a butterfly. B' and G are a butterfly after the matrix given, A' the matrix given after a butterfly; of A and
 * G', which are those turned round, it is the other way round.
 *
 * A product is written as one expression for each row and a choice among them by the row's index, `if a == 0 then ...
 * else if a == 1 then ...`: the loops unroll such an index, and the choice is gone. */
#include "graph/transform.h"

#include <math.h>

/* clang-format off */
const Method methods[] = {
    {4, 6,
     {{4, 0, -5, 0, 1, 0}, {0, 0, -4, 0, 1, 0}, {0, -4, 0, 1, 0, 0}, {0, 0, -1, 0, 1, 0}, {0, -2, 0, 2, 0, 0}, {0, 4, 0, -5, 0, 1}},
     {{1. / 4, 0, 0}, {-1. / 6, 0, -1. / 6}, {0, -1. / 6, 0}, {1. / 24, 0, 1. / 6}, {0, 1. / 12, 0}, {0, 0, 1}},
     {{1, 1, 0, 1, 0, 0}, {0, 0, 1, 0, 2, 0}, {0, 1, 0, 4, 0, 0}, {0, 0, 1, 0, 8, 1}}},
    {2, 4,
     {{1, 0, -1, 0}, {0, 0, 1, 0}, {0, 1, 0, 0}, {0, 1, 0, -1}},
     {{1, 0, 0}, {1. / 2, 0, 1. / 2}, {0, 1. / 2, 0}, {0, 0, 1}},
     {{1, 1, 0, 0}, {0, 0, 1, -1}}},
};
/* clang-format on */
const int nmethods = sizeof methods / sizeof *methods;

static int columns_of(const Method *m, Side side)
{
    return side == WEIGHTS ? WINDOW : side == RESULTS ? m->m : m->n;
}

static int rows_of(const Method *m, Side side)
{
    return side == OUTPUT ? m->m : side == GRADIENT ? WINDOW : m->n;
}

static double entry(const Method *m, Side side, int row, int column)
{
    switch (side) {
    case INPUT: return m->input[row][column];
    case WEIGHTS: return m->weights[row][column];
    case OUTPUT: return m->output[row][column];
    case RESULTS: return m->output[column][row];
    default: return m->weights[column][row];
    }
}

/* A row of the matrix times x, zeros left out. */
static Expr *combine(Arena *a, const Method *m, Side side, int row, Expr *const *x)
{
    Expr *sum = NULL;

    for (int k = 0; k < columns_of(m, side); k++) {
        double times = entry(m, side, row, k), size = sum ? fabs(times) : times;
        if (times == 0)
            continue;
        Expr *term = size == 1 ? x[k] : expr_op(a, "mul", expr_number(a, size), x[k], NULL);
        sum = !sum ? term : expr_op(a, times < 0 ? "sub" : "add", sum, term, NULL);
    }
    return sum;
}

static void butterfly(Arena *a, int n, Expr **x)
{
    for (int k = 1; k + 1 < n; k += 2) {
        Expr *sum = expr_op(a, "add", x[k], x[k + 1], NULL), *difference = expr_op(a, "sub", x[k], x[k + 1], NULL);
        x[k] = sum;
        x[k + 1] = difference;
    }
}

/* Element i of the matrix times x. */
static Expr *transform(Arena *a, const Method *m, Side side, const Index *i, Expr *const *x)
{
    Expr *in[MOST_POINTS] = {NULL}, *out[MOST_POINTS] = {NULL};
    int columns = columns_of(m, side), rows = rows_of(m, side);
    bool before = side == OUTPUT || side == GRADIENT;

    memcpy(in, x, sizeof *x * (size_t)columns);
    if (before)
        butterfly(a, columns, in);
    for (int k = 0; k < rows; k++)
        out[k] = combine(a, m, side, k, in);
    if (!before)
        butterfly(a, rows, out);
    Expr *chosen = NULL;
    for (int k = rows; k-- > 0;) {
        Expr *here = expr_op(a, "eq", expr_index(a, (Index *)i), expr_number(a, k), NULL);
        chosen = chosen ? expr_op(a, "select", here, out[k], chosen) : out[k];
    }
    return chosen;
}

Expr *transform_both(Arena *a, const Method *m, Side side, Index *const *i, Element *element, const void *user)
{
    Expr *columns[MOST_POINTS], *x[MOST_POINTS];
    int n = columns_of(m, side);

    for (int l = 0; l < n; l++) {
        for (int k = 0; k < n; k++)
            x[k] = element(k, l, user);
        columns[l] = transform(a, m, side, i[0], x);
    }
    return transform(a, m, side, i[1], columns);
}
