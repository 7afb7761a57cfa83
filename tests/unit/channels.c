/* channels.c -- graphs of one sample: which pictures and weights get their channels last, which weights become panels, and
 * that the interpreter says the same; what follows from the weights alone in a graph of its own. */
#include "passes.h"

#include "graph/program.h"

static void channels(Graph *g)
{
    g->single = true;
    graph_channels(g);
}

START_TEST(turned_rows)
{
    static const Row rows[] = {
        {"a picture between two sums",
         "param w[16,3,3,3]\n"
         "param v[20,16,3,3]\n"
         "input x[3,6,6]\n"
         "a[o,i 6,j 6] = sum[c,p,q] w[o,c,p,q] * x?[c,i+p-1,j+q-1]\n"
         "t[o,i 3,j 3] = sum[c,p,q] v[o,c,p,q] * a?[c,2*i+p-1,2*j+q-1]\n"
         "y[o] = sum[i,j] t[o,i,j]\n", "y",
         "w.last0[i1,i2,i3,i0] = w[i0,i1,i2,i3]\n"
         "a[i,j,o] = sum[c,p,q] w.last0[c,p,q,o] * x?[c,i+p-1,j+q-1]\n"
         "v.last0[i1,i2,i3,i0] = v[i0,i1,i2,i3]\n"
         "t[i,j,o] = sum[c,p,q] v.last0[c,p,q,o] * a?[2*i+p-1,2*j+q-1,c]\n"
         "y[o] = sum[i,j] t[i,j,o]\n"},
        {"what maps and windows pass on; flat at the end",
         "param w[16,2,1,1]\n"
         "param d[10,64]\n"
         "input x[2,4,4]\n"
         "a[o,i 4,j 4] = sum[c,p,q] w[o,c,p,q] * x[c,i+p,j+q]\n"
         "m[c,i 2,j 2] = max[p 2,q 2] a[c,2*i+p,2*j+q]\n"
         "temp f[64]\n"
         "r[c,i,j] = tanh(m[c,i,j])\n"
         "f[c*4+i*2+j] = r[c,i,j]\n"
         "y[o] = sum[k] d[o,k] * f[k]\n", "y",
         "w.last0[i1,i2,i3,i0] = w[i0,i1,i2,i3]\n"
         "a[i,j,o] = sum[c,p,q] w.last0[c,p,q,o] * x[c,i+p,j+q]\n"
         "m[i,j,c] = max[p,q] a[2*i+p,2*j+q,c]\n"
         "r[i,j,c] = tanh(m[i,j,c])\n"
         "f[4*c+2*i+j] = r[i,j,c]\n"
         "y[o] = sum[k] d[o,k] * f[k]\n"},
        {"a flat result",
         "param w[16,2]\n"
         "param d[10,64]\n"
         "input x[2,4]\n"
         "temp f[64]\n"
         "f[c*4+i] = max(sum[k] w[c,k] * x[k,i], 0)\n"
         "y[o] = sum[k] d[o,k] * f[k]\n", "y",
         "w.last0[i1,i0] = w[i0,i1]\n"
         "f.axes[i,c] = max(sum[k] w.last0[k,c] * x[k,i], 0)\n"
         "f[4*c+i] = f.axes[i,c]\n"
         "y[o] = sum[k] d[o,k] * f[k]\n"},
        {"channel by channel",
         "param w[16,2]\n"
         "param v[16,3]\n"
         "input x[2,8]\n"
         "a[o,i] = sum[c] w[o,c] * x[c,i]\n"
         "t[c,i 8] = sum[p] v[c,p] * a?[c,i+p-1]\n"
         "y[c] = sum[i] t[c,i]\n", "y",
         "w.last0[i1,i0] = w[i0,i1]\n"
         "a[i,o] = sum[c] w.last0[c,o] * x[c,i]\n"
         "v.last0[i1,i0] = v[i0,i1]\n"
         "t[i,c] = sum[p] v.last0[p,c] * a?[i+p-1,c]\n"
         "y[c] = sum[i] t[i,c]\n"},
        {"joined channels stay, and so does what is made like them",
         "param w[16,2]\n"
         "param v[16,16]\n"
         "input x[2,8]\n"
         "a[o,i] = sum[c] w[o,c] * x[c,i]\n"
         "t[o,i] = sum[c] v[o,c] * a[c,i]\n"
         "y[c 18,i] = if c < 16 then t?[c,i] else x?[c-16,i]\n", "y",
         "a[o,i] = sum[c] w[o,c] * x[c,i]\n"
         "t[o,i] = sum[c] v[o,c] * a[c,i]\n"
         "y[c,i] = if c < 16 then t?[c,i] else x?[c-16,i]\n"},
        {"few channels stay",
         "param w[6,2,3]\n"
         "input x[2,8]\n"
         "a[o,i 6] = sum[c,p] w[o,c,p] * x[c,i+p]\n"
         "y[o] = sum[i] a[o,i]\n", "y",
         "a[o,i] = sum[c,p] w[o,c,p] * x[c,i+p]\n"
         "y[o] = sum[i] a[o,i]\n"},
        {"weights of a row of vectors, but not of one vector",
         "param w[16,6]\n"
         "param v[20,16]\n"
         "input x[9,6]\n"
         "a[t,o] = sum[c] w[o,c] * x[t,c]\n"
         "s[o] = sum[t] a[t,o]\n"
         "y[o] = sum[c] v[o,c] * s[c]\n", "y",
         "w.last0[i1,i0] = w[i0,i1]\n"
         "a[t,o] = sum[c] w.last0[c,o] * x[t,c]\n"
         "s[o] = sum[t] a[t,o]\n"
         "y[o] = sum[c] v[o,c] * s[c]\n"},
    };

    CHECK_ROWS(channels, rows);
}
END_TEST

static void panels(Graph *g)
{
    g->single = true;
    graph_panels(g);
}

START_TEST(parted_rows)
{
    static const Row rows[] = {
        {"a copy, read by one sum with a tail",
         "param w[48,3]\n"
         "param bias[48]\n"
         "input x[5,3]\n"
         "v[c 3,o 48] = w[o,c]\n"
         "y[i,o] = max(sum[c] x[i,c] * v[c,o] + bias[o], 0)\n", "y",
         "v[o1,c,o0] = w[16*o1+o0,c]\n"
         "y[i,16*o1+o0] = max(sum[c] x[i,c] * v[o1,c,o0] + bias[16*o1+o0], 0)\n"},
        {"read by two",
         "param w[32,3]\n"
         "input x[5,3]\n"
         "v[c 3,o 32] = w[o,c] + w[o,c]\n"
         "y[i,o] = sum[c] v[c,o] * x[i,c]\n"
         "z[o] = sum[c] v[c,o] * x[0,c]\n", "y z",
         "v[o1,c,o0] = w[16*o1+o0,c] + w[16*o1+o0,c]\n"
         "y[i,16*o1+o0] = sum[c] v[o1,c,o0] * x[i,c]\n"
         "z[16*o1+o0] = sum[c] v[o1,c,o0] * x[0,c]\n"},
        {"read otherwise, too: stays",
         "param w[32,3]\n"
         "input x[5,3]\n"
         "v[c 3,o 32] = w[o,c]\n"
         "y[i,o] = sum[c] v[c,o] * x[i,c]\n"
         "z[c,o] = v[c,o] * x[0,c]\n", "y z",
         "v[c,o] = w[o,c]\n"
         "y[i,o] = sum[c] v[c,o] * x[i,c]\n"
         "z[c,o] = v[c,o] * x[0,c]\n"},
        {"parameters, sixteen channels, and twenty stay",
         "param w[3,32]\n"
         "param u[16,3]\n"
         "param t[20,3]\n"
         "input x[5,3]\n"
         "v[c 3,o 16] = u[o,c]\n"
         "s[c 3,o 20] = t[o,c]\n"
         "a[i,o] = sum[c] w[c,o] * x[i,c]\n"
         "b[i,o] = sum[c] v[c,o] * x[i,c]\n"
         "d[i,o] = sum[c] s[c,o] * x[i,c]\n", "a b d",
         "v[c,o] = u[o,c]\n"
         "s[c,o] = t[o,c]\n"
         "a[i,o] = sum[c] w[c,o] * x[i,c]\n"
         "b[i,o] = sum[c] v[c,o] * x[i,c]\n"
         "d[i,o] = sum[c] s[c,o] * x[i,c]\n"},
    };

    CHECK_ROWS(panels, rows);
}
END_TEST

/* --- derive --- */

static const char net[] =
    "param w[32,2,3]\n"
    "param v[30,32]\n"
    "param var[32]\n"
    "input x[2,40]\n"
    "scale[o] = 1 / sqrt(var[o] * var[o] + 1)\n"
    "u[p 3,c 2,o] = w[o,c,p]\n"
    "t[c,o] = v[o,c] + v[o,c]\n"
    "a[i 38,o] = scale[o] * (sum[c,p] u[p,c,o] * x[c,i+p])\n"
    "s[o] = sum[i] a[i,o]\n"
    "y[o] = sum[c] t[c,o] * s[c]\n";

/* What derive makes is what the rest reads: both together say what the graph said before. */
START_TEST(derives)
{
    Arena *a = arena_new();
    Program p = {.arena = a, .batch = 4, .single = graph_read(a, 4, net)};

    graph_find(p.single, "y")->wanted = true;
    Graph *before = graph_copy(p.single, "before");
    program_derive(&p);
    ck_assert_ptr_nonnull(p.derive);
    graph_verify(p.single, "derive");
    graph_verify(p.derive, "derive");
    ck_assert_str_eq(graph_lines(p.single, 0), "a[i,o] = scale[o] * (sum[p,c] u[p,c,o] * x[c,i+p])\n"
                                               "s[o] = sum[i] a[i,o]\n"
                                               "y[o] = sum[c] t[c,o] * s[c]\n");
    ck_assert_int_eq(p.derive->equations.n, 3);
    ck_assert_int_eq(p.kept.n, 3);

    Run *want = run_filled(a, before), *made = run_filled(a, p.derive), *got = run_filled(a, p.single);
    for (int i = 0; i < p.derive->tensors.n; i++)
        if (p.derive->tensors.at[i]->role == ROLE_PARAM)
            made->data[i] = want->data[graph_find(before, p.derive->tensors.at[i]->name)->id];
    run_graph(want);
    run_graph(made);
    for (int i = 0; i < p.single->tensors.n; i++) {
        Tensor *t = p.single->tensors.at[i];
        if (t->role == ROLE_STATE) {
            const Kept *k = program_kept(&p, t->name);
            ck_assert(k && k->kind == KEPT_DERIVED && graph_find(p.derive, t->name)->wanted);
            got->data[i] = made->data[graph_find(p.derive, t->name)->id];
        } else if (t->role == ROLE_INPUT) {
            got->data[i] = want->data[graph_find(before, t->name)->id];
        }
    }
    run_graph(got);
    for (int k = 0; k < 30; k++)
        ck_assert_double_eq(got->data[graph_find(p.single, "y")->id][k], want->data[graph_find(before, "y")->id][k]);
    arena_free(a);
}
END_TEST

START_TEST(little_stays)
{
    Arena *a = arena_new();
    Program p = {.arena = a, .batch = 4, .single = graph_read(a, 4, "param w[8]\ninput x[8]\ns[o] = exp(w[o])\ny[o] = s[o] * x[o]\n")};

    graph_find(p.single, "y")->wanted = true;
    program_derive(&p);
    ck_assert_ptr_null(p.derive);
    ck_assert_int_eq(p.single->equations.n, 2);
    ck_assert_int_eq(p.kept.n, 0);
    arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("channels");
    TCase *c = tcase_create("one sample");

    tcase_add_test(c, turned_rows);
    tcase_add_test(c, parted_rows);
    tcase_add_test(c, derives);
    tcase_add_test(c, little_stays);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
