/* shown.c -- what a loss shows of an output is an equation like any other: to know what it is, its graph is run for some
 * made-up outputs and what comes out is looked at. */
#include "check/value.h"

#include <math.h>

/* The graph at hand for a z of made-up numbers between -scale and scale, in one sample. */
static Run *run_for(Checker *c, const Tensor *z, double scale)
{
    Run *r = run_new(c->arena, c->graph);

    for (int i = 0; i < c->graph->tensors.n; i++)
        if (c->graph->tensors.at[i]->role == ROLE_SCALAR)
            *r->data[i] = 1;
    for (int64_t i = 0; i < tensor_count(z); i++)
        r->data[z->id][i] = scale * sin(12.9898 * (double)(i + 1));
    r->samples = 1;
    run_graph(r);
    return r;
}

bool same_function(Checker *c, const Tensor *z, const Tensor *a, const Tensor *b)
{
    const Run *r;
    int64_t n = 1;

    if (a->rank != b->rank)
        return false;
    for (int i = 1; i < a->rank; i++) {
        if (a->size[i] != b->size[i])
            return false;
        n *= a->size[i];
    }
    r = run_for(c, z, 2);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(r->data[a->id][i] - r->data[b->id][i]) <= 1e-9))
            return false;
    return true;
}

bool gives_probabilities(Checker *c, const Tensor *z, const Tensor *shown)
{
    static const double scales[] = {2, -2, 9, -9};

    if (sample_rank(NULL, shown) != 1)
        return false;
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
        const Run *r = run_for(c, z, scales[k]);
        double sum = 0;
        for (int64_t i = 0; i < *sample_size(NULL, shown); i++) {
            double x = r->data[shown->id][i];
            if (!(x >= 0 && x <= 1))
                return false;
            sum += x;
        }
        if (*sample_size(NULL, shown) > 1 && !(fabs(sum - 1) <= 1e-9))
            return false;
    }
    return true;
}
