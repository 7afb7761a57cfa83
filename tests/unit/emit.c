/* emit.c -- the generated C of a small net: compiled by every compiler at hand, it trains like the interpreter,
 * prints no warning, keeps no data of its own and needs nothing but libm, memory functions and OpenMP. */
#include "emit/emit.h"

#include <check.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
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

/* --- the tests --- */

static double *given(Run *r, const char *name)
{
    Tensor *t = graph_find(r->graph, name);

    return t ? r->data[t->id] : NULL;
}

/* A step by the interpreter; what is kept moves on. */
static double oracle_step(Run *r, const float *x, const float *y, int n, double steps)
{
    *given(r, "count") = *given(r, "total") = n;
    *given(r, "base_lr") = shape->lr;
    *given(r, "steps") = steps;
    for (int i = 0; i < shape->batch; i++) {
        for (int k = 0; k < shape->in; k++)
            given(r, "x")[i * shape->in + k] = i < n ? (double)x[i * shape->in + k] : 0;
        given(r, "y")[i] = i < n ? (double)y[i] : 0;
    }
    run_graph(r);
    double loss = *given(r, "loss");
    for (int i = 0; i < r->graph->tensors.n; i++) {
        Tensor *t = r->graph->tensors.at[i];
        if (t->next)
            memcpy(r->data[t->id], r->data[t->next->id], sizeof(double) * (size_t)tensor_count(t));
    }
    return loss;
}

static void make_samples(float *x, float *y, int n, int round)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < shape->in; k++)
            x[i * shape->in + k] = ((float)((i * (7 - 2 * k) + k * k + round * (3 - 2 * k)) % 13) / 6.0f - 1.0f) / (float)(1 + k / 2);
        y[i] = x[i * shape->in] * x[i * shape->in + 1];
    }
}

static void train_like_oracle(Arena *a, const Model *m, unsigned char *ctx, void *file, size_t size)
{
    const int counts[] = {shape->batch, 1, 16, 17, shape->batch, 7};
    Program *p = net_program(a);
    Run *init = run_new(a, p->init), *r = run_new(a, p->step);
    static float x[MOST_BATCH * MOST_IN], y[MOST_BATCH];
    struct { const float *x, *y; } batch = {x, y};
    double sum = 0, samples = 0;

    *given(init, "seed") = 5;
    run_graph(init);
    for (int i = 0; i < NPARAMS; i++)
        memcpy(given(r, kept_names[i]), given(init, kept_names[i]), sizeof(double) * (size_t)tensor_count(graph_find(p->init, kept_names[i])));
    ck_assert_int_eq(m->init(ctx, 5), 0);
    m->scalars(ctx)[7] = shape->lr;
    for (int k = 0; k < 12; k++) {
        int n = counts[k % 6];
        make_samples(x, y, n, k);
        double want = oracle_step(r, x, y, n, k + 1);
        ck_assert_int_eq(m->step(ctx, &batch, n), 0);
        sum += want * n;
        samples += n;
        ck_assert_double_eq_tol(m->scalars(ctx)[3], k + 1, 1e-9);
        ck_assert_double_eq_tol(m->scalars(ctx)[10], shape->lr / (1 + 0.01 * (k + 1)), 1e-12);
    }
    ck_assert_int_eq(m->report(ctx), 0);
    ck_assert_double_eq_tol(m->loss(ctx), sum / samples, 1e-5);

    /* The weights, where save puts them: hidden.bias, hidden.weight, out.weight behind the one double. */
    ck_assert_int_eq(m->save(ctx, file, size), 0);
    uint64_t header;
    memcpy(&header, file, 8);
    const unsigned char *data = (unsigned char *)file + 8 + header;
    double bias;
    memcpy(&bias, data, 8);
    ck_assert_double_eq_tol(bias, *given(r, "out.bias"), 1e-5);
    static const int order[] = {1, 0, 2};
    const unsigned char *at = data + 8;
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < tensor_count(graph_find(p->step, kept_names[order[k]])); i++, at += 4) {
            float w;
            memcpy(&w, at, 4);
            ck_assert_double_eq_tol((double)w, given(r, kept_names[order[k]])[i], 1e-5);
        }
}

/* `kept` bytes are scalars, weights, states and sums. */
static void refuses(const Model *m, unsigned char *ctx, size_t bytes, size_t kept, void *scratch)
{
    static float x[MOST_BATCH * MOST_IN], y[MOST_BATCH], z[MOST_BATCH];
    struct { const float *x, *y; } batch = {x, y}, half = {x, NULL};
    unsigned char *before = malloc(bytes);

    memcpy(before, ctx, bytes);
    ck_assert_int_eq(m->init(NULL, 1), 1);
    ck_assert_int_eq(m->init(ctx + 4, 1), 1);
    ck_assert_int_eq(m->step(ctx, NULL, 1), 1);
    ck_assert_int_eq(m->step(ctx, &half, 1), 1);
    ck_assert_int_eq(m->step(ctx, &batch, 0), 1);
    ck_assert_int_eq(m->step(ctx, &batch, shape->batch + 1), 1);
    ck_assert_int_eq(m->predict(ctx, scratch, x, -1, z), 1);
    ck_assert_int_eq(m->predict(ctx, scratch, NULL, 1, z), 1);
    ck_assert_int_eq(m->predict(ctx, scratch, x, 0, z), 0);
    ck_assert_int_eq(m->load(ctx, "nonsense", 8), 2);
    ck_assert_mem_eq(before, ctx, bytes);

    /* A loss that is not finite changes no weight, no velocity, no sum. */
    x[3] = (float)NAN;
    ck_assert_int_eq(m->step(ctx, &batch, shape->batch), 3);
    ck_assert_double_eq_tol(m->scalars(ctx)[3], ((const double *)(void *)before)[3], 1e-9);
    ck_assert_mem_eq(before + 128, ctx + 128, kept - 128);
    free(before);
}

static void predicts(const Model *m, unsigned char *ctx, size_t weights, const void *file, size_t size, void *scratch)
{
    enum { MOST = 2 * MOST_BATCH + 3 };
    unsigned char *other = aligned_alloc(64, weights);
    static float x[MOST * MOST_IN], y[MOST], z[MOST + 1];
    float one[2];
    int n = 2 * shape->batch + 3;

    memset(other, 0x5a, weights);
    ck_assert_int_eq(m->load(other, file, size), 0);
    make_samples(x, y, n, 1);
    z[n] = 77;
    ck_assert_int_eq(m->predict(ctx, scratch, x, n, z), 0);
    ck_assert(z[n] == 77.0f);
    for (int i = 0; i < n; i++) {
        one[1] = 77;
        ck_assert_int_eq(m->predict(other, scratch, x + i * shape->in, 1, one), 0);
        ck_assert_mem_eq(one, z + i, sizeof(float));
        ck_assert(one[1] == 77.0f);
    }
    free(other);
}

/* Memory that begins at 64 bytes past a page and ends where a guard notices the first byte too many. */
enum { GUARD = 192 };

static unsigned char *guarded(size_t n)
{
    unsigned char *p = aligned_alloc(4096, (64 + n + GUARD + 4095) / 4096 * 4096);

    memset(p, 0xa5, 64 + n + GUARD);
    return p + 64;
}

static void check_guard(unsigned char *p, size_t n)
{
    for (int i = 0; i < GUARD; i++)
        ck_assert_int_eq(p[n + (size_t)i], 0xa5);
    for (int i = 1; i <= 64; i++)
        ck_assert_int_eq(p[-i], 0xa5);
    free(p - 64);
}

START_TEST(same_text)
{
    Arena *a = arena_new();
    Text again[3] = {{0}};

    use_net(_i);
    emit_all(a, net_program(a), &again[0], &again[1], &again[2]);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(emitted[_i][i].s, again[i].s);
    arena_free(a);
}
END_TEST

START_TEST(trains_like_the_interpreter)
{
    Arena *a = arena_new();
    int build = _i % NBUILDS;

    use_net(_i / NBUILDS);
    if (!have(builds[build].command))
        return;
    setenv("OMP_NUM_THREADS", build % 2 ? "3" : "2", 1);
    size_t bytes = (size_t)constant(a, "BYTES"), scratch_bytes = (size_t)constant(a, "PREDICT_BYTES"), file_bytes = (size_t)constant(a, "FILE_BYTES");
    const char *how = builds[build].command, *name = builds[build].name;
    ck_assert_msg(command(a, arena_print(a, "%s -c -o %s.o model.c && %s -shared -o %s.so %s.o -lm", how, name, how, name, name)) == 0,
                  "%s", how);
    Model m = open_model(a, name);
    unsigned char *ctx = guarded(bytes), *scratch = guarded(scratch_bytes), *file = guarded(file_bytes);
    train_like_oracle(a, &m, ctx, file, file_bytes);
    predicts(&m, ctx, (size_t)constant(a, "WEIGHT_BYTES"), file, file_bytes, scratch);
    refuses(&m, ctx, bytes, (size_t)((const char *)m.metrics(ctx) - (const char *)ctx), scratch);

    FILE *f = fopen(arena_print(a, "%s/%s.weights", folder, name), "wb");
    ck_assert_uint_eq(fwrite(file, 1, file_bytes, f), file_bytes);
    fclose(f);
    check_guard(ctx, bytes);
    check_guard(scratch, scratch_bytes);
    check_guard(file, file_bytes);
    arena_free(a);
}
END_TEST

/* Both nets in one process, each trained by four threads at once in contexts of their own. */
typedef struct Worker {
    Model model;
    const Shape *shape;
    const float *x, *y;
    size_t bytes, file_bytes;
    unsigned char *file;
} Worker;

static void *work(void *user)
{
    Worker *w = user;
    struct { const float *x, *y; } batch = {w->x, w->y};
    unsigned char *ctx = aligned_alloc(64, w->bytes);

    w->model.init(ctx, 9);
    w->model.scalars(ctx)[7] = w->shape->lr;
    for (int i = 0; i < 20; i++)
        w->model.step(ctx, &batch, w->shape->batch);
    w->model.save(ctx, w->file, w->file_bytes);
    free(ctx);
    return NULL;
}

START_TEST(many_at_once)
{
    enum { EACH = 4 };
    Arena *a = arena_new();
    Worker workers[NSHAPES * EACH];
    pthread_t threads[NSHAPES * EACH];
    int n = 0;

    if (!have(builds[_i].command))
        return;
    for (int net = 0; net < NSHAPES; net++) {
        use_net(net);
        float *x = NEW_ARRAY(a, float, shape->batch * shape->in), *y = NEW_ARRAY(a, float, shape->batch);
        make_samples(x, y, shape->batch, 2);
        for (int i = 0; i < EACH; i++, n++) {
            workers[n] = (Worker){open_model(a, builds[_i].name), shape, x, y, (size_t)constant(a, "BYTES"),
                                  (size_t)constant(a, "FILE_BYTES"), NULL};
            workers[n].file = NEW_ARRAY(a, unsigned char, workers[n].file_bytes);
        }
    }
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < n; i += EACH) { /* alone, it comes to the same */
        Worker alone = workers[i];
        alone.file = NEW_ARRAY(a, unsigned char, alone.file_bytes);
        work(&alone);
        for (int k = 0; k < EACH; k++)
            ck_assert_mem_eq(alone.file, workers[i + k].file, alone.file_bytes);
    }
    arena_free(a);
}
END_TEST

/* The tests above left the same weights, whatever the compiler, its -O and the number of threads. */
START_TEST(same_bits)
{
    Arena *a = arena_new();

    use_net(_i);
    for (int i = 1; i + 1 < NBUILDS; i++) /* the last is another processor's profile */
        if (have(builds[i].command) && have(builds[0].command))
            ck_assert_int_eq(command(a, arena_print(a, "cmp %s.weights %s.weights", builds[0].name, builds[i].name)), 0);
    arena_free(a);
}
END_TEST

/* The objects of the tests above: no data, and only symbols that any C program has; nothing but our prefix goes out. */
START_TEST(self_contained)
{
    static const char *const allowed[] = {"memcpy", "memset", "memcmp", "memmove", "strlen", "strcmp", "__cpu_model", "__stack_chk_fail",
                                          "_GLOBAL_OFFSET_TABLE_", "omp_", "GOMP_", "__kmpc_", "tanh", "exp", "log", "pow", "sqrt", "sin", "cos"};
    Arena *a = arena_new();
    char line[300], type, name[200];

    use_net(_i);
    for (int i = 0; i < NBUILDS; i++) {
        if (!have(builds[i].command))
            continue;
        FILE *f = popen(arena_print(a, "nm %s/%s.o", folder, builds[i].name), "r");
        while (fgets(line, sizeof line, f)) {
            bool undefined = sscanf(line, " U %199s", name) == 1, fine = false;
            if (!undefined)
                ck_assert_int_eq(sscanf(line, "%*x %c %199s", &type, name), 2);
            for (size_t k = 0; undefined && k < sizeof allowed / sizeof allowed[0]; k++)
                fine |= strncmp(name, allowed[k], strlen(allowed[k])) == 0;
            if (!undefined)
                fine = strchr("tr", type) || (type == 'T' && strncmp(name, shape->prefix, strlen(shape->prefix)) == 0);
            ck_assert_msg(fine, "%s: %s", builds[i].name, line);
        }
        pclose(f);
    }
    arena_free(a);
}
END_TEST

START_TEST(header_as_cplusplus)
{
    Arena *a = arena_new();
    Text t = {.arena = a};

    use_net(0);
    if (!have("g++"))
        return;
    text_print(&t, "#include \"model.h\"\nint main() { return tiny_net_init(0, 1) == TINY_NET_EARGUMENT ? 0 : 1; }\n");
    write_text(a, "use.cc", &t);
    ck_assert_int_eq(command(a, "g++ -std=c++98 -Wall -Wextra -Wpedantic -Werror -c use.cc -o use.o"), 0);
    ck_assert_int_eq(command(a, "g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -c use.cc -o use.o"), 0);
    arena_free(a);
}
END_TEST

START_TEST(main_compiles)
{
    Arena *a = arena_new();
    char *runtime = realpath("runtime", NULL); /* tests run from the top of the project */

    ck_assert_ptr_nonnull(runtime);
    use_net(_i);
    ck_assert_int_eq(command(a, arena_print(a, "cc -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -I%s -c main.c -o main.o", runtime)), 0);
    free(runtime);
    arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("emit");
    TCase *c = tcase_create("emit");
    Arena *a = arena_new();

    if (!mkdtemp(top))
        return 1;
    for (int i = 0; i < NSHAPES; i++)
        emit_files(a, i);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, same_text, 0, NSHAPES);
    tcase_add_loop_test(c, trains_like_the_interpreter, 0, NBUILDS * NSHAPES);
    tcase_add_loop_test(c, same_bits, 0, NSHAPES);
    tcase_add_loop_test(c, many_at_once, 1, 4);
    tcase_add_loop_test(c, self_contained, 0, NSHAPES);
    tcase_add_test(c, header_as_cplusplus);
    tcase_add_loop_test(c, main_compiles, 0, NSHAPES);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    if (failed)
        fprintf(stderr, "what was compiled is in %s\n", top);
    else if (system(arena_print(a, "rm -rf %s", top)) != 0)
        return 1;
    arena_free(a);
    return failed != 0;
}
