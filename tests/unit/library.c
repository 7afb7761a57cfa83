/* library.c -- every definition of lang/, in a small network: its gradient agrees with differences of the loss, and
 * after every pass the interpreter says what it said before, of every graph. */
#include "check/check.h"
#include "graph/check_gradients.h"
#include "graph/program.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

/* Layers and activations on 4 x 7 x 7, between a convolution and dense(10). */
static const char *const layers[] = {
    "relu", "relu6", "leaky_relu(0.1)", "prelu", "elu", "selu", "softplus", "softplus(beta = 2)", "gelu",
    "gelu(tanh = true)", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish", "softsign", "sigmoid", "tanh",
    "softmax", "log_softmax", "maxout", "identity",
    "conv(3, 3, stride = 2, pad = 1)", "conv(4, 3, dilation = 2, groups = 2)", "conv(6, 2x3, pad = 1)",
    "conv(4, 3, pad = same, bias = false)", "conv(4, 4, stride = 3, pad = tf_same)", "deconv(3, 3)",
    "deconv(4, 3, stride = 2, pad = 1, extra = 1)", "deconv(4, 3, dilation = 2, groups = 2, stride = 2)",
    "maxpool(2)", "maxpool(3, stride = 2, pad = 1)", "avgpool(2)", "avgpool(3, stride = 2, pad = 1)",
    "globalavgpool", "globalmaxpool", "adaptive_avgpool(3)", "upsample(2)", "subsample(2)", "pad(2)",
    "pad_channels(9)", "batchnorm", "layernorm", "rmsnorm", "groupnorm(2)", "instancenorm",
    "instancenorm(affine = true)", "dropout(0.5)", "[relu, tanh] -> add", "[relu, tanh] -> mul",
    "[relu, conv(2, 3, pad = 1)] -> concat", "split(2) -> mul", "reshape([14, 14])", "permute(2, 0, 1)", "flatten",
    "reshape([4, 49]) -> conv(3, 5, stride = 2, pad = 1) -> maxpool(2)",
    "reshape([2, 2, 7, 7]) -> conv(3, 2, pad = 1) -> maxpool(2)",
    "batchnorm -> relu -> conv(8, 3) -> batchnorm -> relu -> globalavgpool",
    "[identity, conv(4, 3, pad = 1) -> batchnorm] -> add -> relu",
};

/* Losses of class scores, and of numbers, with what they want of the label. */
static const char *const class_losses[] = {
    "cross_entropy", "cross_entropy(smoothing = 0.1)", "focal", "focal(gamma = 1.5)", "cross_entropy(ignore = 1)",
};
static const struct { const char *loss, *label; } number_losses[] = {
    {"mse", "label"}, {"mae", "label"}, {"huber", "label"}, {"smooth_l1", "label"}, {"hinge", "sign(label)"}, {"kl", "[(label + 1) / 2]"},
    {"binary_cross_entropy", "(label + 1) / 2"}, {"cosine", "label"}, {"0.5 * mse", "label"},
};

/* What else changes the step. */
static const char *const settings[] = {
    "clip = norm(1)", "clip = value(0.1)", "penalty = l2(0.1)", "penalty = l1(0.1) + l2(0.1)",
    "ema = 0.9", "accumulate = 2\n    ema = 0.99\n    penalty = l2(0.1)", "optimizer = adam", "optimizer = adamw(lr = 0.01)", "optimizer = rmsprop", "optimizer = adagrad",
    "optimizer = adadelta", "optimizer = nadam", "optimizer = lion",
    "optimizer = sgd(lr = 0.1, nesterov = true, momentum = 0.9, decay = 0.01)",
};

static const char *image_model(Arena *a, const char *layer, const char *loss, const char *setting)
{
    const char *optimizer = strncmp(setting, "optimizer", 9) == 0 ? "" : "optimizer = sgd(lr = 0.1)";

    return arena_print(a,
                       "data d = mnist(\"data\")\n"
                       "model M of image: 1x28x28 = image -> avgpool(4) -> conv(4, 3, pad = 1) -> %s -> flatten -> dense(10)\n"
                       "train M on d {\n    loss = %s\n    %s\n    %s\n    batch = 4\n    epochs = 1\n}\n",
                       layer, loss, optimizer, setting);
}

static const char *number_model(Arena *a, const char *loss, const char *label)
{
    return arena_print(a,
                       "data d = points.spiral(100) {\n    x = [x1, x2]\n    label = %s\n}\n"
                       "model M of x[2] = x -> dense(5) -> tanh -> dense(1)\n"
                       "train M on d {\n    loss = %s\n    optimizer = sgd(lr = 0.1)\n    batch = 4\n    epochs = 1\n}\n",
                       label, loss);
}

static Program *compile(Arena *a, const char *text)
{
    Text news = {.arena = a};

    diag_reset();
    diag_to(&news);
    int file = source_add("test.nn", text, strlen(text), false);
    Program *p = check(a, parse(a, file), NULL, 0);
    news_show();
    ck_assert_msg(p && error_count() == 0, "%s\n%s", text, news.s);
    return p;
}

/* --- the same numbers after every pass --- */

/* Depends on name and position alone: graphs whose tensors have other ids by now get the same. */
static void fill_tensor(Run *r, const Tensor *t)
{
    double *x = r->data[t->id];
    uint32_t state = 5381;

    for (const char *s = t->name; *s; s++)
        state = state * 33 + (unsigned char)*s;
    for (int64_t k = 0; k < tensor_count(t); k++) {
        state = state * 1664525u + 1013904223u;
        double u = (double)(state >> 8) / 16777216.0;
        bool positive = t->role == ROLE_STATE; /* variances */
        x[k] = t->integer ? floor(u * (double)(t->below ? t->below : 2)) : positive ? u + 0.5 : 2 * u - 1;
    }
    if (t->role == ROLE_SCALAR)
        x[0] = strcmp(t->name, "count") == 0 || strcmp(t->name, "total") == 0 ? (double)r->samples : 2;
}

static Run *run_on_numbers(Arena *a, const Graph *g)
{
    Run *r = run_new(a, g);

    r->samples = g->batch < 3 ? g->batch : 3; /* a short batch */
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.at[i]->role != ROLE_TEMP)
            fill_tensor(r, g->tensors.at[i]);
    run_graph(r);
    return r;
}

static bool is_result(const Graph *g, const Tensor *t)
{
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.at[i]->next == t)
            return true;
    return t->wanted;
}

static void compare(const Run *before, const Run *after, const char *text, const char *pass)
{
    const Graph *g = before->graph;

    for (int i = 0; i < g->tensors.n; i++) {
        const Tensor *t = g->tensors.at[i], *u = graph_find(after->graph, t->name);
        double scale = 1e-12, most = 0;
        if (!is_result(g, t))
            continue;
        ck_assert_msg(u && is_result(after->graph, u), "%s\ngraph %s after %s: %s is lost", text, g->name, pass, t->name);
        int64_t n = t->batched ? tensor_count(t) / g->batch * before->samples : tensor_count(t);
        for (int64_t k = 0; k < n; k++) {
            double x = before->data[t->id][k], y = after->data[u->id][k];
            scale = fmax(scale, fabs(x));
            most = fmax(most, x == y || (isnan(x) && isnan(y)) ? 0 : isnan(x - y) ? HUGE_VAL : fabs(x - y));
        }
        ck_assert_msg(most / scale < 1e-9, "%s\ngraph %s after %s: %s differs by %g", text, g->name, pass, t->name, most / scale);
    }
}

static void check_passes(Arena *a, Program *p, const char *text)
{
    static const struct {
        const char *name;
        void (*pass)(Graph *g);
    } passes[] = {{"gather", graph_gather}, {"simplify", graph_simplify}, {"hoist", graph_hoist},
                  {"fuse", graph_fuse},     {"dead", graph_drop_dead}};
    Graph *graphs[] = {p->init, p->step, p->eval, p->report, p->predict, p->prepare};

    for (int k = 0; k < 6; k++) {
        if (!graphs[k])
            continue;
        Run *before = run_on_numbers(a, graph_copy(graphs[k], graphs[k]->name));
        for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
            passes[i].pass(graphs[k]);
            graph_verify(graphs[k], passes[i].name);
            compare(before, run_on_numbers(a, graphs[k]), text, passes[i].name);
        }
    }
}

static void check_model(Arena *a, const char *text)
{
    Program *p = compile(a, text);
    GradientCheck *c = check_gradients(a, p, 1);
    Text table = {.arena = a};

    gradient_check_print(&table, c);
    ck_assert_msg(c->good, "%s\n%s", text, table.s);
    check_passes(a, p, text);
    arena_free(a);
}

START_TEST(test_layer)
{
    Arena *a = arena_new();

    check_model(a, image_model(a, layers[_i], "cross_entropy", ""));
}
END_TEST

START_TEST(test_class_loss)
{
    Arena *a = arena_new();

    check_model(a, image_model(a, "tanh", class_losses[_i], ""));
}
END_TEST

START_TEST(test_number_loss)
{
    Arena *a = arena_new();

    check_model(a, number_model(a, number_losses[_i].loss, number_losses[_i].label));
}
END_TEST

START_TEST(test_setting)
{
    Arena *a = arena_new();

    check_model(a, image_model(a, "tanh", "cross_entropy", settings[_i]));
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof *(table))

int main(void)
{
    Suite *s = suite_create("library");
    TCase *t = tcase_create("library");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_layer, 0, ROWS(layers));
    tcase_add_loop_test(t, test_class_loss, 0, ROWS(class_losses));
    tcase_add_loop_test(t, test_number_loss, 0, ROWS(number_losses));
    tcase_add_loop_test(t, test_setting, 0, ROWS(settings));
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
