/* kernels.h -- graphs compiled to kernels, built with the C compiler, loaded and run beside the interpreter; for tests. */
#ifndef TEST_KERNELS_H
#define TEST_KERNELS_H

#include "equations.h"

#include "base/embedded.h"
#include "loops/loops.h"

#include <dlfcn.h>
#include <unistd.h>

typedef void KernelsRun(void **storage, long n, long parts);

/* One graph of a test, as one function of the shared object. */
typedef struct Compiled {
    Graph *graph;           /* what the interpreter runs */
    const Program *program; /* or NULL */
    Loops *loops;
    KernelsRun *run;
} Compiled;

static void print_pointer(Text *t, const Storage *s, void *user)
{
    (void)user;
    text_print(t, "(%s *)s[%d]", s->layout.order == ORDER_DOUBLE ? "double" : s->layout.integer ? "int32_t" : "float",
               s->id);
}

/* Tasks of each kernel in `parts` portions, last portion first: any order must do. */
static void print_run(Text *t, const Loops *l, const char *prefix)
{
    text_print(t, "void %srun(void **s, long n, long parts)\n{\n    const long all = (n + 15) / 16;\n    (void)all;\n    (void)parts;\n", prefix);
    for (int i = 0; i < l->phases.n; i++) {
        const Phase *p = &l->phases.at[i];
        bool blocks = p->kind == PHASE_BLOCKS;
        int last = -1; /* of kernels in turn */
        text_print(t, "    for (long part = parts - 1; part >= 0; part--) {\n");
        if (blocks)
            text_print(t, "        for (long block = all * part / parts; block < all * (part + 1) / parts; block++) {\n");
        else if (p->kind == PHASE_SERIAL)
            text_print(t, "        if (part > 0) {\n            continue;\n        }\n");
        for (int j = p->first; j < p->first + p->count; j++) {
            const Kernel *k = l->kernels.at[j];
            if (k->strips) {
                text_print(t, "            for (long strip = 0; strip < %lld; strip++) {\n", (long long)k->strips);
                last = j + k->in_turn - 1;
            }
            text_print(t, blocks ? "            " : "        ");
            if (blocks)
                kernel_call(t, k, prefix, print_pointer, NULL, "n", NULL, NULL);
            else if (p->kind == PHASE_SERIAL)
                kernel_call(t, k, prefix, print_pointer, NULL, "n", "0", arena_print(t->arena, "%lld", (long long)k->tasks));
            else
                kernel_call(t, k, prefix, print_pointer, NULL, "n",
                            arena_print(t->arena, "%lldL * part / parts", (long long)k->tasks),
                            arena_print(t->arena, "%lldL * (part + 1) / parts", (long long)k->tasks));
            text_print(t, j == last ? ";\n            }\n" : ";\n");
        }
        text_print(t, blocks ? "        }\n    }\n" : "    }\n");
    }
    text_print(t, "}\n\n");
}

static void kernels_prelude(Text *t)
{
    text_print(t, "#include <math.h>\n");
    for (const Embedded *e = prelude_files; e->path; e++) {
        /* the file's own includes of its neighbours have been pasted already */
        text_print(t, "%s\n", e->text);
    }
    loops_prelude(t);
}

/* Adds the functions of one graph and its run function to t. */
static void kernels_print(Text *t, Compiled *c, const char *prefix)
{
    Functions *f = NEW(t->arena, Functions);

    f->arena = t->arena;
    c->loops = loops_make(t->arena, c->program, c->graph, f);
    for (int i = 0; i < f->list.n; i++)
        function_print(t, f->list.at[i], prefix);
    print_run(t, c->loops, prefix);
}

/* Builds the text into a shared object and loads it. */
static void *kernels_load(const char *text, const char *flags)
{
    char dir[] = "/tmp/nnc-kernels-XXXXXX", path[64], command[512];
    const char *cc = getenv("NNC_TEST_CC");

    if (!mkdtemp(dir))
        return NULL;
    snprintf(path, sizeof path, "%s/k.c", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return NULL;
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command,
             "%s -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wno-unused-function -Werror %s -march=native -ffp-contract=off "
             "-shared -fPIC -o %s/k.so %s -lm", cc ? cc : "clang", flags, dir, path);
    if (system(command) != 0) {
        fprintf(stderr, "%s\n", command);
        return NULL;
    }
    snprintf(path, sizeof path, "%s/k.so", dir);
    void *so = dlopen(path, RTLD_NOW);
    if (!so)
        fprintf(stderr, "%s\n", dlerror());
    if (!getenv("NNC_TEST_KEEP")) {
        snprintf(command, sizeof command, "rm -rf %s", dir);
        if (system(command) != 0)
            fprintf(stderr, "%s is left behind\n", dir);
    }
    return so;
}

/* --- memory of a run --- */

static int64_t place_of(const Layout *l, const int64_t *at)
{
    int64_t p = l->origin;

    for (int a = 0; a < l->rank; a++)
        p += l->order == ORDER_LANES && a == 0 ? at[0] / 16 * l->stride[0] + at[0] % 16 : at[a] * l->stride[a];
    return p;
}

static double element(const Layout *l, const void *s, int64_t p)
{
    return l->order == ORDER_DOUBLE ? ((const double *)s)[p] : l->integer ? ((const int32_t *)s)[p] : (double)((const float *)s)[p];
}

/* Calls `each` for every element, its place in the storage and its number in row-major order. */
static void for_elements(const Layout *l, int64_t samples, void (*each)(int64_t place, int64_t number, void *user), void *user)
{
    int64_t at[MAX_RANK] = {0}, number = 0;

    for (;;) {
        if (l->rank == 0 || samples < 0 || at[0] < samples)
            each(place_of(l, at), number, user);
        number++;
        int a = l->rank - 1;
        while (a >= 0 && ++at[a] == l->size[a])
            at[a--] = 0;
        if (a < 0)
            return;
    }
}

typedef struct Fill {
    const Layout *l;
    void *to;
    const double *from;
} Fill;

static void fill_element(int64_t place, int64_t number, void *user)
{
    Fill *f = user;

    if (f->l->order == ORDER_DOUBLE)
        ((double *)f->to)[place] = f->from[number];
    else if (f->l->integer)
        ((int32_t *)f->to)[place] = (int32_t)f->from[number];
    else
        ((float *)f->to)[place] = (float)f->from[number];
}

/* Storages filled with what is given, everything else with what must not be relied upon; what is kept is zero before init.
 * Inputs hold n samples. */
static void **storages_new(Arena *a, const Compiled *c, const Run *r, int64_t n)
{
    void **s = NEW_ARRAY(a, void *, c->loops->storages.n);

    for (int i = 0; i < c->loops->storages.n; i++) {
        const Storage *x = c->loops->storages.at[i];
        int64_t bytes = layout_bytes(&x->layout);
        /* The caller's are exactly as long as n samples, on the heap, where a sanitizer sees who goes further. */
        if ((x->kind == STORAGE_FIELD || x->kind == STORAGE_OUTPUT) && !c->graph->single)
            bytes = bytes / x->layout.size[0] * n;
        if (posix_memalign(&s[i], 64, (size_t)bytes) != 0)
            exit(99);
        memset(s[i], 0, (size_t)bytes);
        const Tensor *given = graph_find(c->graph, x->tensor->name);
        if (x->kind == STORAGE_WORK || x->kind == STORAGE_OUTPUT)
            memset(s[i], 0x7f, (size_t)bytes); /* large floats; zero times these is no harm, but sums show them */
        else if (given) /* seed and steps are 0 where the graph does not know them */
            for_elements(&x->layout, x->kind == STORAGE_FIELD && !c->graph->single ? n : -1, fill_element,
                         &(Fill){&x->layout, s[i], r->data[given->id]});
    }
    return s;
}

/* Where a wanted tensor of the graph ends up. */
static const Storage *result_of(const Compiled *c, const Tensor *t)
{
    const Storage *s = NULL;

    if (!t->batched)
        return loops_storage(c->loops, t->name);
    for (int i = 0; i < c->loops->storages.n; i++) {
        const Storage *x = c->loops->storages.at[i];
        if (x->kind == STORAGE_OUTPUT && strcmp(x->tensor->name, t->name) == 0)
            s = x;
    }
    return s;
}

typedef struct Compare {
    const Layout *l;
    const void *have;
    const double *want;
    double worst, scale;
} Compare;

static void compare_element(int64_t place, int64_t number, void *user)
{
    Compare *c = user;
    double have = element(c->l, c->have, place), want = c->want[number];

    c->scale = fmax(c->scale, fabs(want));
    if (!(have == want) && !(isnan(have) && isnan(want)))
        c->worst = fmax(c->worst, isfinite(have - want) ? fabs(have - want) : HUGE_VAL);
}

/* The largest difference over the largest value. */
static double result_error(const Compiled *c, const Tensor *t, void **s, const Run *r, int64_t n)
{
    const Storage *x = result_of(c, t);
    Layout l;

    if (!x)
        return HUGE_VAL;
    l = x->layout;
    if (x->tensor->rank != t->rank)
        layout_kept(&l, t->rank, t->size, t->integer);
    Compare m = {&l, s[x->id], r->data[t->id], 0, 1e-3};
    for_elements(&l, t->batched ? n : -1, compare_element, &m);
    return m.worst / m.scale;
}

#endif
