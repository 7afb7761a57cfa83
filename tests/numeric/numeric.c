/* numeric.c -- every definition of the library against PyTorch (tests/numeric/golden) and against finite differences.
 *
 *     build/tests/numeric [-v] [FILE or 'case name' or part of an expression ...]
 *
 * For each case a tiny .nn source is written around its expression, checked, and run by the interpreter in double.
 * Outputs, gradients, updated states, weights after each step, rates and metrics must agree to 1e-10 of the
 * largest element (of 1e-3 where all are smaller: PyTorch too rounds what should be 0); derived gradients must agree with central differences to 1e-6. The batch of the graph is larger than
 * that of the case: what is not there must not matter. After each pass over the graph the interpreter must say the same. */
#include "test.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int passed, failed;
static bool verbose;

/* --- sources --- */

static void put_sizes(Text *s, const Row *row)
{
    for (int i = 1; i < row->rank; i++)
        text_print(s, "%s%lld", i > 1 ? "x" : "", (long long)row->size[i]);
}

/* "x: 3x5x5, label: class(4)" */
static void put_ports(Test *t)
{
    bool comma = false;

    for (int i = 0; i < t->c->rows.n; i++) {
        const Row *row = &t->c->rows.at[i];
        bool label = strcmp(row->key, "label") == 0;
        if (!label && strcmp(row->key, "input") != 0)
            continue;
        text_print(&t->source, "%s%s", comma ? ", " : "", row->name);
        comma = true;
        if (label)
            text_print(&t->source, ": class(%d)", t->c->classes);
        else if (row->rank > 1) {
            text_print(&t->source, ": ");
            put_sizes(&t->source, row);
        }
    }
}

/* The expression applied to all inputs: x -> conv(4, 3), or [x, z] -> add; textbook's product(x, y, z). */
static void put_call(Test *t)
{
    int n = 0;

    for (int i = 0; i < t->c->rows.n; i++)
        n += strcmp(t->c->rows.at[i].key, "input") == 0;
    for (int i = 0; i < n; i++)
        text_print(&t->source, "%s%s", i ? ", " : n > 1 ? "[" : "", t->c->rows.at[i].name);
    text_print(&t->source, "%s -> %s", n > 1 ? "]" : "", t->c->expr);
}

/* --- layers and losses --- */

/* loss = sum over all of out * upstream, at the end of the graph. */
static Tensor *add_loss(Arena *a, Graph *g, Tensor *out, Tensor **upstream)
{
    Expr *at[MAX_RANK];

    *upstream = graph_tensor(g, "upstream", ROLE_INPUT, out->rank, out->size);
    (*upstream)->batched = true;
    for (int i = 0; i < out->rank; i++)
        at[i] = expr_index(a, i ? index_new(a, "i", out->size[i]) : index_batch(g));
    Tensor *loss = graph_tensor(g, "sum", ROLE_TEMP, 0, NULL);
    graph_equation(g, loss, at, EQ_SUM,
                   expr_op(a, "mul", expr_load(a, out, at, false), expr_load(a, *upstream, at, false), NULL));
    return loss;
}

/* Central differences of up to six elements of a tensor. */
static void check_differences(Test *t, Run *r, const Tensor *loss, const Tensor *x, int64_t n, const double *grad)
{
    double *v = r->data[x->id], scale = fmax(largest(n, grad), 1e-3);
    int64_t stride = n > 6 ? n / 5 : 1;

    for (int64_t i = 0; i < n; i += stride) {
        double old = v[i], h = 1e-6 * fmax(1, fabs(old)), f0, up, down;
        run_graph(r);
        f0 = r->data[loss->id][0];
        v[i] = old + h;
        run_graph(r);
        up = r->data[loss->id][0];
        v[i] = old - h;
        run_graph(r);
        down = r->data[loss->id][0];
        v[i] = old;
        if (fabs((up - f0) - (f0 - down)) > 1e-3 * h * scale)
            continue; /* a kink, or too curved to tell */
        double slope = (up - down) / (2 * h), noise = 4e-16 * fabs(f0) / h;
        if (!(fabs(slope - grad[i]) <= 1e-6 * scale + noise))
            fail(t, "gradient by %s[%lld] is %.10g, by differences %.10g", x->name, (long long)i, grad[i], slope);
    }
}

static void test_gradients(Test *t, Run *r, const Tensor *loss, int n, Tensor **of, Tensor **grads, const Row **rows)
{
    double *is[32];

    for (int i = 0; i < n; i++) { /* kept: differences run the graph again */
        is[i] = NEW_ARRAY(t->arena, double, rows[i]->n);
        if (grads[i])
            memcpy(is[i], r->data[grads[i]->id], sizeof(double) * (size_t)rows[i]->n);
        compare(t, arena_print(t->arena, "gradient by %s", rows[i]->name), rows[i]->n, is[i], rows[i]->v, 1e-10);
    }
    for (int i = 0; i < n; i++)
        check_differences(t, r, loss, of[i], rows[i]->n, is[i]);
}

/* Carries out the passes one after the other; whatever is wanted must stay as it was in `before`. */
static void check_passes(Test *t, const Run *before)
{
    static const struct { const char *name; void (*run)(Graph *); } rows[] = {
        {"gather", graph_gather}, {"simplify", graph_simplify}, {"hoist", graph_hoist}, {"fuse", graph_fuse},
        {"dead", graph_drop_dead},
    };
    Graph *g = graph_copy(before->graph, before->graph->name);
    int ntensors = g->tensors.n;

    for (size_t p = 0; p < sizeof rows / sizeof *rows && !t->bad; p++) {
        rows[p].run(g);
        graph_verify(g, rows[p].name);
        Run *r = run_new(t->arena, g);
        for (int i = 0; i < ntensors; i++) {
            const Tensor *x = g->tensors.at[i];
            if (x->role != ROLE_TEMP)
                memcpy(r->data[i], before->data[i], sizeof(double) * (size_t)tensor_count(x));
        }
        run_graph(r);
        for (int i = 0; i < ntensors; i++) {
            const Tensor *x = g->tensors.at[i];
            if (x->wanted && !x->batched)
                compare(t, arena_print(t->arena, "after pass %s, %s", rows[p].name, x->name), tensor_count(x), r->data[i], before->data[i], 1e-12);
            else if (x->wanted)
                compare(t, arena_print(t->arena, "after pass %s, %s", rows[p].name, x->name),
                        tensor_count(x) / g->batch * t->samples, r->data[i], before->data[i], 1e-12);
        }
    }
}

static void run_and_compare(Test *t, Graph *g, Tensor *out, Tensor *loss, Tensor *upstream, int64_t samples,
                            double total)
{
    const Case *c = t->c;
    Tensor *of[32], *grads[32];
    const Row *rows[32], *want = case_row(c, "output", NULL), *up = case_row(c, "upstream", NULL);
    int n = 0;

    for (int i = 0; i < c->rows.n; i++) {
        const Row *row = &c->rows.at[i];
        if (strcmp(row->key, "grad") != 0)
            continue;
        of[n] = graph_find(g, row->name);
        rows[n] = row;
        if (!of[n])
            fail(t, "there is no tensor '%s'", row->name);
        else
            n++;
    }
    graph_verify(g, "check");
    graph_gradient(g, loss, n, of, grads);
    graph_verify(g, "gradient");
    loss->wanted = true;
    for (int i = 0; i < n; i++)
        if (grads[i])
            grads[i]->wanted = true;
    t->samples = samples;
    Run *r = run_new(t->arena, g);
    clock_set(r, (double)samples, total);
    inputs_fill(t, r, 0);
    run_load(t, r);
    if (upstream) {
        int64_t each = tensor_count(upstream) / g->batch;
        for (int64_t i = 0; i < samples * each; i++)
            r->data[upstream->id][i] = up->v[i];
    }
    run_graph(r);
    check_passes(t, r);
    if (!out)
        compare(t, "mean loss", 1, r->data[loss->id], want->v, 1e-10);
    else if (tensor_count(out) / g->batch * samples != want->n)
        fail(t, "output has %lld numbers, not %lld", (long long)(tensor_count(out) / g->batch * samples), (long long)want->n);
    else
        compare(t, "output", want->n, r->data[out->id], want->v, 1e-10);
    for (int i = 0; i < c->rows.n; i++) {
        const Row *row = &c->rows.at[i];
        const Tensor *s = strcmp(row->key, "next") == 0 ? graph_find(g, row->name) : NULL;
        if (s && s->next)
            compare(t, arena_print(t->arena, "next %s", row->name), row->n, r->data[s->next->id], row->v, 1e-10);
        else if (strcmp(row->key, "next") == 0)
            fail(t, "'%s' does not change", row->name);
    }
    test_gradients(t, r, loss, n, of, grads, rows);
}

static void put_train(Test *t, const char *loss, int64_t batch)
{
    text_print(&t->source,
               "data d = npy(\"x.npy\", \"label.npy\")\n"
               "train M on d {\n    loss = %s\n    optimizer = sgd(lr = 1)\n    batch = %lld\n    epochs = 1\n}\n",
               loss, (long long)batch);
}

static void test_layer(Test *t)
{
    const Row *x = &t->c->rows.at[0];
    bool training = t->c->training;

    if (t->c->define.s)
        text_print(&t->source, "%s", t->c->define.s);
    text_print(&t->source, "model M of ");
    put_ports(t);
    text_print(&t->source, " = ");
    put_call(t);
    text_print(&t->source, "\n");
    if (training) {
        text_print(&t->source, "layer weighted of y[...], t[...] -> loss {\n    loss = sum[...] y[...] * t[...]\n}\n");
        put_train(t, "weighted", x->size[0] + 3);
    }
    if (!build(t))
        return;
    Graph *g = training ? t->program->step : t->program->predict;
    Tensor *out = graph_find(g, training ? t->program->layers.at[0]->out->name : t->program->outputs.at[0].tensor);
    Tensor *upstream = graph_find(g, "label"), *loss = graph_find(g, "loss");
    if (!training && out)
        loss = add_loss(t->arena, g, out, &upstream);
    if (!out || !upstream || !loss)
        fail(t, "the graph lacks the output, the target or the loss");
    else if (x->size[0] > g->batch)
        fail(t, "the batch of the graph is only %lld", (long long)g->batch);
    if (t->bad)
        return;
    store_init(t);
    if (!t->bad)
        run_and_compare(t, g, out, loss, upstream, x->size[0], 1);
}

static void test_loss(Test *t)
{
    const Row *x = &t->c->rows.at[0];

    if (t->c->define.s) {
        text_print(&t->source, "%s", t->c->define.s);
    } else {
        text_print(&t->source, "model M of x: ");
        put_sizes(&t->source, x);
        text_print(&t->source, " = x -> identity\n");
    }
    put_train(t, t->c->expr, x->size[0] + 3);
    if (!build(t))
        return;
    Tensor *loss = graph_find(t->program->step, "loss");
    store_init(t);
    run_and_compare(t, t->program->step, NULL, loss, NULL, x->size[0], (double)x->size[0]);
}

/* --- optimizers, schedules, metrics --- */

/* What is kept under `name` in each of ten steps, by a training with `more` settings. */
static void ten_steps(Test *t, const char *more, const char *name, const double *want)
{
    const Row *w = case_row(t->c, "param", "w"), *gradient = case_row(t->c, "gradient", NULL);
    long long rows = (long long)w->size[0], cols = (long long)w->size[1];

    text_print(&t->source,
               "layer value of y, label -> loss {\n    loss = y + 0 * label\n}\ndata d = npy(\"x.npy\", \"label.npy\")\n"
               "model M of x: %lldx%lld -> y {\n    param w[%lld, %lld] = 0\n    y = sum[i, j] w[i, j] * x[i, j]\n}\n"
               "train M on d {\n    loss = value\n    optimizer = %s\n    %s\n    batch = 1\n    epochs = 1\n}\n",
               rows, cols, rows, cols, t->c->expr, more);
    if (!build(t))
        return;
    store_init(t);
    Run *r = run_new(t->arena, t->program->step);
    Tensor *x = graph_find(r->graph, "x");
    for (int s = 0; s < 10 && !t->bad; s++) {
        clock_set(r, 1, 1);
        set_scalar(r, "steps", s + 1);
        set_scalar(r, "base_lr", t->c->lr);
        memcpy(r->data[x->id], gradient->v + s * w->n, sizeof(double) * (size_t)w->n);
        run_load(t, r);
        run_graph(r);
        run_save(t, r);
        compare(t, arena_print(t->arena, "%s after step %d", name, s + 1), w->n, cell_find(t, name)->v, want + s * w->n, 1e-10);
    }
    t->source.n = 0;
    t->store.n = 0;
}

/* The average of what PyTorch's weights are after each step. */
static double *averages(Test *t, double share)
{
    const Row *w = case_row(t->c, "param", "w"), *after = case_row(t->c, "after", NULL);
    double *average = NEW_ARRAY(t->arena, double, after->n);

    for (int64_t i = 0; i < after->n; i++) {
        double steps = 1 + (double)(i / w->n), s = fmin(share, (1 + steps) / (10 + steps));
        average[i] = s * (i < w->n ? w->v[i] : average[i - w->n]) + (1 - s) * after->v[i];
    }
    return average;
}

static void test_optimizer(Test *t)
{
    const Row *after = case_row(t->c, "after", NULL);

    ten_steps(t, "", "w", after->v);
    ten_steps(t, "ema = 0.5", "optimizer.w.trained", after->v);
    ten_steps(t, "ema = 0.5", "w", averages(t, 0.5));
}

static void test_schedule(Test *t)
{
    const Row *rates = case_row(t->c, "rates", NULL), *valid = case_row(t->c, "valid", NULL);
    double *is = NEW_ARRAY(t->arena, double, rates->n);

    text_print(&t->source,
               "layer value of y, label -> loss {\n    loss = y + 0 * label\n}\ndata d = npy(\"x.npy\", \"label.npy\")\n"
               "model M of x: 1 -> y {\n    param w[1] = 0\n    y = w[0] * x[0]\n}\n"
               "train M on d {\n    loss = value\n    optimizer = sgd(lr = %.17g)\n    schedule = %s\n    batch = 1\n    epochs = %d\n}\n",
               t->c->lr, t->c->expr, (t->c->total + t->c->per_epoch - 1) / t->c->per_epoch);
    if (!build(t))
        return;
    store_init(t);
    Run *r = run_new(t->arena, t->program->step);
    for (int s = 0; s < rates->n; s++) {
        int epoch = s / t->c->per_epoch + 1;
        clock_set(r, 1, 1);
        set_scalar(r, "steps", s + 1);
        set_scalar(r, "epoch", epoch);
        set_scalar(r, "steps_per_epoch", t->c->per_epoch);
        set_scalar(r, "total_steps", t->c->total);
        set_scalar(r, "base_lr", t->c->lr);
        if (valid && epoch > 1)
            set_scalar(r, "valid_loss", valid->v[epoch - 2]);
        r->data[graph_find(r->graph, "x")->id][0] = 1;
        cell_get(t, "w", 1)->v[0] = 0;
        run_load(t, r);
        run_graph(r);
        run_save(t, r);
        is[s] = -cell_get(t, "w", 1)->v[0];
    }
    compare(t, "rates", rates->n, is, rates->v, 1e-10);
}

static void test_metric(Test *t)
{
    const Row *z = case_row(t->c, "input", "x"), *label = case_row(t->c, "label", NULL), *want = case_row(t->c, "output", NULL);

    if (!label)
        label = case_row(t->c, "input", "label");
    text_print(&t->source, "layer nothing of y[...], label%s", t->c->classes ? "" : label->rank > 1 ? "[...]" : "");
    if (t->c->classes)
        text_print(&t->source, ": class(%d)", t->c->classes);
    for (int i = 1; i < label->rank && t->c->classes; i++)
        text_print(&t->source, "%s%lld%s", i == 1 ? "[" : ", ", (long long)label->size[i], i == label->rank - 1 ? "]" : "");
    text_print(&t->source, " -> loss {\n    loss = mean[...] y[...]\n}\n"
                           "data d = npy(\"x.npy\", \"label.npy\")\nmodel M of x: ");
    put_sizes(&t->source, z);
    text_print(&t->source, " = x -> identity\ntrain M on d {\n    loss = nothing\n    metrics = %s\n"
               "    optimizer = sgd(lr = 1)\n    batch = 8\n    epochs = 1\n}\n", t->c->expr);
    if (!build(t))
        return;
    store_init(t);
    for (int i = 0; i < t->program->kept.n; i++)
        if (t->program->kept.at[i].kind == KEPT_METRIC) {
            Cell *c = cell_find(t, t->program->kept.at[i].name);
            if (c)
                memset(c->v, 0, sizeof(double) * (size_t)c->n);
        }
    for (int64_t first = 0; first < z->size[0]; first += 8) {
        Run *r = run_new(t->arena, t->program->eval);
        int64_t n = z->size[0] - first < 8 ? z->size[0] - first : 8;
        clock_set(r, (double)n, (double)n);
        inputs_fill(t, r, first);
        run_load(t, r);
        run_graph(r);
        run_save(t, r);
    }
    Run *r = run_new(t->arena, t->program->report);
    clock_set(r, 0, 0);
    run_load(t, r);
    run_graph(r);
    Tensor *m = t->program->metrics.n > 1 ? graph_find(t->program->report, t->program->metrics.at[1].tensor) : NULL;
    if (!m || tensor_count(m) != want->n)
        fail(t, "no metric of %lld numbers comes out", (long long)want->n);
    else
        compare(t, "metric", want->n, r->data[m->id], want->v, 1e-10);
}

static void test_case(const Case *c)
{
    static const struct { const char *kind; void (*run)(Test *); } kinds[] = {
        {"layer", test_layer}, {"loss", test_loss}, {"optimizer", test_optimizer}, {"schedule", test_schedule},
        {"metric", test_metric},
    };
    Arena *a = arena_new();
    Test t = {.arena = a, .c = c};

    t.source.arena = t.news.arena = a;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(c->kind, kinds[i].kind) == 0)
            kinds[i].run(&t);
    if (verbose && !t.bad)
        printf("ok   %s: %s\n", c->name, c->expr);
    passed += !t.bad;
    failed += t.bad;
    fflush(stdout);
    arena_free(a);
}

static bool wanted(const Case *c, int n, char **words)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], c->name) == 0 || strstr(c->expr, words[i]) ||
            (strncmp(c->name, words[i], strlen(words[i])) == 0 && c->name[strlen(words[i])] == ' '))
            return true;
    return n == 0;
}

int main(int argc, char **argv)
{
    const char *folder = "tests/numeric/golden";
    struct dirent **files;
    Arena *a = arena_new();
    Cases cases = {0};

    if (argc > 1 && strcmp(argv[1], "-v") == 0) {
        verbose = true;
        argc--, argv++;
    }
    int n = scandir(folder, &files, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (strstr(files[i]->d_name, ".txt"))
            cases_read(a, arena_print(a, "%s/%s", folder, files[i]->d_name), &cases);
        free(files[i]);
    }
    if (n > 0)
        free(files);
    for (int i = 0; i < cases.n; i++)
        if (wanted(cases.at[i], argc - 1, argv + 1))
            test_case(cases.at[i]);
    arena_free(a);
    printf("numeric: %d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
