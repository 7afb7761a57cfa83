/* models.c -- whole models: the compiled kernels of every graph against the interpreter, wanted result by wanted result.
 *
 * Small models made of the library's layers, losses and optimizers, in every order that has ever gone wrong. */
#include "kernels.h"

#include "check/check.h"

#include <check.h>

static const struct {
    const char *name, *text;
} models[] = {
    {"lenet",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 1x12x12, label: class(10) {\n"
     "    x -> conv(6, 5, pad = 2) -> tanh -> avgpool(2) -> conv(16, 3) -> tanh -> avgpool(2) -> flatten\n"
     "      -> dense(20) -> tanh -> dense(10)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = sgd(lr = 0.05)\nbatch = 32\nmetrics = accuracy }\n"},
    {"residual net, batch norm, momentum",
     "data d = npy(\"x\", \"y\")\n"
     "layer conv_bn(c, k = 3, stride = 1) = conv(c, k, stride, pad = same, bias = false) -> batchnorm\n"
     "layer shortcut(c, stride) = if stride == 1 then identity else subsample(stride) -> pad_channels(c)\n"
     "layer body(c, stride) = conv_bn(c, 3, stride) -> relu -> conv_bn(c)\n"
     "layer basic(c, stride = 1) = [shortcut(c, stride), body(c, stride)] -> add -> relu\n"
     "model M of x: 3x8x8, label: class(10) {\n"
     "    x -> conv_bn(8) -> relu -> basic(8) * 2 -> basic(16, stride = 2) -> globalavgpool -> dense(10)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = sgd(lr = 0.1, momentum = 0.9, decay = 1e-4)\nbatch = 24\n"
     "    metrics = accuracy, top(3) }\n"},
    {"dense, dropout, adam, clipped",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x[30], label: class(5) = x -> dense(40) -> gelu -> dropout(0.3) -> dense(24) -> layernorm -> silu -> dense(5)\n"
     "train M on d { loss = cross_entropy(smoothing = 0.1)\noptimizer = adam(lr = 0.01)\nclip = norm(1)\n"
     "    penalty = l2(0.001)\nbatch = 20\nmetrics = accuracy, confusion }\n"},
    {"strange convolutions",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 4x11x9, label: class(3) {\n"
     "    x -> conv(6, 3x2, stride = 2x1, pad = 1x0, groups = 2) -> elu -> maxpool(3, stride = 2, pad = 1)\n"
     "      -> conv(5, 1) -> prelu -> conv(4, 3, pad = 2, dilation = 2) -> hardswish -> groupnorm(2) -> maxout\n"
     "      -> avgpool(2, stride = 1, pad = 1) -> flatten -> dense(3)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = rmsprop(lr = 0.01, momentum = 0.5, centered = true)\nbatch = 17 }\n"},
    {"up and down",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 2x6x6, label[2, 12, 12] {\n"
     "    x -> conv(4, 3, pad = 1) -> instancenorm(affine = true) -> leaky_relu(0.1) -> deconv(3, 3, stride = 2, pad = 1, extra = 1)\n"
     "      -> softplus -> conv(2, 1)\n}\n"
     "train M on d { loss = mse\noptimizer = adamw(lr = 0.01)\nbatch = 9\nmetrics = mae, rmse, r2 }\n"},
    {"branches",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 3x7x7, label: class(4) {\n"
     "    a = x -> [conv(4, 1), conv(5, 3, pad = 1), maxpool(3, stride = 1, pad = 1)] -> concat -> mish\n"
     "    a -> upsample(2) -> pad(1) -> subsample(2) -> [globalavgpool, globalmaxpool] -> concat -> dense(8) -> selu -> dense(4)\n}\n"
     "train M on d { loss = focal\noptimizer = adadelta\nbatch = 33\nmetrics = f1, perplexity }\n"},
    {"line", "data d = npy(\"x\", \"y\")\n"
             "model M of x[1], label[1] = x -> dense(1)\n"
             "train M on d { loss = mse\noptimizer = sgd(lr = 0.1, momentum = 0.9, nesterov = true)\nbatch = 4 }\n"},
    {"exclusive or",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x[2], label[1] = x -> dense(8) -> tanh -> dense(1)\n"
     "train M on d { loss = binary_cross_entropy\noptimizer = nadam(lr = 0.05)\nbatch = 4\nmetrics = accuracy }\n"},
    {"wide",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x[512], label: class(10) = x -> dense(256) -> relu -> dense(300) -> relu -> dense(10)\n"
     "train M on d { loss = cross_entropy\noptimizer = adam\nbatch = 64\nmetrics = accuracy }\n"},
    {"next values together, adam",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 2x10x10, label: class(7) {\n"
     "    x -> conv(9, 3, pad = same) -> batchnorm -> relu -> maxpool(2) -> conv(20, 3) -> batchnorm -> tanh -> maxpool(3)\n"
     "      -> flatten -> dense(37) -> relu -> dropout(0.25) -> dense(7)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = adamw(lr = 0.01, decay = 0.1)\nschedule = cosine\nbatch = 21\n"
     "    metrics = accuracy, top(2) }\n"},
    {"next values together, momentum",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 1x9x8, label: class(4) {\n"
     "    x -> conv(5, 3) -> batchnorm -> relu -> maxpool(2, stride = 1) -> flatten -> dense(300) -> batchnorm -> relu -> dense(4)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = sgd(lr = 0.1, momentum = 0.9, nesterov = true, decay = 1e-3)\n"
     "    clip = value(0.5)\nbatch = 40 }\n"},
    {"words, waves and graphs",
     "data d = npy(\"x\", \"y\")\n"
     "layer embed(D) of word: class(V) -> y[D] {\n    param table[V, D] ~ normal\n    y[d] = table[word, d]\n}\n"
     "model M of x: class(9)[6], label[4, 6] {\n"
     "    param knots[6, 5] ~ normal\n"
     "    waves[k in 4, t in 6] = sin(2^k * t / 6)\n"
     "    h = x -> embed(8) -> dense(5)\n"
     "    a[t, s] = softmax[s] sum[c] h[t, c] * h[s, c]\n"
     "    z = knots -> dense(5) -> layernorm\n"
     "    p[t, c] = h[t, c] + sum[s] a[t, s] * z[s, c]\n"
     "    q = p -> dense(4) -> permute(1, 0)\n"
     "    q + waves + 0.1 * gaussian(q)\n}\n"
     "train M on d { loss = mse\noptimizer = adam\nbatch = 20 }\n"},
    {"pixels from channels, a last layer of two inputs",
     "data d = npy(\"x\", \"y\")\n"
     "layer between of a[C], b[C] -> y[C] { y[c] = a[c] * b[c] }\n"
     "model M of x: 2x4x3, label: class(5) {\n"
     "    h = x -> conv(12, 3, pad = same) -> pixel_shuffle(2) -> relu -> flatten\n"
     "    a, b = h -> [dense(5), dense(5)]\n"
     "    between(a, b)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = sgd(lr = 0.1)\nbatch = 18\nmetrics = accuracy }\n"},
    {"more weights than a kernel reads tensors, together",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x[3], label: class(2) = x -> (dense(3) -> tanh) * 70 -> dense(2)\n"
     "train M on d { loss = cross_entropy\noptimizer = sgd(lr = 0.1)\nclip = norm(1)\npenalty = l2(0.01)\nbatch = 4 }\n"},
    {"a maximum early, and a sum in turn with what comes before it",
     "layer left = conv(1024, 1, stride = 2, bias = false) -> batchnorm\n"
     "layer right = relu -> conv(1024, 1, bias = false) -> batchnorm -> maxpool(3, stride = 2, pad = 1)\n"
     "model M of x: 16x5x5 = x -> [left, right] -> add\n"},
    {"along a line",
     "data d = npy(\"x\", \"y\")\n"
     "model M of x: 2x40, label: class(2) {\n"
     "    x -> conv(8, 5, stride = 2, pad = 2) -> batchnorm -> sigmoid -> maxpool(2) -> conv(6, 3, pad = same) -> rmsnorm\n"
     "      -> softsign -> flatten -> dense(2)\n}\n"
     "train M on d { loss = cross_entropy\noptimizer = adagrad\nschedule = cosine\nbatch = 16\nmetrics = auc }\n"},
};

enum { NMODELS = sizeof models / sizeof *models, NGRAPHS = 7 };

typedef struct Model {
    Arena *arena;
    Program *program;
    Compiled c[NGRAPHS];
} Model;

static Model made[NMODELS];

static Graph *graph_of(Program *p, int i)
{
    Graph *const g[NGRAPHS] = {p->init, p->step, p->eval, p->report, p->predict, p->prepare, p->single};

    return g[i];
}

static void add_graph(Model *x, int i, Graph *g, Text *text, int m)
{
    char prefix[32];

    x->c[i].graph = g;
    x->c[i].program = x->program;
    snprintf(prefix, sizeof prefix, "m%d_%d_", m, i);
    kernels_print(text, &x->c[i], prefix);
}

static bool make_model(int m, Text *text)
{
    Model *x = &made[m];

    x->arena = arena_new();
    int file = source_add(models[m].name, models[m].text, strlen(models[m].text), false);
    x->program = check(x->arena, parse(x->arena, file), NULL, 0);
    if (!x->program)
        return false;
    for (int i = 0; i < NGRAPHS; i++) {
        Graph *g = graph_of(x->program, i);
        if (!g)
            continue;
        if (g->single) { /* its passes are those of predict */
            add_graph(x, i, g, text, m);
            continue;
        }
        graph_gather(g);
        graph_simplify(g);
        graph_hoist(g);
        graph_fuse(g);
        graph_drop_dead(g);
        if (g == x->program->predict)
            x->program->single = graph_single(g, "predict_one");
        add_graph(x, i, g, text, m);
    }
    return true;
}

static bool build_all(void)
{
    Text text = {.arena = arena_new()};
    char name[32];

    kernels_prelude(&text);
    for (int m = 0; m < NMODELS; m++)
        if (!make_model(m, &text))
            return false;
    void *object = kernels_load(text.s, "-O1");
    for (int i = 0; object && i < NMODELS * NGRAPHS; i++) {
        snprintf(name, sizeof name, "m%d_%d_run", i / NGRAPHS, i % NGRAPHS);
        *(void **)&made[i / NGRAPHS].c[i % NGRAPHS].run = dlsym(object, name);
    }
    return object != NULL;
}

/* Values that a training could have: small weights, no negative variances, samples that are there. */
static void make_plausible(Run *r, int64_t n)
{
    for (int i = 0; i < r->graph->tensors.n; i++) {
        const Tensor *t = r->graph->tensors.at[i];
        double *x = r->data[i];
        int64_t count = tensor_count(t), row = t->batched ? count / t->size[0] : 0;
        for (int64_t k = 0; t->role != ROLE_TEMP && t->role != ROLE_SCALAR && !t->integer && k < count; k++)
            x[k] = (double)(float)(t->role == ROLE_STATE ? fabs(x[k]) + 0.1 : t->role == ROLE_PARAM ? x[k] / 4 : x[k]);
        if (t->role == ROLE_INPUT && t->batched)
            memset(x + n * row, 0, sizeof *x * (size_t)(count - n * row));
        if (strcmp(t->name, "count") == 0 || strcmp(t->name, "total") == 0)
            x[0] = (double)n;
        if (strcmp(t->name, "total_steps") == 0)
            x[0] = 100;
    }
}

static void run_model(int number, int64_t n)
{
    const Model *m = &made[number / NGRAPHS];
    const Compiled *c = &m->c[number % NGRAPHS];
    const char *name = models[number / NGRAPHS].name;
    Arena *a = arena_new();

    if (!c->graph)
        return;
    ck_assert_msg(c->run != NULL, "not built");
    if (n <= 0 || n > c->graph->batch)
        n = c->graph->batch;
    Run *r = run_filled(a, c->graph);
    make_plausible(r, n);
    void **s = storages_new(a, c, r, n), **again = storages_new(a, c, r, n);
    run_graph(r);
    c->run(s, (long)n, 1);
    c->run(again, (long)n, 2);
    for (int i = 0; i < c->graph->tensors.n; i++) {
        const Tensor *t = c->graph->tensors.at[i];
        if (!t->wanted || t->role != ROLE_TEMP)
            continue;
        double error = result_error(c, t, s, r, n);
        ck_assert_msg(error < 1e-3, "%s, graph %s, %d samples: %s is off by %g", name, c->graph->name, (int)n, t->name, error);
        error = result_error(c, t, again, r, n);
        ck_assert_msg(error < 1e-3, "%s, graph %s, %d samples, divided: %s is off by %g", name, c->graph->name, (int)n, t->name, error);
    }
    arena_free(a);
}

START_TEST(full) { run_model(_i, 0); }
END_TEST

START_TEST(short_batch) { run_model(_i, 3); }
END_TEST

int main(void)
{
    Suite *s = suite_create("models");
    TCase *c = tcase_create("kernels");

    if (!build_all())
        return 1;
    tcase_add_loop_test(c, full, 0, NMODELS * NGRAPHS);
    tcase_add_loop_test(c, short_batch, 0, NMODELS * NGRAPHS);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
