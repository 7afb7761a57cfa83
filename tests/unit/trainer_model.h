/* trainer_model.h -- a network written by hand as an nn_program: two numbers, eight tanh, three classes.
 *
 * It has everything that a generated one can have: rows with padding, a rank 0 state, measured states, accumulation,
 * a metric that is a table, and random numbers that depend on the step. One thread, plain loops. */
#ifndef TRAINER_MODEL_H
#define TRAINER_MODEL_H

#include "nn.h"
#include "nn_random.h"

#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

enum { TINY_IN = 2, TINY_HIDDEN = 8, TINY_OUT = 3, TINY_ROW = 16, TINY_BATCH = 8, TINY_STREAM = 1 };

typedef struct TinyWeights {
    float w1[TINY_HIDDEN][TINY_ROW], b1[TINY_ROW], w2[TINY_OUT][TINY_ROW], b2[TINY_ROW];
} TinyWeights;

typedef struct Tiny {
    double scalars[NN_SCALARS];
    TinyWeights w, g, v; /* weights, sums of gradients, momentum */
    float mean[TINY_IN], deviation[TINY_IN];
    double updates;                  /* kept by the optimizer */
    double losses, right, seen;      /* sums */
    float confused[TINY_OUT][TINY_OUT];
    double loss, accuracy, confusion[TINY_OUT][TINY_OUT];
} Tiny;

static int tiny_fail_at = -1; /* the update at which the loss is not finite */
static int tiny_signal_at = -1, tiny_signal;  /* the update at which a signal comes, and which */
static int tiny_evals, tiny_signal_at_eval = -1; /* calls of eval; the one at which the signal comes */
static int tiny_sign = 1; /* -1: a wrong gradient of the second layer's weights */

static double *tiny_scalars(void *ctx) { return ((Tiny *)ctx)->scalars; }

static int tiny_init(void *ctx, uint64_t seed)
{
    Tiny *t = ctx;
    uint32_t key = nn_random_key(seed, 0, 0), n = 0;

    memset(t, 0, sizeof *t);
    for (int i = 0; i < TINY_HIDDEN; i++)
        for (int j = 0; j < TINY_IN; j++)
            t->w.w1[i][j] = 2 * nn_random(key, n++) - 1;
    for (int i = 0; i < TINY_OUT; i++)
        for (int j = 0; j < TINY_HIDDEN; j++)
            t->w.w2[i][j] = 0.6f * nn_random(key, n++) - 0.3f;
    t->deviation[0] = t->deviation[1] = 1;
    t->scalars[NN_BASE_LR] = 0.05;
    t->scalars[NN_SEED] = (double)seed;
    return NN_OK;
}

/* Probabilities of one sample; h: the hidden layer, x: the standardized input. */
static void tiny_forward(const Tiny *t, const float *x, float *h, double *p)
{
    double sum = 0;

    for (int i = 0; i < TINY_HIDDEN; i++) {
        float s = t->w.b1[i];

        for (int j = 0; j < TINY_IN; j++)
            s += t->w.w1[i][j] * x[j];
        h[i] = tanhf(s);
    }
    for (int k = 0; k < TINY_OUT; k++) {
        double z = (double)t->w.b2[k];

        for (int i = 0; i < TINY_HIDDEN; i++)
            z += (double)(t->w.w2[k][i] * h[i]);
        p[k] = exp(z);
        sum += p[k];
    }
    for (int k = 0; k < TINY_OUT; k++)
        p[k] /= sum;
}

static void tiny_count(Tiny *t, const double *p, int label)
{
    int best = 0;

    for (int k = 1; k < TINY_OUT; k++)
        best = p[k] > p[best] ? k : best;
    t->losses -= log(p[label]);
    t->right += best == label;
    t->seen += 1;
    t->confused[label][best] += 1;
}

static void tiny_input(const Tiny *t, const void *const *fields, int b, float *x)
{
    for (int j = 0; j < TINY_IN; j++)
        x[j] = (((const float *)fields[j])[b] - t->mean[j]) / t->deviation[j];
}

static void tiny_backward(Tiny *t, const float *x, const float *h, const double *p, int label)
{
    float total = (float)t->scalars[NN_TOTAL], dh[TINY_HIDDEN] = {0};

    for (int k = 0; k < TINY_OUT; k++) {
        float dz = ((float)p[k] - (float)(k == label)) / total;

        t->g.b2[k] += dz;
        for (int i = 0; i < TINY_HIDDEN; i++) {
            t->g.w2[k][i] += (float)tiny_sign * dz * h[i];
            dh[i] += dz * t->w.w2[k][i];
        }
    }
    for (int i = 0; i < TINY_HIDDEN; i++) {
        float ds = dh[i] * (1 - h[i] * h[i]);

        t->g.b1[i] += ds;
        for (int j = 0; j < TINY_IN; j++)
            t->g.w1[i][j] += ds * x[j];
    }
}

static void tiny_update(Tiny *t)
{
    float *w = (float *)&t->w, *g = (float *)&t->g, *v = (float *)&t->v;
    float lr = (float)t->scalars[NN_LR];

    for (size_t i = 0; i < sizeof t->w / sizeof *w; i++) {
        v[i] = 0.9f * v[i] + g[i];
        w[i] -= lr * v[i];
        g[i] = 0;
    }
    t->updates += 1;
}

static int tiny_step(void *ctx, const void *const *fields, int n)
{
    Tiny *t = ctx;
    uint32_t key;

    t->scalars[NN_STEPS] += 1;
    t->scalars[NN_LR] = t->scalars[NN_BASE_LR] / (1 + 0.01 * t->scalars[NN_EPOCH]);
    if ((int)t->scalars[NN_STEPS] == tiny_fail_at)
        return NN_ENOTFINITE;
    if ((int)t->scalars[NN_STEPS] == tiny_signal_at)
        raise(tiny_signal);
    key = nn_random_key((uint64_t)t->scalars[NN_SEED], (uint64_t)t->scalars[NN_STEPS], TINY_STREAM);
    for (int b = 0; b < n; b++) {
        int label = ((const int32_t *)fields[TINY_IN])[b];
        float x[TINY_IN], h[TINY_HIDDEN];
        double p[TINY_OUT];

        tiny_input(t, fields, b, x);
        for (int j = 0; j < TINY_IN; j++)
            x[j] += 0.1f * (nn_random(key, (uint32_t)(b * TINY_IN + j)) - 0.5f);
        tiny_forward(t, x, h, p);
        tiny_count(t, p, label);
        tiny_backward(t, x, h, p, label);
    }
    if (t->scalars[NN_LAST] != 0)
        tiny_update(t);
    return isfinite(t->losses) ? NN_OK : NN_ENOTFINITE;
}

static int tiny_eval(void *ctx, const void *const *fields, int n)
{
    Tiny *t = ctx;

    if (++tiny_evals == tiny_signal_at_eval)
        raise(tiny_signal);
    for (int b = 0; b < n; b++) {
        float x[TINY_IN], h[TINY_HIDDEN];
        double p[TINY_OUT];

        tiny_input(t, fields, b, x);
        tiny_forward(t, x, h, p);
        tiny_count(t, p, ((const int32_t *)fields[TINY_IN])[b]);
    }
    return NN_OK;
}

static int tiny_reset(void *ctx)
{
    Tiny *t = ctx;

    t->losses = t->right = t->seen = 0;
    memset(t->confused, 0, sizeof t->confused);
    return NN_OK;
}

static int tiny_report(void *ctx)
{
    Tiny *t = ctx;

    t->loss = t->losses / t->seen;
    t->accuracy = t->right / t->seen;
    for (int i = 0; i < TINY_OUT * TINY_OUT; i++)
        (&t->confusion[0][0])[i] = (double)(&t->confused[0][0])[i];
    return NN_OK;
}

static int tiny_predict(const void *ctx, void *scratch, const void *const *fields, int n, float *const *outputs)
{
    (void)scratch;
    for (int b = 0; b < n; b++) {
        float x[TINY_IN], h[TINY_HIDDEN];
        double p[TINY_OUT];

        tiny_input(ctx, fields, b, x);
        tiny_forward(ctx, x, h, p);
        for (int k = 0; k < TINY_OUT; k++)
            outputs[0][b * TINY_OUT + k] = (float)p[k];
    }
    return NN_OK;
}

static int tiny_prepare(const void *ctx, void *scratch, const void *const *fields, int n, float *const *outputs)
{
    (void)ctx;
    (void)scratch;
    for (int b = 0; b < n; b++)
        for (int j = 0; j < TINY_IN; j++)
            outputs[0][b * TINY_IN + j] = ((const float *)fields[j])[b];
    return NN_OK;
}

/* clang-format off */
#define TINY_TENSORS(group, prefix, kind) \
    {prefix "hidden.weight", kind, 2, {TINY_HIDDEN, TINY_IN}, TINY_ROW, offsetof(Tiny, group.w1), false, 11}, \
    {prefix "hidden.bias",   kind, 1, {TINY_HIDDEN},          0,        offsetof(Tiny, group.b1), false, 11}, \
    {prefix "out.weight",    kind, 2, {TINY_OUT, TINY_HIDDEN}, TINY_ROW, offsetof(Tiny, group.w2), false, 12}, \
    {prefix "out.bias",      kind, 1, {TINY_OUT},             0,        offsetof(Tiny, group.b2), false, 12}

static const nn_tensor tiny_tensors[] = {
    TINY_TENSORS(w, "", NN_PARAM),
    TINY_TENSORS(v, "momentum.", NN_OPTIMIZER),
    TINY_TENSORS(g, "sum.", NN_OPTIMIZER),
    {"x.mean",    NN_BUFFER,    1, {TINY_IN}, 0, offsetof(Tiny, mean),      false, 4},
    {"x.std",     NN_BUFFER,    1, {TINY_IN}, 0, offsetof(Tiny, deviation), false, 4},
    {"updates",   NN_OPTIMIZER, 0, {0},       0, offsetof(Tiny, updates),   false, 20},
    {"losses",    NN_METRIC,    0, {0},       0, offsetof(Tiny, losses),    false, 21},
    {"right",     NN_METRIC,    0, {0},       0, offsetof(Tiny, right),     false, 21},
    {"seen",      NN_METRIC,    0, {0},       0, offsetof(Tiny, seen),      false, 21},
    {"confused",  NN_METRIC,    2, {TINY_OUT, TINY_OUT}, TINY_OUT, offsetof(Tiny, confused), false, 21},
};
enum { TINY_MEAN = 12 };

static const nn_field tiny_fields[] = {
    {"a", 0, {0}, 0, false, 9},
    {"b", 0, {0}, 0, false, 9},
    {"label", 0, {0}, TINY_OUT, true, 16},
};
static const nn_output tiny_outputs[] = {{"output", 1, {TINY_OUT}, 0, false, true, NULL}};
static const nn_output tiny_metrics[] = {
    {"loss", 0, {0}, offsetof(Tiny, loss), false, false, NULL},
    {"accuracy", 0, {0}, offsetof(Tiny, accuracy), true, false, NULL},
    {"confusion", 2, {TINY_OUT, TINY_OUT}, offsetof(Tiny, confusion), false, false, NULL},
};
static const nn_output tiny_prepared[] = {{"x", 1, {TINY_IN}, 0, false, false, NULL}};
static const nn_measured tiny_measured[] = {{TINY_MEAN, 0, false}, {TINY_MEAN + 1, 0, true}};
static const nn_layer tiny_layers[] = {
    {"hidden", "dense(8)", 1, {TINY_HIDDEN}, 24, 48, 0, 11},
    {"out",    "dense(3)", 1, {TINY_OUT},    27, 54, 0, 12},
};

static const nn_value tiny_path[] = {{.kind = NN_TEXT, .text = "points.csv"}};
static const nn_value tiny_rate[] = {{.kind = NN_NUMBER, .number = 0.05}};
static const char *const tiny_rate_name[] = {"lr"};
static const nn_setting tiny_data[] = {
    {"source", {.kind = NN_CALL, .text = "csv", .n = 1, .parts = tiny_path}, "csv(\"points.csv\")", 1, 8},
    {"valid",  {.kind = NN_PERCENT, .number = 20}, "20%", 5, 17},
    {"test",   {.kind = NN_NUMBER, .number = 10},  "10",  6, 17},
};
static const nn_setting tiny_train[] = {
    {"loss",      {.kind = NN_WORD, .text = "cross_entropy"}, "cross_entropy", 15, 17},
    {"optimizer", {.kind = NN_CALL, .text = "sgd", .n = 1, .parts = tiny_rate, .names = tiny_rate_name},
                  "sgd(lr = 0.05, momentum = 0.9)", 17, 17},
    {"batch",     {.kind = NN_NUMBER, .number = TINY_BATCH}, "8", 18, 17},
    {"epochs",    {.kind = NN_NUMBER, .number = 6}, "6", 19, 17},
    {"metrics",   {.kind = NN_WORD, .text = "accuracy"}, "accuracy", 20, 17},
};
static const nn_setting tiny_options[] = {{"hidden", {.kind = NN_NUMBER, .number = 8}, "8", 2, 1}};

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))
static const nn_program tiny = {
    .name = "Tiny", .source = "tiny.nn", .directory = ".", .version = "0.1", .target = "generic",
    .bytes = sizeof(Tiny), .align = 64, .predict_bytes = 0, .prepare_bytes = 0, .batch = TINY_BATCH,
    .ntensors = COUNT(tiny_tensors), .nfields = COUNT(tiny_fields), .noutputs = 1, .nmetrics = COUNT(tiny_metrics),
    .nmeasured = 2, .nprepared = 1, .nlayers = 2,
    .tensors = tiny_tensors, .fields = tiny_fields, .outputs = tiny_outputs, .metrics = tiny_metrics,
    .prepared = tiny_prepared, .measured = tiny_measured, .layers = tiny_layers,
    .noptions = 1, .ndata = COUNT(tiny_data), .ntrain = COUNT(tiny_train),
    .options = tiny_options, .data = tiny_data, .train = tiny_train,
    .scalars = tiny_scalars, .init = tiny_init, .step = tiny_step, .eval = tiny_eval, .reset = tiny_reset,
    .report = tiny_report, .predict = tiny_predict, .prepare = tiny_prepare, .plan = "the plan\n", .data_name = "points",
};
/* clang-format on */

#endif
