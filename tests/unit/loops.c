/* loops.c -- kernels against the interpreter: every kind of lane, tile, halo, tail and remainder, over many sizes,
 * short batches included, and the same bits for any division of the tasks. */
#include "kernels.h"

#include <check.h>

/* wanted: names of results, separated by blanks; "grad": also the gradients of `loss` by parameters and real inputs;
 * "x=y": y is the next value of x. */
typedef struct Case {
    const char *name, *wanted, *text;
} Case;

#define GUARDED_LOSS "loss = sum[b] (if b < count then l[b] / total else 0)\n"

static const Case cases[] = {
    {"dense", "y", "input x[b,30]\nparam w[20,30]\nparam v[20]\ny[b,o] = tanh(sum[c] w[o,c] * x[b,c] + v[o])\n"},
    {"dense, gradient", "grad y",
     "scalar count\nscalar total\ninput x[b,37]\nparam w[10,37]\nparam v[10]\n"
     "z[b,o] = sum[c] w[o,c] * x[b,c]\ny[b,o] = tanh(z[b,o] + v[o])\nl[b] = sum[o] y[b,o]^2\n" GUARDED_LOSS},
    {"two dense layers, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,48]\nparam w[24,48]\nparam v[10,24]\n"
     "a[b,o] = sum[c] w[o,c] * x[b,c]\nh[b,o] = max(a[b,o], 0)\ny[b,o] = sum[c] v[o,c] * h[b,c]\nl[b] = sum[o] y[b,o]^3\n" GUARDED_LOSS},
    {"large dense layers, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,256]\nparam w[64,256]\nparam v[512,64]\nparam u[3,512]\n"
     "a[b,o] = sum[c] w[o,c] * x[b,c]\nh[b,o] = sigmoid(a[b,o])\nd[b,o] = sum[c] v[o,c] * h[b,c]\nk[b,o] = tanh(d[b,o])\n"
     "y[b,o] = sum[c] u[o,c] * k[b,c]\nl[b] = sum[o] y[b,o]^2\n" GUARDED_LOSS},
    {"convolution, padded, tanh, average pooling, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,1,14,14]\nparam w[6,1,5,5]\nparam v[6]\n"
     "a[b,o,i 14,j 14] = sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-2,j+q-2]\ny[b,o,i,j] = tanh(a[b,o,i,j] + v[o])\n"
     "s[b,o,i 7,j 7] = sum[p 2,q 2] y[b,o,2*i+p,2*j+q]\nz[b,o,i,j] = s[b,o,i,j] / 4\nl[b] = sum[o,i,j] z[b,o,i,j]^2\n" GUARDED_LOSS},
    {"strip by strip", "y",
     "input x[b,40,12,28]\nparam w[2]\na[b,c,i,j 27] = sum[p] w[p] * x[b,c,i,j+p]\n"
     "s[b,o 20,j,i 12] = sum[p 2] a[b,2*o+p,i,j]^2\ny[b,j,i] = sum[o] s[b,o,j,i] * s[b,o,26-j,i]\n"},
    {"strips, but not to the end", "y", /* over i the last one would have no tile */
     "input x[b,40,12,28]\nparam w[2]\na[b,c,i,j 27] = sum[p] w[p] * x[b,c,i,j+p]\n"
     "s[b,o 20,j,i 12] = sum[p 2] a[b,2*o+p,i,j]^2\ny[b,i] = sum[o,j] s[b,o,j,i] * s[b,o,26-j,i]\n"},
    {"sums, strip by strip", "s t", /* t has so few elements that it does not matter how often it ends */
     "scalar count\ninput x[b,40,12,28]\ninput g[b,24,12,28]\nv[b,c,i,j] = x[b,c,i,j]^2\nd[b,o,i,j] = g[b,o,i,j] - 1\n"
     "s[o,c] = sum[b,i,j] (if b < count then d[b,o,i,j] * v[b,c,i,j] else 0)\n"
     "e[b,c] = sum[i,j] x[b,c,i,j]\nt[c] = sum[b] (if b < count then e[b,c] else 0)\n"},
    {"sums over few places", "s",
     "scalar count\ninput x[b,40,4,4]\ninput g[b,24,4,4]\nv[b,c,i,j] = x[b,c,i,j]^2\nd[b,o,i,j] = g[b,o,i,j] - 1\n"
     "s[o,c] = sum[b,i,j] (if b < count then d[b,o,i,j] * v[b,c,i,j] else 0)\n"},
    {"sums over samples of what is given", "s", "input x[b,8,280]\ninput g[b,48,280]\ns[o,c] = sum[b,i] g[b,o,i] * x[b,c,i]\n"},
    {"two convolutions, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,2,9,8]\nparam w[5,2,3,3]\nparam v[7,5,3,3]\n"
     "a[b,o,i 9,j 8] = sum[c,p,q] w[o,c,p,q] * x?[b,c,i+p-1,j+q-1]\ny[b,o,i,j] = max(a[b,o,i,j], 0)\n"
     "z[b,o,i 7,j 6] = sum[c,p,q] v[o,c,p,q] * y[b,c,i+p,j+q]\nl[b] = sum[o,i,j] z[b,o,i,j]^2\n" GUARDED_LOSS},
    {"convolution, strided, padded, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,3,8,8]\nparam w[4,3,3,3]\n"
     "y[b,o,i 4,j 4] = sum[c,p,q] w[o,c,p,q] * x?[b,c,2*i+p-1,2*j+q-1]\nl[b] = sum[o,i,j] y[b,o,i,j]^2\n" GUARDED_LOSS},
    {"convolution of many channels, strided, gradient", "grad y",
     "scalar count\nscalar total\ninput x[b,6,20]\nparam u[64,6]\nparam w[48,64,3]\n"
     "a[b,c,i] = sum[k] u[c,k] * x[b,k,i]\ny[b,o,i 10] = sum[c,p] w[o,c,p] * a?[b,c,2*i+p-1]\nl[b] = sum[o,i] y[b,o,i]^2\n" GUARDED_LOSS},
    {"long rows, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,3,280]\nparam u[8,3]\nparam w[48,8]\n"
     "a[b,c,i] = sum[k] u[c,k] * x[b,k,i]\ny[b,o,i] = sum[c] w[o,c] * a[b,c,i]\nl[b] = sum[o,i] y[b,o,i]^2\n" GUARDED_LOSS},
    {"convolution, dilated, in groups, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,4,11]\nparam w[6,2,3]\n"
     "y[b,o,i 7] = sum[c,p] w[o,c,p] * x[b,2*(o//3)+c,i+2*p]\nl[b] = sum[o,i] y[b,o,i]^2\n" GUARDED_LOSS},
    {"windows that reach far outside, gradient", "grad y z t",
     "scalar count\nscalar total\ninput x[b,3,7]\nparam w[4,3,9]\n"
     "y[b,o,i 12] = sum[c,p] w[o,c,p] * x?[b,c,i+p-7]\nz[b,o,i 5] = sum[c,p] w[o,c,p] * x?[b,c,2*i-p+3]\n"
     "t[b,o,i 15] = sum[c,p] w[o,c,p] * x?[b,c,4-i+p] * x?[b,c,4-i+p]\n"
     "l[b] = sum[o,i] y[b,o,i]^2\n" GUARDED_LOSS},
    {"maximum pooling, overlapping, gradient", "grad y",
     "scalar count\nscalar total\ninput x[b,3,9,9]\n"
     "y[b,c,i 4,j 4] = max[p 3,q 3] x[b,c,2*i+p,2*j+q]\nl[b] = sum[c,i,j] y[b,c,i,j]^2\n" GUARDED_LOSS},
    {"average pooling, padded, gradient", "grad y",
     "scalar count\nscalar total\ninput x[b,3,9]\n"
     "a[b,c,i 5] = sum[p 4] x?[b,c,2*i+p-1]\ny[b,c,i] = a[b,c,i] / 4\nl[b] = sum[c,i] y[b,c,i]^2\n" GUARDED_LOSS},
    {"softmax and cross entropy, gradient", "grad l hits",
     "scalar count\nscalar total\ninput x[b,20]\ninput label[b] below 10\nparam w[10,20]\n"
     "z[b,o] = sum[c] w[o,c] * x[b,c]\ntop[b] = max[k] z[b,k]\ns[b] = sum[k] exp(z[b,k] - top[b])\n"
     "l[b] = log(s[b]) + top[b] - z[b,label[b]]\nbest[b] = argmax[k] z[b,k]\n"
     "hits = sum[b] (if b < count and best[b] == label[b] then 1 else 0)\n" GUARDED_LOSS},
    {"flatten", "y grad",
     "scalar count\nscalar total\ninput x[b,2,6,6]\nparam w[4,2,3,3]\nparam v[5,64]\ntemp f[b,64]\n"
     "a[b,o,i 4,j 4] = sum[c,p,q] w[o,c,p,q] * x[b,c,i+p,j+q]\ny[b,o,i,j] = tanh(a[b,o,i,j])\nf[b,o*16+i*4+j] = y[b,o,i,j]\n"
     "z[b,o] = sum[c] v[o,c] * f[b,c]\nl[b] = sum[o] z[b,o]^2\n" GUARDED_LOSS},
    {"concatenation", "y grad",
     "scalar count\nscalar total\ninput x[b,3,5]\ninput u[b,4,5]\n"
     "y[b,c 7,i] = if c < 3 then x?[b,c,i] else u?[b,c-3,i]\nl[b] = sum[c,i] y[b,c,i]^2\n" GUARDED_LOSS},
    {"batch norm, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,5,12]\nparam w[5]\nparam v[5]\n"
     "ms[c] = sum[b,i] (if b < count then x[b,c,i] else 0)\nm[c] = ms[c] / (count * 12)\n"
     "ss[c] = sum[b,i] (if b < count then (x[b,c,i] - m[c])^2 else 0)\ns[c] = ss[c] / (count * 12)\n"
     "y[b,c,i] = w[c] * (x[b,c,i] - m[c]) / sqrt(s[c] + 0.001) + v[c]\nl[b] = sum[c,i] y[b,c,i]^3\n" GUARDED_LOSS},
    {"layer norm, gradient", "grad",
     "scalar count\nscalar total\ninput x[b,24]\nparam w[24]\n"
     "ms[b] = sum[i] x[b,i]\nm[b] = ms[b] / 24\nss[b] = sum[i] (x[b,i] - m[b])^2\ns[b] = ss[b] / 24\n"
     "y[b,i] = w[i] * (x[b,i] - m[b]) / sqrt(s[b] + 0.001)\nl[b] = sum[i] y[b,i]^3\n" GUARDED_LOSS},
    {"momentum in place", "w=w2 v=v2 loss",
     "scalar count\nscalar total\nscalar base_lr\ninput x[b,40]\nparam w[12,40]\nstate v[12,40]\n"
     "y[b,o] = sum[c] w[o,c] * x[b,c]\nl[b] = sum[o] y[b,o]\n" GUARDED_LOSS
     "v2[o,c] = 0.9 * v[o,c] + sum[b] (if b < count then x[b,c] / total else 0)\n"
     "w2[o,c] = w[o,c] - base_lr * v2[o,c]\n"},
    {"old values read late", "w=w2 old", "param w[20]\nw2[i] = w[i] * 2\nold = sum[i] w[i] * w2[i]\n"},
    {"norm of all gradients", "norm", "param w[33,50]\nparam v[7]\nnorm = sqrt((sum[i,j] w[i,j]^2) + 1)\n"},
    {"largest, smallest, product", "a c d e",
     "param w[33,50]\nparam u[6]\na = max[i,j] w[i,j]\nc[i] = min[j] w[i,j]\nd[j] = max[i] w[i,j]\ne = prod[i] u[i]\n"},
    {"matrix products", "y z t",
     "param u[21,34]\nparam v[34,45]\ny[i,j] = sum[k] u[i,k] * v[k,j]\nz[i,j] = sum[k] u[i,k] * u[j,k]\n"
     "t[i,j] = u[j,i] + 1\n"},
    {"short axes", "y z",
     "param u[7,3,3]\nparam v[5]\ny[i,p,q] = u[i,q,p] * 2 + p\nz[i,p] = sum[q] u[i,p,q]\n"},
    {"random numbers", "y z", "scalar seed\nscalar steps\ninput x[b,9]\nparam w[13,20]\n"
     "y[i,j] = w[i,j] + random(7, i*20+j)\nz[b,c] = if random(9, b*9+c) < 0.5 then x[b,c] else 0\n"},
    {"functions", "y", "param w[100]\n"
     "y[i] = exp(w[i]) + log(abs(w[i])) + erf(w[i]) - sqrt(abs(w[i])) * floor(w[i]) + sin(w[i]) * atan(w[i]) / sigmoid(w[i])\n"},
    {"whole numbers and conditions", "y z", "param w[6,8]\ninput x[b,8]\n"
     "y[i,j] = if (i + j) % 3 == 1 and j > 2 then w[i,j] else i - j // 2\n"
     "z[b,j] = if x[b,j] > 0 or j == 3 then x[b,7-j] else -(1 * j)\n"},
    {"scalars", "a d", "scalar count\nscalar base_lr\nstate s\na = base_lr * (1 + cos(count / 10)) / 2\nd = if a > s then a else s^2\n"},
    {"embedding, gradient", "grad", "scalar count\nscalar total\ninput t[b,6] below 11\nparam w[11,5]\n"
     "y[b,i,d] = w[t[b,i],d]\nl[b] = sum[i,d] y[b,i,d]^2\n" GUARDED_LOSS},
    {"names like ours", "y z block out", "input x[b,3]\ninput x1[b,3]\nparam w[3]\nparam w_2[3]\nparam acc[2,3]\nparam n[3]\nparam for[3]\nparam nn_set[3]\nparam exp\n"
     "y[b,i] = x[b,i] * x1[b,i] + w[i] * w_2[i] - nn_set[i]\nz[b,o] = sum[i] acc[o,i] * x1[b,i] * n[i] * for[i]\n"
     "block[first 3] = w[first] + n[first]\nout = log(exp(exp)) + n[1]\n"},
    {"confusion", "m", "scalar count\ninput t[b] below 4\ninput u[b] below 4\n"
     "m[i 4,j 4] = sum[b] (if b < count and t[b] == i and u[b] == j then 1 else 0)\n"},
};

typedef struct Try {
    const Case *what;
    Arena *arena;
    Compiled c;
    int64_t batch;
    Tensor *wanted[32];
    int nwanted;
} Try;

static const int64_t batches[] = {1, 10, 16, 17, 64};
enum { NCASES = sizeof cases / sizeof *cases, NBATCHES = sizeof batches / sizeof *batches, NTRIES = NCASES * NBATCHES };

static Try tries[NTRIES];

static void want(Try *t, Tensor *x)
{
    x->wanted = true;
    t->wanted[t->nwanted++] = x;
}

static void want_gradients(Try *t, Graph *g)
{
    Tensor *of[32], *grad[32];
    int n = 0;

    for (int i = 0; i < g->tensors.n; i++) {
        Tensor *x = g->tensors.at[i];
        if ((x->role == ROLE_PARAM || x->role == ROLE_INPUT) && !x->integer)
            of[n++] = x;
    }
    graph_gradient(g, graph_find(g, "loss"), n, of, grad);
    for (int i = 0; i < n; i++)
        if (grad[i] && !grad[i]->wanted)
            want(t, grad[i]);
}

static void want_named(Try *t, Graph *g, const char *names)
{
    char word[32];
    int n;

    for (; sscanf(names, " %31s%n", word, &n) == 1; names += n) {
        char *next = strchr(word, '=');
        if (strcmp(word, "grad") == 0) {
            want_gradients(t, g);
            continue;
        }
        if (next)
            *next++ = '\0';
        Tensor *x = graph_find(g, word);
        if (next)
            x->next = graph_find(g, next);
        want(t, next ? x->next : x);
    }
}

static void try_make(Try *t, const Case *what, int64_t batch)
{
    t->what = what;
    t->batch = batch;
    t->arena = arena_new();
    Graph *g = graph_read(t->arena, batch, what->text);
    want_named(t, g, what->wanted);
    graph_gather(g);
    graph_simplify(g);
    graph_hoist(g);
    graph_fuse(g);
    graph_drop_dead(g);
    graph_verify(g, "fuse");
    t->c.graph = g;
}

/* Where little stays in a cache, sums are taken in pieces: of channels, of places. */
static const Machine small[] = {
    {.name = "small", .registers = 30, .l1 = 16 * 1024, .l2 = 48 * 1024, .gflops = 100, .gbytes = 20},
    {.name = "smaller", .registers = 30, .l1 = 2 * 1024, .l2 = 16 * 1024, .gflops = 100, .gbytes = 20},
};

static bool build_all(void)
{
    const Machine *usual = loops_machine;

    Arena *a = arena_new();
    Text text = {.arena = a};
    char prefix[32];

    kernels_prelude(&text);
    for (int i = 0; i < NTRIES; i++) {
        try_make(&tries[i], &cases[i / NBATCHES], batches[i % NBATCHES]);
        snprintf(prefix, sizeof prefix, "k%d_", i);
        int64_t batch = batches[i % NBATCHES];
        loops_machine = batch == 10 ? &small[0] : batch == 17 ? &small[1] : usual;
        kernels_print(&text, &tries[i].c, prefix);
    }
    loops_machine = usual;
    if (!strstr(text.s, "kept["))
        return false;
    void *object = kernels_load(text.s, "-O1");
    for (int i = 0; object && i < NTRIES; i++) {
        snprintf(prefix, sizeof prefix, "k%d_run", i);
        *(void **)&tries[i].c.run = dlsym(object, prefix);
    }
    return object != NULL;
}

/* Zeros where the interpreter would read samples that are not there. */
static void blank_absent(Run *r, int64_t n)
{
    for (int i = 0; i < r->graph->tensors.n; i++) {
        const Tensor *t = r->graph->tensors.at[i];
        int64_t row = t->batched ? tensor_count(t) / t->size[0] : 0;
        if (t->role == ROLE_INPUT && t->batched)
            memset(r->data[i] + n * row, 0, sizeof(double) * (size_t)((t->size[0] - n) * row));
        if (strcmp(t->name, "count") == 0 || strcmp(t->name, "total") == 0)
            r->data[i][0] = (double)n;
    }
}

static void run_case(int number, int64_t n)
{
    Try *t = &tries[number];
    Arena *a = arena_new();
    Run *r = run_filled(a, t->c.graph);

    ck_assert_msg(t->c.run != NULL, "not built");
    for (int i = 0; i < r->graph->tensors.n; i++) { /* what single precision can hold */
        double *x = r->data[i];
        for (int64_t k = 0; r->graph->tensors.at[i]->role != ROLE_TEMP && k < tensor_count(r->graph->tensors.at[i]); k++)
            x[k] = (double)(float)x[k];
    }
    blank_absent(r, n);
    void **s = storages_new(a, &t->c, r, n), **again = storages_new(a, &t->c, r, n);
    run_graph(r);
    t->c.run(s, (long)n, 1);
    t->c.run(again, (long)n, 3);
    for (int i = 0; i < t->nwanted; i++) {
        const Tensor *x = t->wanted[i];
        double error = result_error(&t->c, x, s, r, n);
        ck_assert_msg(error < 3e-5, "%s, batch %d, %d samples: %s is off by %g", t->what->name, (int)t->batch, (int)n,
                      x->name, error);
        const Storage *result = result_of(&t->c, x);
        size_t bytes = (size_t)layout_bytes(&result->layout);
        if (!x->batched || n == t->batch)
            ck_assert_msg(memcmp(s[result->id], again[result->id], bytes) == 0, "%s: %s depends on the division of tasks",
                          t->what->name, x->name);
    }
    arena_free(a);
}

START_TEST(full) { run_case(_i, tries[_i].batch); }
END_TEST

START_TEST(one_sample_less)
{
    if (tries[_i].batch > 1)
        run_case(_i, tries[_i].batch - 1);
}
END_TEST

START_TEST(few_samples)
{
    if (tries[_i].batch > 3)
        run_case(_i, 3);
}
END_TEST

/* Three kernels in turn over i, the second of which has it last; with one block of samples they have tasks instead. */
START_TEST(in_turn)
{
    const Loops *l = tries[_i].c.loops;
    bool found = false;

    if (!strstr(tries[_i].what->name, "strip by strip"))
        return;
    for (int i = 0; i < l->kernels.n; i++)
        found |= l->kernels.at[i]->in_turn == 3 && l->kernels.at[i]->strips == 12;
    ck_assert(found == (tries[_i].batch > 16));
}
END_TEST

/* Where each block would end a sum after few additions, it does so only if what it reads does not stay in the cache: in the
 * smaller one. */
START_TEST(by_block)
{
    const Loops *l = tries[_i].c.loops;
    bool found = false;

    if (strcmp(tries[_i].what->name, "sums over few places") != 0)
        return;
    for (int i = 0; i < l->kernels.n; i++)
        found |= l->kernels.at[i]->blocked && l->kernels.at[i]->lane == LANE_SAMPLES_SUM;
    ck_assert(found == (tries[_i].batch == 17));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loops");
    TCase *c = tcase_create("kernels");

    if (!build_all())
        return 1;
    tcase_add_loop_test(c, full, 0, NTRIES);
    tcase_add_loop_test(c, one_sample_less, 0, NTRIES);
    tcase_add_loop_test(c, few_samples, 0, NTRIES);
    tcase_add_loop_test(c, in_turn, 0, NTRIES);
    tcase_add_loop_test(c, by_block, 0, NTRIES);
    tcase_set_timeout(c, 60);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
