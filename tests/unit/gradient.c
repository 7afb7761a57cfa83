/* gradient.c -- derived gradients against finite differences, in double. */
#include "equations.h"

#include <check.h>
#include <math.h>

/* The largest |derived - numeric| over all elements of the parameters and real inputs, over the largest numeric one. */
static double gradient_error(Graph *g, bool print)
{
    Tensor *of[32], *grad[32];
    int n = 0, forward = g->equations.n;
    double worst = 0, scale = 1e-3;

    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *t = g->tensors.at[i];
        if ((t->role == ROLE_PARAM || t->role == ROLE_INPUT) && !t->integer)
            of[n++] = t;
    }
    graph_gradient(g, graph_find(g, "loss"), n, of, grad);
    graph_verify(g, "gradient");
    if (print)
        fprintf(stderr, "%s\n", graph_lines(g, forward));

    Run *r = run_filled(g->arena, g);
    run_graph(r);
    double *loss = r->data[graph_find(g, "loss")->id];
    for (int p = 0; p < n; p++) {
        int64_t count = tensor_count(of[p]);
        double *x = r->data[of[p]->id];
        for (int64_t k = 0; k < count; k++) {
            const double h = 1e-4, at = x[k];
            double f[4];
            for (int s = 0; s < 4; s++) { /* five-point formula: error h^4 */
                x[k] = at + h * (double[]){-2, -1, 1, 2}[s];
                for (int i = 0; i < forward; i++)
                    run_equation(r, g->equations.at[i]);
                f[s] = loss[0];
            }
            x[k] = at;
            double numeric = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
            double derived = grad[p] ? r->data[grad[p]->id][k] : 0;
            scale = fmax(scale, fabs(numeric));
            worst = fmax(worst, isnan(derived) ? HUGE_VAL : fabs(derived - numeric));
        }
    }
    return worst / scale;
}

static const struct {
    const char *name, *text;
    const char *gradient; /* the equations derived for params and real inputs, or NULL where only the numbers count */
} networks[] = {
    {"dense",
     "input x[b,3]\nparam w[2,3]\nparam v[2]\nscalar count\nscalar total\n"
     "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
     "y[b,o] = tanh(z[b,o] + v[o])\n"
     "loss = sum[b,o] (if b < count then y[b,o]^2 / total else 0)\n",
     "d.y[b,o] = if b < count then 2 * (1 / total * y[b,o]) else 0\n"},
    {"convolution, strided and padded",
     "input x[b,2,5]\nparam w[3,2,3]\n"
     "y[b,o,i 3] = sum[c,p] w[o,c,p] * x?[b,c,2*i+p-1]\n"
     "loss = sum[b,o,i] y[b,o,i]^3\n", NULL},
    {"convolution, dilated",
     "input x[b,2,9]\nparam w[3,2,3]\n"
     "y[b,o,i 5] = sum[c,p] w[o,c,p] * x[b,c,i+2*p]\n"
     "loss = sum[b,o,i] y[b,o,i]^2\n", NULL},
    {"relu, from its output",
     "param x[7]\ny[i] = max(x[i], 0)\nloss = sum[i] y[i] * i\n", NULL},
    {"pooling, maximum, overlapping",
     "param x[2,7]\ny[c,i 3] = max[p 3] x[c,2*i+p]\nloss = sum[c,i] y[c,i]^2\n", NULL},
    {"pooling, minimum",
     "param x[2,6]\ny[c,i 3] = min[p 2] x[c,2*i+p]\nloss = sum[c,i] y[c,i]^2\n", NULL},
    {"pooling, mean, padded",
     "param x[2,6]\ny[c,i 3] = sum[p 4] x?[c,2*i+p-1] / 4\nloss = sum[c,i] y[c,i]^2\n", NULL},
    {"softmax and cross entropy",
     "input z[b,5]\ninput label[b] below 5\n"
     "top[b] = max[k] z[b,k]\n"
     "s[b] = sum[k] exp(z[b,k] - top[b])\n"
     "l[b] = log(s[b]) + top[b] - z[b,label[b]]\n"
     "loss = sum[b] l[b] / 4\n", NULL},
    {"layer norm",
     "param x[3,4]\nparam u[4]\n"
     "m[i] = sum[j] x[i,j] / 4\n"
     "v[i] = sum[j] (x[i,j] - m[i])^2 / 4\n"
     "y[i,j] = u[j] * (x[i,j] - m[i]) / sqrt(v[i] + 0.01)\n"
     "loss = sum[i,j] y[i,j]^3\n", NULL},
    {"batch norm over real samples",
     "input x[b,2,3]\nscalar count\n"
     "m[c] = sum[b,i] (if b < count then x[b,c,i] / (count * 3) else 0)\n"
     "v[c] = sum[b,i] (if b < count then (x[b,c,i] - m[c])^2 / (count * 3) else 0)\n"
     "y[b,c,i] = (x[b,c,i] - m[c]) / sqrt(v[c] + 0.01)\n"
     "loss = sum[b,c,i] (if b < count then y[b,c,i]^3 / count else 0)\n", NULL},
    {"embedding",
     "input t[b,3] below 5\nparam e[5,2]\nparam w[3,2]\n"
     "y[b,t2,d] = e[t[b,t2],d]\n"
     "loss = sum[b,t2,d] w[t2,d] * y[b,t2,d]^2\n", NULL},
    {"shared weights, read three ways",
     "param w[3,3]\nparam x[3]\n"
     "y[i] = sum[j] w[i,j] * x[j]\n"
     "z[j] = sum[i] w[i,j] * y[i]\n"
     "loss = sum[i] z[i] * w[i,i]\n", NULL},
    {"broadcast and missing indices",
     "param x[3]\nparam s\n"
     "y[i,j 4] = x[i] * s\n"
     "t[i] = sum[k 5] y[i,2]\n"
     "loss = sum[i] t[i]\n", NULL},
    {"flatten and reshape",
     "param x[2,3,4]\ntemp f[24]\ntemp r[4,6]\n"
     "f[12*c+4*i+j] = x[c,i,j]^2\n"
     "r[k 4,l 6] = f[6*k+l] * k\n"
     "loss = sum[k,l] r[k,l]^2\n", NULL},
    {"concat",
     "param x[2,3]\nparam y[4,3]\n"
     "z[c 6,i] = if c < 2 then x?[c,i] else y?[c-2,i]\n"
     "loss = sum[c,i] z[c,i]^2 * (c + 1)\n", NULL},
    {"slice",
     "param x[6]\ny[i 3] = x[2*i]\nz[i 2] = x[i+1]\nloss = (sum[i 2] y[i] * z[i]^2)\n", NULL},
    {"products", "param x[4]\ny = prod[i] x[i]\nloss = y^2\n", NULL},
    {"guarded branch that overflows",
     "param x[4]\ny[i] = if x[i] > 0 - 9 then x[i] else exp(x[i] * 0 - 2000 * x[i])\nloss = sum[i] y[i]\n", NULL},
    {"scalars",
     "param a\nparam c\nq = a * c + sin(a)\nloss = q / (1 + q^2)\n", NULL},
    {"the same subexpression often",
     "param x[3]\nloss = sum[i] ((((x[i] + 1)^2 + 1)^2 + 1)^2)^2 / 1000000\n", NULL},
    {"random masks",
     "param x[b,3]\ny[b,i] = if random(3, 3*b+i) < 0.5 then 0 else x[b,i] / 0.5\nloss = sum[b,i] y[b,i]^2\n", NULL},
};

START_TEST(test_networks)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, networks[_i].text);
    double error = gradient_error(g, getenv("SHOW"));

    ck_assert_msg(error < 1e-9, "%s: relative error %g\n%s", networks[_i].name, error, graph_lines(g, 0));
    arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gradient");
    TCase *t = tcase_create("gradient");
    tcase_add_loop_test(t, test_networks, 0, sizeof networks / sizeof *networks);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
