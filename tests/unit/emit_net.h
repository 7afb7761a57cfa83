/* emit_net.h -- a small net, its generated C, and what compilers make of it. */
#ifndef EMIT_NET_H
#define EMIT_NET_H

#include "emit/emit.h"

#include <check.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Two nets: one that nobody needs threads for, and one that runs in parallel. Names as hostile as they come. */
typedef struct Shape {
    const char *name, *prefix;
    int batch, in, hidden;
    double lr;
} Shape;
static const Shape shapes[] = {
    {"Tiny */ ?\?/ Net", "tiny_net", 20, 2, 3, 0.1},
    {"Wide", "wide", 200, 100, 67, 0.001},
};
enum { NSHAPES = sizeof shapes / sizeof shapes[0], MOST_BATCH = 200, MOST_IN = 100 };
static const Shape *shape; /* the one at hand */

/* --- the net: h = tanh(w1 x + b1), z = w2 h + b2, the mean of (z - y)^2, sgd with momentum --- */

typedef struct Net {
    Arena *arena;
    Program *program;
    Graph *graph; /* the one that is being made */
    Expr *b;      /* the sample */
    Expr *count;
} Net;

static const char *const kept_names[] = {"hidden.weight", "hidden.bias", "out.weight", "out.bias"};
static const int kept_rank[] = {2, 1, 2, 0};
enum { NPARAMS = 4 };

static const int64_t *kept_size(int i)
{
    static int64_t sizes[NPARAMS][MAX_RANK];

    sizes[0][0] = sizes[1][0] = sizes[2][1] = shape->hidden;
    sizes[0][1] = shape->in;
    sizes[2][0] = 1;
    return sizes[i];
}

static Expr *op(Net *n, const char *name, Expr *x, Expr *y, Expr *z) { return expr_op(n->arena, name, x, y, z); }
static Expr *number(Net *n, double x) { return expr_number(n->arena, x); }
static Expr *index_of(Net *n, const char *name, int64_t size) { return expr_index(n->arena, index_new(n->arena, name, size)); }
static Expr *load(Net *n, Tensor *t, Expr *i, Expr *j) { return expr_load(n->arena, t, (Expr *[]){i, j}, false); }

static Tensor *temp(Net *n, const char *name, int rank, const int64_t *size)
{
    return graph_tensor(n->graph, name, ROLE_TEMP, rank, size);
}

static Tensor *sample(Net *n, const char *name, Role role, int64_t size)
{
    Tensor *t = graph_tensor(n->graph, name, role, 2, (int64_t[]){shape->batch, size});

    t->batched = true;
    return t;
}

static void graph_start(Net *n, const char *name)
{
    n->graph = graph_new(n->arena, name, shape->batch);
    n->b = expr_index(n->arena, index_batch(n->graph));
}

static Tensor *param(Net *n, int i) { return graph_tensor(n->graph, kept_names[i], ROLE_PARAM, kept_rank[i], kept_size(i)); }

/* y[b,i] = sum[k] w[i,k] * x[b,k] + bias: two equations, fused later. */
static Tensor *net_dense(Net *n, const char *name, Tensor *x, Tensor *w, Tensor *bias)
{
    Tensor *sum = sample(n, "sum", ROLE_TEMP, w->size[0]), *y = sample(n, name, ROLE_TEMP, w->size[0]);
    Expr *i = index_of(n, "i", w->size[0]), *k = index_of(n, "k", w->size[1]), *j = index_of(n, "j", w->size[0]);

    graph_equation(n->graph, sum, (Expr *[]){n->b, i}, EQ_SUM, op(n, "mul", load(n, w, i, k), load(n, x, n->b, k), NULL));
    graph_equation(n->graph, y, (Expr *[]){n->b, j}, EQ_MAP, op(n, "add", load(n, sum, n->b, j), load(n, bias, j, NULL), NULL));
    return y;
}

/* Returns z. */
static Tensor *net_forward(Net *n, Tensor *x, Tensor *const *w, const char *result)
{
    Tensor *a = net_dense(n, "hidden.a", x, w[0], w[1]), *h = sample(n, "hidden.y", ROLE_TEMP, shape->hidden);
    Expr *i = index_of(n, "i", shape->hidden);

    graph_equation(n->graph, h, (Expr *[]){n->b, i}, EQ_MAP, op(n, "tanh", load(n, a, n->b, i), NULL, NULL));
    return net_dense(n, result, h, w[2], w[3]);
}

/* The sum of (z - y)^2 over the samples that are there. */
static Tensor *net_loss(Net *n, const char *name, Tensor *z, Tensor *y)
{
    Tensor *loss = temp(n, name, 0, NULL);
    Expr *r = expr_number(n->arena, 0), *d = op(n, "sub", load(n, z, n->b, r), load(n, y, n->b, r), NULL);
    Expr *here = op(n, "lt", n->b, expr_scalar(n->arena, graph_scalar(n->graph, "count")), NULL);

    graph_equation(n->graph, loss, NULL, EQ_SUM, op(n, "select", here, op(n, "mul", d, d, NULL), number(n, 0)));
    return loss;
}

/* sum += what; samples += count. */
static void net_sums(Net *n, Tensor *what)
{
    const char *const names[] = {"sum.loss", "sum.samples"};

    for (int i = 0; i < 2; i++) {
        Tensor *sum = graph_tensor(n->graph, names[i], ROLE_STATE, 0, NULL), *next = temp(n, arena_print(n->arena, "%s.next", names[i]), 0, NULL);
        Tensor *more = i ? graph_scalar(n->graph, "count") : what;
        graph_equation(n->graph, next, NULL, EQ_MAP, op(n, "add", expr_scalar(n->arena, sum), expr_scalar(n->arena, more), NULL));
        sum->next = next;
        next->wanted = true;
    }
}

static void net_update(Net *n, Tensor *w, Tensor *g, Tensor *lr, int i)
{
    Arena *a = n->arena;
    Tensor *v = graph_tensor(n->graph, arena_print(a, "velocity.%s", w->name), ROLE_STATE, w->rank, w->size);
    Tensor *v1 = temp(n, arena_print(a, "%s.next", v->name), w->rank, w->size), *w1 = temp(n, arena_print(a, "%s.next", w->name), w->rank, w->size);
    Expr *at[2] = {NULL, NULL};

    for (int k = 0; k < kept_rank[i]; k++)
        at[k] = index_of(n, k ? "j" : "i", w->size[k]);
    graph_equation(n->graph, v1, at, EQ_MAP,
                   op(n, "add", op(n, "mul", number(n, 0.9), load(n, v, at[0], at[1]), NULL), load(n, g, at[0], at[1]), NULL));
    for (int k = 0; k < kept_rank[i]; k++)
        at[k] = index_of(n, k ? "j" : "i", w->size[k]);
    graph_equation(n->graph, w1, at, EQ_MAP,
                   op(n, "sub", load(n, w, at[0], at[1]), op(n, "mul", expr_scalar(a, lr), load(n, v1, at[0], at[1]), NULL), NULL));
    v->next = v1;
    w->next = w1;
    v1->wanted = w1->wanted = true;
}

static void net_train(Net *n, bool learn)
{
    Tensor *w[NPARAMS], *grad[NPARAMS];

    graph_start(n, learn ? "step" : "eval");
    Tensor *x = sample(n, "x", ROLE_INPUT, shape->in), *y = sample(n, "y", ROLE_INPUT, 1);
    for (int i = 0; i < NPARAMS; i++)
        w[i] = param(n, i);
    Tensor *z = net_forward(n, x, w, "out.y");
    Tensor *sum = net_loss(n, "loss.sum", z, y);
    Tensor *loss = temp(n, "loss", 0, NULL);
    graph_equation(n->graph, loss, NULL, EQ_MAP,
                   op(n, "div", expr_scalar(n->arena, sum), expr_scalar(n->arena, graph_scalar(n->graph, "total")), NULL));
    loss->wanted = true;
    net_sums(n, sum);
    if (!learn)
        return;
    graph_gradient(n->graph, loss, NPARAMS, w, grad);
    Tensor *lr = temp(n, "lr", 0, NULL);
    graph_equation(n->graph, lr, NULL, EQ_MAP,
                   op(n, "div", expr_scalar(n->arena, graph_scalar(n->graph, "base_lr")),
                      op(n, "add", number(n, 1), op(n, "mul", number(n, 0.01), expr_scalar(n->arena, graph_scalar(n->graph, "steps")), NULL), NULL), NULL));
    lr->wanted = true;
    for (int i = 0; i < NPARAMS; i++)
        net_update(n, w[i], grad[i], lr, i);
}

static void net_init(Net *n)
{
    graph_start(n, "init");
    graph_scalar(n->graph, "seed");
    for (int i = 0; i < NPARAMS; i++) {
        Tensor *t = graph_tensor(n->graph, kept_names[i], ROLE_TEMP, kept_rank[i], kept_size(i));
        Expr *at[2] = {NULL, NULL}, *counter = number(n, 0);
        for (int k = 0; k < kept_rank[i]; k++) {
            at[k] = index_of(n, k ? "j" : "i", t->size[k]);
            counter = k ? op(n, "add", op(n, "mul", counter, number(n, (double)t->size[k]), NULL), at[k], NULL) : at[k];
        }
        Expr *u = expr_random(n->arena, (uint32_t)i, counter);
        graph_equation(n->graph, t, at, EQ_MAP, op(n, "sub", op(n, "mul", u, number(n, 2), NULL), number(n, 1), NULL));
        t->wanted = true;
    }
}

static void net_report(Net *n)
{
    graph_start(n, "report");
    Tensor *sum = graph_tensor(n->graph, "sum.loss", ROLE_STATE, 0, NULL), *samples = graph_tensor(n->graph, "sum.samples", ROLE_STATE, 0, NULL);
    Tensor *mean = temp(n, "mean", 0, NULL);
    graph_equation(n->graph, mean, NULL, EQ_MAP, op(n, "div", expr_scalar(n->arena, sum), expr_scalar(n->arena, samples), NULL));
    mean->wanted = true;
}

static void net_predict(Net *n)
{
    Tensor *w[NPARAMS];

    graph_start(n, "predict");
    Tensor *x = sample(n, "x", ROLE_INPUT, shape->in);
    for (int i = 0; i < NPARAMS; i++)
        w[i] = param(n, i);
    net_forward(n, x, w, "output")->wanted = true;
}

static Program *net_program(Arena *a)
{
    Program *p = NEW(a, Program);
    Net n = {.arena = a, .program = p};

    *p = (Program){.arena = a, .name = shape->name, .source = "tests/*/ \\\"tiny\".nn", .batch = shape->batch};
    net_init(&n), p->init = n.graph;
    net_train(&n, true), p->step = n.graph;
    net_train(&n, false), p->eval = n.graph;
    net_report(&n), p->report = n.graph;
    net_predict(&n), p->predict = n.graph;

    for (int i = 0; i < 2 * NPARAMS + 2; i++) {
        Kept k = {.kind = i < NPARAMS ? KEPT_PARAM : i < 2 * NPARAMS ? KEPT_OPTIMIZER : KEPT_METRIC, .where = NOWHERE};
        k.name = i < NPARAMS ? kept_names[i] : i < 2 * NPARAMS ? arena_print(a, "velocity.%s", kept_names[i - NPARAMS])
                                             : i == 2 * NPARAMS ? "sum.loss" : "sum.samples";
        k.rank = i < 2 * NPARAMS ? kept_rank[i % NPARAMS] : 0;
        for (int d = 0; d < k.rank; d++)
            k.size[d] = kept_size(i % NPARAMS)[d];
        program_keep(p, k);
    }
    PUSH(a, p->fields, ((Field){.name = "x", .rank = 1, .size = {shape->in}, .where = NOWHERE}));
    PUSH(a, p->fields, ((Field){.name = "y", .rank = 1, .size = {1}, .label = true, .where = NOWHERE}));
    PUSH(a, p->outputs, ((Output){.name = "output", .tensor = "output", .rank = 1, .size = {1}}));
    PUSH(a, p->metrics, ((Output){.name = "loss", .tensor = "mean"}));
    return p;
}

/* --- compiling --- */

static char top[] = "/tmp/nnc-emit-XXXXXX";
static char folder[64]; /* of the net at hand, in top */

static void use_net(int i)
{
    shape = &shapes[i];
    snprintf(folder, sizeof folder, "%s/%s", top, shape->prefix);
}

static void write_text(Arena *a, const char *name, const Text *t)
{
    FILE *f = fopen(arena_print(a, "%s/%s", folder, name), "w");

    if (!f || fwrite(t->s, 1, t->n, f) != t->n || fclose(f) != 0)
        bug("cannot write %s/%s", folder, name);
}

static Graph *passes(Graph *g)
{
    Graph *copy = graph_copy(g, g->name);

    graph_gather(copy);
    graph_simplify(copy);
    graph_hoist(copy);
    graph_fuse(copy);
    graph_drop_dead(copy);
    graph_verify(copy, "fuse");
    return copy;
}

static void emit_all(Arena *a, Program *p, Text *h, Text *c, Text *m)
{
    Functions f = {.arena = a};
    Loops *loops[GRAPHS] = {NULL};
    Program ready = *p;

    ready.init = passes(p->init), ready.step = passes(p->step), ready.eval = passes(p->eval);
    ready.report = passes(p->report), ready.predict = passes(p->predict);
    for (GraphKind i = 0; i < GRAPHS; i++)
        if (program_graph(&ready, i))
            loops[i] = loops_make(a, &ready, program_graph(&ready, i), &f);
    Plan *plan = plan_make(a, &ready, loops, &f);
    h->arena = c->arena = m->arena = a;
    emit_model_h(h, &ready, plan);
    emit_model_c(c, &ready, plan, "model.h", false);
    emit_main_c(m, &ready, plan,
                &(Trainer){.header = "model.h", .directory = "/a \"b\" ?\?/", .version = "0", .target = "x86-64-v3", .features = "avx2 fma"});
}

/* model.h, model.c, main.c of each net */
static Text emitted[NSHAPES][3];

static void emit_files(Arena *a, int net)
{
    static const char *const names[] = {"model.h", "model.c", "main.c"};

    use_net(net);
    if (mkdir(folder, 0777) != 0)
        bug("cannot make %s", folder);
    emit_all(a, net_program(a), &emitted[net][0], &emitted[net][1], &emitted[net][2]);
    for (int i = 0; i < 3; i++)
        write_text(a, names[i], &emitted[net][i]);
}

static int command(Arena *a, const char *text) { return system(arena_print(a, "cd %s && %s", folder, text)); }

#define FLAGS "-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Werror -ffp-contract=off -fPIC"

static const struct { const char *name, *command; } builds[] = {
    {"gcc0", "gcc " FLAGS " -O0 -march=native"},
    {"gcc3", "gcc " FLAGS " -O3 -march=native -fopenmp"},
    {"clang0", "clang " FLAGS " -O0 -march=native"},
    {"clang3", "clang " FLAGS " -O3 -march=native -fopenmp"},
    {"plain", "cc " FLAGS " -O2"},
};
enum { NBUILDS = sizeof builds / sizeof builds[0] };

static bool have(const char *compiler)
{
    char text[80];

    snprintf(text, sizeof text, "%.*s --version >/dev/null 2>&1", (int)strcspn(compiler, " "), compiler);
    return system(text) == 0;
}

/* --- running --- */

typedef struct Model {
    int (*init)(void *, uint64_t);
    int (*step)(void *, const void *, int);
    int (*eval)(void *, const void *, int);
    int (*reset)(void *), (*report)(void *);
    double (*loss)(const void *);
    const double *(*metrics)(const void *);
    double *(*scalars)(void *);
    int (*predict)(const void *, void *, const float *, long, float *);
    int (*save)(const void *, void *, size_t), (*load)(void *, const void *, size_t);
} Model;

static Model open_model(Arena *a, const char *name)
{
    void *so = dlopen(arena_print(a, "%s/%s.so", folder, name), RTLD_NOW | RTLD_LOCAL);
    Model m;

    ck_assert_msg(so != NULL, "%s", dlerror());
    const struct { const char *name; void *at; } table[] = {
        {"init", &m.init}, {"step", &m.step}, {"eval", &m.eval}, {"reset", &m.reset}, {"report", &m.report},
        {"loss", &m.loss}, {"metrics", &m.metrics}, {"scalars", &m.scalars}, {"predict", &m.predict}, {"save", &m.save}, {"load", &m.load}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        void *f = dlsym(so, arena_print(a, "%s_%s", shape->prefix, table[i].name));
        ck_assert_msg(f != NULL, "%s is not there", table[i].name);
        memcpy(table[i].at, &f, sizeof f);
    }
    return m;
}

/* The constant of the header. */
static long constant(Arena *a, const char *name)
{
    char line[300];
    long value = -1;
    FILE *f = fopen(arena_print(a, "%s/model.h", folder), "r");
    size_t n = strlen("#define ") + strlen(shape->prefix), length = strlen(name);

    while (fgets(line, sizeof line, f)) /* #define TINY_BYTES 1664 */
        if (strncmp(line, "#define ", 8) == 0 && strlen(line) > n && line[n] == '_' && strncmp(line + n + 1, name, length) == 0 &&
            line[n + 1 + length] == ' ')
            value = strtol(line + n + 1 + length, NULL, 10);
    fclose(f);
    ck_assert_int_ge(value, 0);
    return value;
}

#endif
