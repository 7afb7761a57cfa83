/* fuse.c -- fusing alone, and all passes one after the other. */
#include "passes.h"

START_TEST(fuse_rows)
{
    static const Row rows[] = {
        {"bias and activation into the tail",
         "input x[b,3]\n"
         "param w[2,3]\n"
         "param v[2]\n"
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "a[b,o] = z[b,o] + v[o]\n"
         "y[b,o] = tanh(a[b,o])\n", "y",
         "y[b,o] = tanh(sum[c] w[o,c] * x[b,c] + v[o])\n"},
        {"a sum with two readers is stored",
         "input x[b,3]\n"
         "param w[2,3]\n"
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b,o] = tanh(z[b,o])\n"
         "r[b,o] = exp(z[b,o])\n", "y r",
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b,o] = tanh(z[b,o])\n"
         "r[b,o] = exp(z[b,o])\n"},
        {"an activation before a contraction is stored",
         "input x[b,3]\n"
         "param w[2,3]\n"
         "a[b,c] = max(x[b,c], 0)\n"
         "y[b,o] = sum[c] w[o,c] * a[b,c]\n", "y",
         "a[b,c] = max(x[b,c], 0)\n"
         "y[b,o] = sum[c] w[o,c] * a[b,c]\n"},
        {"a map into a sum over it",
         "input x[b,3]\n"
         "a[b,c] = exp(x[b,c])\n"
         "y[b] = sum[c] a[b,c]\n", "y",
         "y[b] = sum[c] exp(x[b,c])\n"},
        {"a map into a map",
         "input x[b,3]\n"
         "a[b,c] = exp(x[b,c])\n"
         "y[b,i] = a[b,i] * 2 + a[b,i]\n", "y",
         "y[b,i] = exp(x[b,i]) * 2 + exp(x[b,i])\n"},
        {"dear maps are not computed twice",
         "input x[b,3]\n"
         "a[b,c] = exp(x[b,c])\n"
         "y[b,i] = a[b,i] * 2\n"
         "z[b,i 2] = a[b,i+1]\n", "y z",
         "a[b,c] = exp(x[b,c])\n"
         "y[b,i] = a[b,i] * 2\n"
         "z[b,i] = a[b,i+1]\n"},
        {"cheap maps are",
         "input x[b,3]\n"
         "a[b,c] = x[b,c] * 3\n"
         "y[b,i] = a[b,i] * 2\n"
         "z[b,i 2] = a[b,i+1]\n", "y z",
         "y[b,i] = x[b,i] * 3 * 2\n"
         "z[b,i] = x[b,i+1] * 3\n"},
        {"a small result is not computed for every point",
         "input x[b,30]\n"
         "param v[30]\n"
         "a[c] = v[c] * 2\n"
         "y[b,c,i 3] = x[b,c] * a[c]\n", "y",
         "a[c] = v[c] * 2\n"
         "y[b,c,i] = x[b,c] * a[c]\n"},
        {"rearrangements",
         "input x[3,4]\n"
         "param w[4,5]\n"
         "t[j,i] = x[i,j]\n"
         "y[i 3,k] = sum[j] t[j,i] * w[j,k]\n", "y",
         "y[i,k] = sum[j] x[i,j] * w[j,k]\n"},
        {"a shift that is read with padding",
         "input x[5]\n"
         "t[i 3] = x[i+1]\n"
         "y[i 3] = t?[i-1] * 2\n", "y",
         "t[i] = x[i+1]\n"
         "y[i] = t?[i-1] * 2\n"},
        {"a copy that is read with padding",
         "input x[5]\n"
         "t[i] = x[i]\n"
         "y[i 5] = t?[i-1] * 2\n", "y",
         "y[i] = x?[i-1] * 2\n"},
        {"the derivative of an activation",
         "param w[2,3]\n"
         "input g[b,2]\n"
         "input y[b,3]\n"
         "d[b,c] = sum[o] w[o,c] * g[b,o]\n"
         "z[b,c] = d[b,c] * (1 - y[b,c]^2)\n", "z",
         "z[b,c] = (sum[o] w[o,c] * g[b,o]) * (1 - y[b,c]^2)\n"},
        {"a residual",
         "param w[3,3]\n"
         "input x[b,3]\n"
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b,o] = max(z[b,o] + x[b,o], 0)\n", "y",
         "y[b,o] = max(sum[c] w[o,c] * x[b,c] + x[b,o], 0)\n"},
        {"pooling's gradient takes its reader in",
         "input g[b,2,3]\n"
         "input y[b,2,6]\n"
         "temp x[b,2,6]\n"
         "x[b,c,2*i+p 2] = g[b,c,i] / 2\n"
         "z[b,c,i] = x[b,c,i] * (1 - y[b,c,i]^2)\n", "z",
         "z[b,c,2*i+p] = g[b,c,i] * 0.5 * (1 - y[b,c,2*i+p]^2)\n"},
        {"every other element of a sum",
         "param w[6,3]\n"
         "input x[b,3]\n"
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b,i 2] = tanh(z[b,2*i+1])\n", "y",
         "y[b,i] = tanh(sum[c] w[2*i+1,c] * x[b,c])\n"},
        {"the last element of a sum",
         "param w[6,3]\n"
         "input x[b,3]\n"
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b] = tanh(z[b,5])\n", "y",
         "y[b] = tanh(sum[c] w[5,c] * x[b,c])\n"},
        {"a scalar's map, read often",
         "input x[b,30]\n"
         "scalar count\n"
         "scalar total\n"
         "e[b] = if b < count then total else 0\n"
         "y[b,c] = x[b,c] * e[b]\n"
         "z[b,c] = exp(x[b,c]) * e[b]\n", "y z",
         "y[b,c] = x[b,c] * (if b < count then total else 0)\n"
         "z[b,c] = exp(x[b,c]) * (if b < count then total else 0)\n"},
        {"four times as large",
         "input x[b,3]\n"
         "e[b,i] = x[b,i] * 3 + 1\n"
         "y[b,i 12] = e[b,i//4] * i\n", "y",
         "y[b,i] = (x[b,i//4] * 3 + 1) * i\n"},
        {"flatten into the tail",
         "param w[6,3]\n"
         "input x[b,3]\n"
         "temp f[b,6]\n"
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b,i 2,j 3] = tanh(z[b,3*i+j])\n", "y",
         "z[b,o] = sum[c] w[o,c] * x[b,c]\n"
         "y[b,i,j] = tanh(z[b,3*i+j])\n"},
        {"an update in the tail of its gradient",
         "param w[2,3]\n"
         "input x[b,3]\n"
         "input g[b,2]\n"
         "scalar base_lr\n"
         "d[o,c] = sum[b] g[b,o] * x[b,c]\n"
         "v[o,c] = w[o,c] - base_lr * d[o,c]\n"
         "y[b,c] = sum[o] w[o,c] * g[b,o]\n", "w:v y",
         "y[b,c] = sum[o] w[o,c] * g[b,o]\n"
         "v[o,c] = w[o,c] - base_lr * (sum[b] g[b,o] * x[b,c])\n"},
        {"not where the sum reads the parameter",
         "param w[3,3]\n"
         "scalar base_lr\n"
         "d[i,j] = sum[k] w[i,k] * w[k,j]\n"
         "v[i,j] = w[i,j] - base_lr * d[i,j]\n", "w:v",
         "d[i,j] = sum[k] w[i,k] * w[k,j]\n"
         "v[i,j] = w[i,j] - base_lr * d[i,j]\n"},
        {"momentum",
         "param w[2,3]\n"
         "state m[2,3]\n"
         "input x[b,3]\n"
         "input g[b,2]\n"
         "d[o,c] = sum[b] g[b,o] * x[b,c]\n"
         "n[o,c] = 0.9 * m[o,c] + d[o,c]\n"
         "v[o,c] = w[o,c] - 0.1 * n[o,c]\n", "w:v m:n",
         "n[o,c] = 0.9 * m[o,c] + sum[b] g[b,o] * x[b,c]\n"
         "v[o,c] = w[o,c] - 0.1 * n[o,c]\n"},
        {"scalars stay in double",
         "input x[b]\n"
         "scalar total\n"
         "l = sum[b] x[b]\n"
         "y = l / total\n"
         "z[b] = x[b] * y\n", "y z",
         "y = (sum[b] x[b]) / total\n"
         "z[b] = x[b] * y\n"},
        {"a loss",
         "input x[b,3]\n"
         "input label[b] below 3\n"
         "scalar count\n"
         "scalar total\n"
         "m[b] = max[c] x[b,c]\n"
         "s[b] = sum[c] exp(x[b,c] - m[b])\n"
         "l[b] = log(s[b]) + m[b] - x[b,label[b]]\n"
         "loss = sum[b] (if b < count then l[b] / total else 0)\n", "loss",
         "m[b] = max[c] x[b,c]\n"
         "l[b] = log(sum[c] exp(x[b,c] - m[b])) + m[b] - x[b,label[b]]\n"
         "loss = sum[b] (if b < count then l[b] / total else 0)\n"},
    };
    CHECK_ROWS(graph_fuse, rows);
}
END_TEST

/* All passes, as the compiler runs them. */
static void all_passes(Graph *g)
{
    static const struct {
        const char *name;
        Pass *pass;
    } road[] = {{"gather", graph_gather}, {"simplify", graph_simplify}, {"hoist", graph_hoist},
                {"fuse", graph_fuse},     {"dead", graph_drop_dead}};

    for (size_t i = 0; i < sizeof road / sizeof *road; i++) {
        road[i].pass(g);
        graph_verify(g, road[i].name);
    }
}

/* The loss of a small network and its gradients by everything from outside: the same before and after the passes. */
static bool check_network(const char *name, const char *text, bool scatters)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, text);
    Tensor *of[16], *grad[16];
    int n = 0;

    for (int i = 0; i < g->tensors.n; i++)
        if ((g->tensors.at[i]->role == ROLE_PARAM || g->tensors.at[i]->role == ROLE_INPUT) &&
            !g->tensors.at[i]->integer)
            of[n++] = g->tensors.at[i];
    graph_gradient(g, graph_find(g, "loss"), n, of, grad);
    graph_find(g, "loss")->wanted = true;
    for (int i = 0; i < n; i++)
        if (grad[i])
            grad[i]->wanted = true;
    graph_verify(g, "gradient");
    Graph *before = graph_copy(g, "before");
    all_passes(g);
    double d = difference(before, g);
    bool good = d < 1e-12;
    for (int i = 0; i < g->equations.n; i++)
        good &= scatters || !equation_scatters(g->equations.at[i]);
    if (!good)
        fprintf(stderr, "%s: results differ by %g\n%s---\n%s", name, d, graph_lines(before, 0), graph_lines(g, 0));
    arena_free(a);
    return good;
}

START_TEST(windows)
{
    Arena *a = arena_new();
    int bad = 0, shapes = 0;

    for (int size = 5; size <= 9; size++)
        for (int kernel = 1; kernel <= 5; kernel++)
            for (int stride = 1; stride <= 4; stride++)
                for (int dilation = 1; dilation <= 3; dilation++)
                    for (int pad = 0; pad <= 2; pad++) {
                        int out = (size + 2 * pad - dilation * (kernel - 1) - 1);
                        if (out < 0 || pad > dilation * (kernel - 1))
                            continue;
                        out = out / stride + 1;
                        shapes++;
                        const char *shape = arena_print(a, "size %d kernel %d stride %d dilation %d pad %d", size,
                                                        kernel, stride, dilation, pad);
                        const char *at = arena_print(a, "%d*i+%d*p-%d", stride, dilation, pad);
                        bad += !check_network(
                            arena_print(a, "convolution, %s", shape),
                            arena_print(a, "param w[4,2,%d]\ninput x[b,4,%d]\n"
                                           "y[b,o,i %d] = sum[c 2,p %d] w[o,c,p] * x?[b,o//2*2+c,%s]\n"
                                           "loss = sum[b,o,i] y[b,o,i]^3\n", kernel, size, out, kernel, at), false);
                        bad += !check_network(
                            arena_print(a, "pooling, %s", shape),
                            arena_print(a, "input x[b,2,%d]\n"
                                           "y[b,c,i %d] = max[p %d] x?[b,c,%s]\n"
                                           "z[b,c,i %d] = sum[p %d] 0.3 * x?[b,c,%s]\n"
                                           "loss = sum[b,c,i] y[b,c,i] * z[b,c,i]^2\n", size, out, kernel, at, out,
                                        kernel, at), false);
                        bad += !check_network(
                            arena_print(a, "transposed convolution, %s", shape),
                            arena_print(a, "param w[3,2,%d]\ninput x[b,3,%d]\ntemp y[b,2,%d]\n"
                                           "y?[b,c,%s] += w[o,c,p] * x[b,o,i]\n"
                                           "loss = sum[b,c,i] y[b,c,i]^3\n", kernel, out, size, at), false);
                    }
    ck_assert_int_gt(shapes, 300);
    ck_assert_int_eq(bad, 0);
    arena_free(a);
}
END_TEST

START_TEST(networks)
{
    static const struct {
        const char *name, *text;
        bool scatters;
    } rows[] = {
        {"convolution, pooling, dense",
         "param w[3,2,3,3]\nparam v[3]\nparam u[4,12]\ninput x[b,2,6,6]\ninput label[b] below 4\n"
         "scalar count\nscalar total\ntemp f[b,12]\n"
         "y[b,o,i 4,j 4] = sum[c,p,q] w[o,c,p,q] * x[b,c,i+p,j+q]\n"
         "a[b,o,i,j] = tanh(y[b,o,i,j] + v[o])\n"
         "h[b,o,i 2,j 2] = max[p 2,q 2] a[b,o,2*i+p,2*j+q]\n"
         "f[b,(o*2+i)*2+j] = h[b,o,i,j]\n"
         "z[b,k] = sum[l] u[k,l] * f[b,l]\n"
         "m[b] = max[k] z[b,k]\n"
         "s[b] = sum[k] exp(z[b,k] - m[b])\n"
         "l[b] = log(s[b]) + m[b] - z[b,label[b]]\n"
         "loss = sum[b] (if b < count then l[b] / total else 0)\n", false},
        {"batch norm and a residual",
         "param w[3,3,3]\nparam s[3]\nparam t[3]\ninput x[b,3,5]\nscalar count\n"
         "y[b,o,i 5] = sum[c,p] w[o,c,p] * x?[b,c,i+p-1]\n"
         "m[c] = sum[b,i] (if b < count then y[b,c,i] / (count * 5) else 0)\n"
         "v[c] = sum[b,i] (if b < count then (y[b,c,i] - m[c])^2 / (count * 5) else 0)\n"
         "z[b,c,i] = s[c] * (y[b,c,i] - m[c]) / sqrt(v[c] + 0.01) + t[c]\n"
         "a[b,c,i] = max(z[b,c,i] + x[b,c,i], 0)\n"
         "loss = sum[b,c,i] (if b < count then a[b,c,i]^2 / count else 0)\n", false},
        {"batch norm: sums that are known",
         "param w[3,3]\nparam s[3]\ninput x[b,3,5]\nscalar count\n"
         "y[b,o,i] = sum[c] w[o,c] * x[b,c,i]\n"
         "t[c] = sum[b,i] (if b < count then y[b,c,i] else 0)\n"
         "m[c] = t[c] / (count * 5)\n"
         "u[c] = sum[b,i] (if b < count then (y[b,c,i] - m[c])^2 else 0)\n"
         "z[b,c,i] = s[c] * (y[b,c,i] - m[c]) / sqrt(u[c] / (count * 5) + 0.01)\n"
         "loss = sum[b,c,i] (if b < count then z[b,c,i]^3 / count else 0)\n", false},
        {"an embedding, tied",
         "param e[40,3]\ninput t[b,5] below 40\ninput u[b] below 40\n"
         "y[b,i,d] = e[t[b,i],d]\n"
         "z[b,k] = sum[i,d] e[k,d] * tanh(y[b,i,d])\n"
         "loss = sum[b] z[b,u[b]]\n", true},
        {"concat, slice, broadcast",
         "param x[b,2,4]\ninput y[b,3,4]\nparam s\n"
         "z[b,c 5,i] = if c < 2 then x?[b,c,i] else y?[b,c-2,i]\n"
         "r[b,c 2,i] = z[b,2*c+1,i] * s\n"
         "loss = sum[b,c,i] r[b,c,i]^2 * exp(z[b,c,i])\n", false},
        {"softmax over a short axis, twice",
         "input x[b,3]\n"
         "m[b] = max[i] x[b,i]\ne[b,i] = exp(x[b,i] - m[b])\ns[b] = sum[i] e[b,i]\ny[b,i] = e[b,i] / s[b]\n"
         "n[b] = max[i] x[b,i]\nf[b,i] = exp(x[b,i] - n[b])\nr[b] = sum[j] f[b,j]\nz[b,i] = f[b,i] / r[b]\n"
         "loss = sum[b,i] y[b,i]^2 * z[b,i] * x[b,i]\n", false},
    };
    int bad = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        bad += !check_network(rows[i].name, rows[i].text, rows[i].scatters);
    ck_assert_int_eq(bad, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fuse");
    TCase *t = tcase_create("rows"), *whole = tcase_create("all passes");

    tcase_add_test(t, fuse_rows);
    suite_add_tcase(s, t);
    tcase_add_test(whole, windows);
    tcase_add_test(whole, networks);
    suite_add_tcase(s, whole);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
