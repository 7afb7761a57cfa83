/* graph.c -- expressions, their text, what is known about subscripts, the interpreter, the verifier. */
#include "equations.h"

#include <check.h>

/* One expression of a graph in which i j k are indices of 4, 5 and 6, x[4] is real, n[4] whole and below 3. */
static Expr *read_alone(Arena *a, const char *text, Graph **graph)
{
    Reader r = {.g = graph_read(a, 8, "input x[4]\ninput n[4] below 3\nscalar s\n")};
    static const struct { const char *name; int64_t size; } sizes[] = {{"i", 4}, {"j", 5}, {"k", 6}};

    for (int i = 0; i < 3; i++)
        find_index(&r, sizes[i].name)->size = sizes[i].size;
    r.s = arena_copy(a, text, strlen(text));
    *graph = r.g;
    return read_expr(&r);
}

static const char *text_of(Arena *a, const Expr *e)
{
    Text t = {.arena = a};

    expr_print(&t, e);
    return t.s;
}

static const struct {
    const char *text, *folded;
} folds[] = {
    {"2 * 3 + 1", "7"},
    {"1 * s", "s"},
    {"s * 1", "s"},
    {"s - 0", "s"},
    {"s + 0", "s + 0"}, /* stays: -0 + 0 is 0 */
    {"0 * s", "0 * s"}, /* stays: s may be inf */
    {"s - s", "s - s"},
    {"0 * i", "0"},
    {"i + 0", "i"},
    {"i - i", "0"},
    {"i * 3", "3 * i"},
    {"2 * (3 * i)", "6 * i"},
    {"i + 2 - 3", "i - 1"},
    {"2 + i", "i + 2"},
    {"i - 2 + 2", "i"},
    {"s + 1 + 2", "s + 1 + 2"}, /* stays: rounding */
    {"-(-s)", "s"},
    {"s / 1", "s"},
    {"s^2", "s^2"},
    {"s^3", "s^3"},
    {"s^1", "s"},
    {"s^0", "1"},
    {"s^0.5", "sqrt(s)"},
    {"s^2.5", "s^2.5"},
    {"max(0, s)", "max(s, 0)"}, /* so that max hides no NaN */
    {"max(s, s)", "s"},
    {"floor(i + 1)", "i + 1"},
    {"floor(s)", "floor(s)"},
    {"(6 * i + k) // 6", "i"},
    {"(6 * i + k) % 6", "k"},
    {"(6 * i + k + 6) // 6", "i + 1"},
    {"(5 * i + k) // 5", "(5 * i + k) // 5"}, /* stays: k reaches 5 */
    {"-7 // 2", "-4"},
    {"-7 % 2", "1"},
    {"if 1 then s else i", "s"},
    {"if s then 1 else 2", "if s != 0 then 1 else 2"},
    {"if not s > 1 then 1 else 2", "if s > 1 then 2 else 1"},
    {"if s > 1 then i else i", "i"},
    {"s > 1 and 1", "s > 1"},
    {"s > 1 or 1", "1"},
    {"not not s > 1", "s > 1"},
    {"exp(0)", "1"},
    {"detach(detach(s))", "detach(s)"},
};

START_TEST(test_fold)
{
    Arena *a = arena_new();
    Graph *g;

    ck_assert_str_eq(text_of(a, read_alone(a, folds[_i].text, &g)), folds[_i].folded);
    arena_free(a);
}
END_TEST

/* What is printed reads back as the same: parentheses where they are needed, and only there. */
static const char *const texts[] = {
    "s * (s + 1)",
    "s * s - (s - 1)",
    "(s - 1) / (s / 2)",
    "-(s + 1)",
    "-s * 2",
    "2^(-s)",
    "(-s)^s",
    "(s^s)^s",
    "s < 1 and s > -1 or not s == 3",
    "(s < 1 or s > 2) and s != 1",
    "if s > 1 then s else if s > 0 then 1 else 2",
    "2 * (if s > 1 then s else 3)",
    "tanh(s + 1) * max(s, 2)",
    "x[i] * x?[i+3] - x?[2*i-1]",
    "x[n[i]]",
    "x?[(i+3)//2] % 2",
    "random(3, 5 * i + j) < 0.5",
    "s < inf",
};

START_TEST(test_print)
{
    Arena *a = arena_new();
    Graph *g;

    ck_assert_str_eq(text_of(a, read_alone(a, texts[_i], &g)), texts[_i]);
    arena_free(a);
}
END_TEST

/* Equations print as they are read. */
static const char *const equations[] = {
    "y[b,o] = tanh(sum[c] w[o,c] * x[b,c] + v[o])",
    "y[b,c] = x[b,c]^2",
    "y = sum[b,c] x[b,c]",
    "y[b] = sqrt(sum[c] (x[b,c] + 1)) * 2",
    "y[b] = argmax[c] x[b,c]",
    "w2[3*o+c] = w[o,c]",
    "e[o+c] += w[o,c]",
    "e?[o+c-1] += w[o,c] * x[b,c]",
};

START_TEST(test_equation)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, arena_print(a, "param w[2,3]\nparam v[2]\ninput x[b,3]\ntemp w2[6]\ntemp e[4]\n%s\n", equations[_i]));

    ck_assert_str_eq(graph_lines(g, 0), arena_print(a, "%s\n", equations[_i]));
    graph_verify(g, "reading");
    arena_free(a);
}
END_TEST

static const struct {
    const char *text;
    bool known;
    int low, high;
} ranges[] = {
    {"2 * i + k - 1", true, -1, 10},
    {"5 - i", true, 2, 5},
    {"i - k + k", true, 0, 3},
    {"n[i] + 1", true, 1, 3},
    {"(k - 2) // 2", true, -1, 1},
    {"k % 4", true, 0, 3},
    {"(i + 4) % 8", true, 4, 7},
    {"min(k, i) + max(k, 2)", true, 2, 8},
    {"if k < 3 then k else 0 - k", true, -5, 5},
    {"if i < 7 then i else 100", true, 0, 3},
    {"i < 4", true, 1, 1},
    {"i > k", true, 0, 1},
    {"i + j < 0", true, 0, 0},
    {"i == i + 1", true, 0, 0},
    {"i < 2 and k > 9", true, 0, 0},
    {"not i >= 0", true, 0, 0},
    {"s < 2", true, 0, 1},
    {"floor(s)", false, 0, 0},
    {"abs(i - 2)", true, 0, 2},
};

START_TEST(test_range)
{
    Arena *a = arena_new();
    Graph *g;
    int64_t low = 0, high = 0;
    Expr *e = read_alone(a, ranges[_i].text, &g);

    ck_assert_msg(expr_range(e, &low, &high) == ranges[_i].known, "%s", ranges[_i].text);
    ck_assert_msg(low == ranges[_i].low && high == ranges[_i].high, "%s is %d..%d", ranges[_i].text, (int)low, (int)high);
    arena_free(a);
}
END_TEST

static const struct {
    const char *places[2];
    int nbox; /* of i j k */
    bool injective;
} injections[] = {
    {{"i", "j"}, 2, true},
    {{"i", "k"}, 3, false}, /* j is lost */
    {{"30 * i + 6 * j + k", NULL}, 3, true},
    {{"29 * i + 6 * j + k", NULL}, 3, false},
    {{"k + 6 * j", "i"}, 3, true},
    {{"k + j", "30 * i + 6 * j"}, 3, true}, /* the second tells i and j, then the first k */
    {{"k + j", "i"}, 3, false},
    {{"5 * k - j", "3 - i"}, 3, true},
    {{"i + j", "i - j"}, 2, false}, /* is, but is not seen */
};

START_TEST(test_injective)
{
    Arena *a = arena_new();
    Reader r = {.g = graph_read(a, 8, "input x[4]\n")};
    Expr *at[2] = {0};
    int rank = 0;

    find_index(&r, "i")->size = 4;
    find_index(&r, "j")->size = 5;
    find_index(&r, "k")->size = 6;
    for (; rank < 2 && injections[_i].places[rank]; rank++) {
        r.s = arena_copy(a, injections[_i].places[rank], strlen(injections[_i].places[rank]));
        at[rank] = read_expr(&r);
    }
    ck_assert_int_eq(subscripts_injective(at, rank, r.index, injections[_i].nbox), injections[_i].injective);
    arena_free(a);
}
END_TEST

/* The interpreter, on numbers a person can follow: x = 1 2 3 4, w = [1 2; 3 4], n = 2 0 1 2. */
static const struct {
    const char *equation;
    int count;
    double wanted[8];
} results[] = {
    {"y = sum[i] x[i]", 1, {10}},
    {"y[o] = sum[c] w[o,c] * x[c+1]", 2, {8, 18}},
    {"y[o] = 10 * sum[c] w[o,c] + o", 2, {30, 71}},
    {"y[i 5] = x?[i-1] + x?[i]", 5, {1, 3, 5, 7, 4}},
    {"y[i] = x[n[i]]", 4, {3, 1, 2, 3}},
    {"h[n[i]] += x[i]", 5, {2, 3, 5, 0, 0}},
    {"h[o+c] += w[o,c]", 5, {1, 5, 4, 0, 0}},
    {"h?[o+2*c-1] += w[o,c]", 5, {3, 2, 4, 0, 0}},
    {"y = max[i] x[i] * (if i < 2 then 1 else 0 - 1)", 1, {2}},
    {"y = min[i] x[i]", 1, {1}},
    {"y = prod[i] x[i]", 1, {24}},
    {"y = argmax[o,c] w[o,c] * (2 - o)", 1, {1}}, /* 2 4 3 4: the first of the two */
    {"y[c] = argmax[o] (0 - w[o,c])", 2, {0, 0}},
    {"g[1-i] = x[2*i] + 0 * w[0,i]", 2, {3, 1}},
    {"y[i] = (if x[i] > 2 and n[i] != 1 then 1 else 0) + i % 2", 4, {0, 1, 0, 2}},
    {"y[k 2] = 0 - 7 // 2 + (k - 3) % 2", 2, {-2, -3}},
    {"y = sum[k 3] 2", 1, {6}},
};

START_TEST(test_interpreter)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, arena_print(a, "input x[4]\ninput w[2,2]\ninput n[4] below 3\ntemp h[5]\ntemp g[2]\n%s\n", results[_i].equation));
    static const double x[] = {1, 2, 3, 4}, n[] = {2, 0, 1, 2};
    Run *r = run_new(a, g);
    const Tensor *out = g->equations.at[0]->out;

    graph_verify(g, "reading");
    memcpy(r->data[0], x, sizeof x);
    memcpy(r->data[1], x, sizeof x);
    memcpy(r->data[2], n, sizeof n);
    run_graph(r);
    ck_assert_int_eq(tensor_count(out), results[_i].count);
    for (int i = 0; i < results[_i].count; i++)
        ck_assert_msg(r->data[out->id][i] == results[_i].wanted[i], "%s: number %d is %g", results[_i].equation, i, r->data[out->id][i]);
    arena_free(a);
}
END_TEST

/* The same numbers for the same seed, step, stream and counter; others for any other. */
START_TEST(test_random)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, "scalar seed\nscalar steps\ny[i 100] = random(3, i)\nz[i 100] = random(4, i)\nm = sum[i] y[i] / 100\n");
    Run *r = run_new(a, g);
    double *y = r->data[graph_find(g, "y")->id], *z = r->data[graph_find(g, "z")->id], first[100];

    run_graph(r);
    memcpy(first, y, sizeof first);
    ck_assert_double_eq_tol(r->data[graph_find(g, "m")->id][0], 0.5, 0.15);
    for (int i = 0; i < 100; i++)
        ck_assert(y[i] >= 0 && y[i] < 1 && y[i] != z[i]);
    run_graph(r);
    ck_assert_mem_eq(first, y, sizeof first);
    r->data[graph_find(g, "steps")->id][0] = 1;
    run_graph(r);
    ck_assert_mem_ne(first, y, sizeof first);
    arena_free(a);
}
END_TEST

/* Each of these breaks an invariant: the verifier ends the process with EXIT_BUG. */
static const char *const broken[] = {
    "y[i 4] = x[i+1]",                  /* leaves x */
    "y[i 4] = x[i-1]",
    "e[o+c] += w[o,c] * 2\ny = e[7]",
    "t[i,i] = x[i]",                  /* not every place is written */
    "e?[2*i] = x[i]",                 /* those between */
    "y[i] = w[0,i]\ny[i] = w[1,i]",   /* two equations */
    "y[i] = u[i]",                    /* nothing makes u */
    "y[i] = z[i,b]",                  /* the batch where it does not belong */
    "y[i 4] = x[0.5*i]",                /* not whole */
    "x[i] = x[i] * 2",                /* given from outside */
    "y[i] = z[2,i]",                  /* a batch axis without the batch */
};

START_TEST(test_verify)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, arena_print(a, "input x[4]\ninput z[b,4]\nparam w[2,4]\ntemp e[5]\ntemp t[4,4]\ntemp u[4]\n%s\n", broken[_i]));

    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    graph_verify(g, "reading");
    arena_free(a);
}
END_TEST

START_TEST(test_copy)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, "param w[2,3]\ninput x[b,3]\ny[b,o] = sum[c] w[o,c] * x[b,c]\nv[o,c] = w[o,c] * 2\n");
    graph_find(g, "w")->next = graph_find(g, "v");
    const char *before = graph_lines(g, 0);
    Graph *copy = graph_copy(g, "copy");

    ck_assert_str_eq(graph_lines(copy, 0), before);
    graph_verify(copy, "copy");
    ck_assert_ptr_eq(graph_find(copy, "w")->next, graph_find(copy, "v"));
    ck_assert_ptr_ne(graph_find(copy, "w"), graph_find(g, "w"));
    copy->equations.at[0]->value = expr_number(a, 0);
    copy->equations.n = 1;
    ck_assert_str_eq(graph_lines(g, 0), before);
    arena_free(a);
}
END_TEST

START_TEST(test_names)
{
    Arena *a = arena_new();
    Graph *g = graph_new(a, "test", 1);

    for (int i = 0; i < 1000; i++)
        graph_tensor(g, "t", ROLE_TEMP, 0, NULL);
    ck_assert_str_eq(g->tensors.at[0]->name, "t");
    ck_assert_str_eq(g->tensors.at[1]->name, "t.2");
    ck_assert_str_eq(g->tensors.at[999]->name, "t.1000");
    ck_assert_ptr_eq(graph_find(g, "t.77"), g->tensors.at[76]);
    ck_assert_ptr_null(graph_find(g, "t.1001"));
    ck_assert_ptr_eq(graph_scalar(g, "count"), graph_scalar(g, "count"));
    arena_free(a);
}
END_TEST

/* A chain of squares is linear for every walk. */
START_TEST(test_sharing)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 1, "param x[3]\n");
    Expr *i = expr_index(a, index_new(a, "i", 3)), *e = expr_load(a, graph_find(g, "x"), &i, false);
    Tensor *x = graph_find(g, "x"), *d;

    for (int k = 0; k < 60; k++)
        e = expr_op(a, "pow", e, expr_number(a, 2), NULL);
    graph_equation(g, graph_tensor(g, "loss", ROLE_TEMP, 0, NULL), NULL, EQ_SUM, e);
    graph_gradient(g, graph_find(g, "loss"), 1, &x, &d);
    graph_verify(g, "gradient");
    Graph *copy = graph_copy(g, "copy");
    Run *r = run_new(a, copy);
    r->data[0][0] = r->data[0][1] = r->data[0][2] = 1;
    run_graph(r);
    ck_assert_double_eq(r->data[d->id][0], 1152921504606846976.0); /* 2^60 */
    arena_free(a);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof *(table))

int main(void)
{
    Suite *s = suite_create("graph");
    TCase *t = tcase_create("graph");
    tcase_add_loop_test(t, test_fold, 0, ROWS(folds));
    tcase_add_loop_test(t, test_print, 0, ROWS(texts));
    tcase_add_loop_test(t, test_equation, 0, ROWS(equations));
    tcase_add_loop_test(t, test_range, 0, ROWS(ranges));
    tcase_add_loop_test(t, test_injective, 0, ROWS(injections));
    tcase_add_loop_test(t, test_interpreter, 0, ROWS(results));
    tcase_add_test(t, test_random);
    tcase_add_loop_exit_test(t, test_verify, EXIT_BUG, 0, ROWS(broken));
    tcase_add_test(t, test_copy);
    tcase_add_test(t, test_names);
    tcase_add_test(t, test_sharing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
