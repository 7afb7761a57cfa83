/* single.c -- graphs of one sample, compiled, against the interpreter: every remainder of a vector, halos, strides, rows of
 * eight and fewer, and what has no such form. */
#include "kernels.h"

#include <check.h>

/* @ is the size, from 1 to 33; $ half of it, rounded up. */
static const char *const texts[] = {
    /* dense, softmax */
    "input x[b,@]\nparam w[7,@]\nparam v[@,7]\nparam u[@]\n"
    "h[b,o] = sum[c] w[o,c] * x[b,c]\nr[b,o] = max(h[b,o], 0)\nz[b,o] = tanh(sum[c] v[o,c] * r[b,c] + u[o])\n"
    "top[b] = max[k] z[b,k]\ns[b] = sum[k] exp(z[b,k] - top[b])\ny[b,k] = exp(z[b,k] - top[b]) / s[b]\n",
    /* padded convolutions of pictures that wide, one of stride 2, an average */
    "input x[b,2,4,@]\nparam w[3,2,3,3]\nparam u[5,3,3,3]\nparam m[3]\n"
    "a[b,o,i 4,j @] = sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-1,j+q-1]\nr[b,o,i,j] = max(a[b,o,i,j] * m[o], 0)\n"
    "t[b,o,i 2,j $] = sum[c,p,q] u[o,c,p,q] * r?[b,c,2*i+p-1,2*j+q-1]\ny[b,o] = sum[i,j] t[b,o,i,j]\n",
    /* a residual sum, and rows above one another */
    "input x[b,3,@]\ninput k[b,3,@]\nparam w[3,3,3]\n"
    "a[b,o,j @] = sum[c,q] w[o,c,q] * x?[b,c,j+q-1]\nr[b,o,j] = x[b,o,j] + a[b,o,j] - j\n"
    "y[b,c 6,j] = if c < 3 then r?[b,c,j] else k?[b,c-3,j]\n",
    /* columns of eight */
    "input x[b,2,@,8]\nparam w[4,2,3,3]\nparam u[3,4,3,3]\n"
    "a[b,o,i @,j 8] = sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-1,j+q-1]\nr[b,o,i,j] = max(a[b,o,i,j], 0.5)\n"
    "y[b,o,i @,j 8] = sum[c,p,q] u[o,c,p,q] * r?[b,c,i+p-1,j+q-1]\n",
    /* columns of seven, with a number of its own for each place; then of four, with a stride */
    "input x[b,2,@,7]\nparam w[4,2,3,3]\nparam m[4,@,7]\nparam u[3,4,2,2]\n"
    "a[b,o,i @,j 7] = sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-1,j+q-1]\nr[b,o,i,j] = max(a[b,o,i,j] * m[o,i,j], 0.5)\n"
    "y[b,o,i $,j 4] = sum[c,p,q] u[o,c,p,q] * r?[b,c,2*i+p,2*j+q]\n",
};

enum { NTEXTS = sizeof texts / sizeof *texts, MOST = 33, NTRIES = NTEXTS * MOST };

static Compiled tries[NTRIES];
static Arena *arena;

static Graph *read_single(int number)
{
    Text t = {.arena = arena};
    int size = number % MOST + 1;

    for (const char *c = texts[number / MOST]; *c; c++)
        if (*c == '@' || *c == '$')
            text_print(&t, "%d", *c == '@' ? size : (size + 1) / 2);
        else
            text_add(&t, c, 1);
    Graph *g = graph_read(arena, 4, t.s);
    graph_find(g, "y")->wanted = true;
    graph_gather(g);
    graph_simplify(g);
    graph_hoist(g);
    graph_fuse(g);
    graph_drop_dead(g);
    Graph *single = graph_single(g, "one");
    if (single)
        graph_verify(single, "single");
    return single;
}

static bool build_all(void)
{
    Text text = {.arena = arena = arena_new()};
    char name[32];

    kernels_prelude(&text);
    for (int i = 0; i < NTRIES; i++) {
        tries[i].graph = read_single(i);
        snprintf(name, sizeof name, "t%d_", i);
        if (!tries[i].graph)
            return false;
        kernels_print(&text, &tries[i], name);
    }
    void *object = kernels_load(text.s, "-O1");
    for (int i = 0; object && i < NTRIES; i++) {
        snprintf(name, sizeof name, "t%d_run", i);
        *(void **)&tries[i].run = dlsym(object, name);
    }
    return object != NULL;
}

START_TEST(agrees)
{
    const Compiled *c = &tries[_i];
    const Tensor *y = graph_find(c->graph, "y");
    Run *r = run_filled(arena, c->graph);
    void **s = storages_new(arena, c, r, 1);

    run_graph(r);
    c->run(s, 1, 1);
    double error = result_error(c, y, s, r, 1);
    ck_assert_msg(error < 1e-4, "text %d, size %d: off by %g", _i / MOST, _i % MOST + 1, error);
}
END_TEST

/* Samples that meet, and numbers drawn for each, stay with the batch. */
START_TEST(refused)
{
    static const char *const mixed[] = {
        "input x[b,3]\nm[c] = sum[b] x[b,c]\ny[b,c] = x[b,c] - m[c]\n",
        "scalar seed\nscalar steps\ninput x[b,3]\ny[b,c] = if random(9, b*3+c) < 0.5 then x[b,c] else 0\n",
    };
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) {
        Graph *g = graph_read(a, 4, mixed[i]);
        graph_find(g, "y")->wanted = true;
        ck_assert_msg(!graph_single(g, "one"), "text %d", (int)i);
    }
    arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("single");
    TCase *c = tcase_create("kernels");

    if (!build_all())
        return 1;
    tcase_add_loop_test(c, agrees, 0, NTRIES);
    tcase_add_test(c, refused);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
