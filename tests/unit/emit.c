/* emit.c -- the generated C of a small net: compiled by every compiler at hand, it trains like the interpreter,
 * prints no warning, keeps no data of its own and needs nothing but libm, memory functions and OpenMP. */
#include "emit_net.h"

#include <pthread.h>

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
