/* test.c -- building the source of a case, running its graphs, comparing. */
#include "test.h"

#include <math.h>
#include <stdio.h>

void fail(Test *t, const char *format, ...)
{
    va_list args;

    if (!t->bad)
        printf("FAIL %s: %s\n", t->c->name, t->c->expr);
    t->bad = true;
    printf("     ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

bool build(Test *t)
{
    diag_reset();
    diag_to(&t->news);
    int file = source_add(arena_print(t->arena, "%s.nn", t->c->name), t->source.s, t->source.n, false);
    Node *tree = parse(t->arena, file);
    if (error_count() == 0)
        t->program = check(t->arena, tree, NULL, 0);
    news_show();
    if (error_count() > 0 || !t->program) {
        fail(t, "does not compile:\n%s\n%s", t->source.s, t->news.s ? t->news.s : "");
        return false;
    }
    return true;
}

/* --- comparing --- */

double largest(int64_t n, const double *v)
{
    double m = 0;

    for (int64_t i = 0; i < n; i++)
        m = fabs(v[i]) > m ? fabs(v[i]) : m;
    return m;
}

void compare(Test *t, const char *what, int64_t n, const double *is, const double *want, double tolerance)
{
    double scale = fmax(largest(n, want), 1e-3), worst = 0;
    int64_t at = -1;

    for (int64_t i = 0; i < n; i++) {
        double error = is[i] == want[i] ? 0 : fabs(is[i] - want[i]) / scale;
        if (!(error <= worst)) {
            worst = isnan(error) ? (double)INFINITY : error;
            at = i;
        }
    }
    if (!(worst <= tolerance))
        fail(t, "%s: element %lld of %lld is %.17g, not %.17g (error %.2g of the largest)", what, (long long)at,
             (long long)n, is[at], want[at], worst);
}

/* --- runs --- */

Cell *cell_find(Test *t, const char *name)
{
    for (int i = 0; i < t->store.n; i++)
        if (strcmp(t->store.at[i].name, name) == 0)
            return &t->store.at[i];
    return NULL;
}

Cell *cell_get(Test *t, const char *name, int64_t n)
{
    Cell *c = cell_find(t, name);

    if (!c) {
        PUSH(t->arena, t->store, ((Cell){name, n, NEW_ARRAY(t->arena, double, n)}));
        c = &t->store.at[t->store.n - 1];
    }
    return c;
}

void set_scalar(Run *r, const char *name, double x)
{
    Tensor *s = graph_find(r->graph, name);

    if (s && s->role == ROLE_SCALAR)
        r->data[s->id][0] = x;
}

void clock_set(Run *r, double count, double total)
{
    static const struct { const char *name; double x; } rows[] = {
        {"last", 1}, {"steps", 1}, {"epoch", 1}, {"steps_per_epoch", 10}, {"total_steps", 100}, {"base_lr", 1},
        {"seed", 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        set_scalar(r, rows[i].name, rows[i].x);
    set_scalar(r, "count", count);
    set_scalar(r, "total", total);
    set_scalar(r, "valid_loss", (double)INFINITY);
}

/* Parameters and states of a run, from the store; and back, as they are after it. */
void run_load(Test *t, Run *r)
{
    for (int i = 0; i < r->graph->tensors.n; i++) {
        Tensor *x = r->graph->tensors.at[i];
        if (x->role == ROLE_PARAM || x->role == ROLE_STATE) {
            const Cell *c = cell_get(t, x->name, tensor_count(x));
            memcpy(r->data[x->id], c->v, sizeof(double) * (size_t)c->n);
        }
    }
}

void run_save(Test *t, Run *r)
{
    for (int i = 0; i < r->graph->tensors.n; i++) {
        Tensor *x = r->graph->tensors.at[i];
        if ((x->role == ROLE_PARAM || x->role == ROLE_STATE) && x->next) {
            const Cell *c = cell_get(t, x->name, tensor_count(x));
            memcpy(c->v, r->data[x->next->id], sizeof(double) * (size_t)c->n);
        }
    }
}

/* Initial values of everything kept: graph init, then the case's own. */
void store_init(Test *t)
{
    const Graph *g = t->program->init;

    if (g) {
        Run *r = run_new(t->arena, g);
        clock_set(r, (double)g->batch, (double)g->batch);
        set_scalar(r, "steps", 0);
        run_graph(r);
        for (int i = 0; i < g->tensors.n; i++) {
            const Tensor *x = g->tensors.at[i];
            if (x->wanted)
                memcpy(cell_get(t, x->name, tensor_count(x))->v, r->data[x->id], sizeof(double) * (size_t)tensor_count(x));
        }
    }
    for (int i = 0; i < t->c->rows.n; i++) {
        const Row *row = &t->c->rows.at[i];
        if (strcmp(row->key, "param") != 0 && strcmp(row->key, "state") != 0)
            continue;
        Cell *c = cell_find(t, row->name);
        if (!c || c->n != row->n)
            fail(t, "the model has no '%s' of %lld numbers", row->name, (long long)row->n);
        else
            memcpy(c->v, row->v, sizeof(double) * (size_t)row->n);
    }
}

/* Samples first.. of a row into an input whose batch is larger; the others get numbers that must not matter. */
static void input_fill(Run *r, const Row *row, int64_t first, const char *name)
{
    Tensor *x = graph_find(r->graph, name);
    int64_t samples = row->size[0], each = row->n / samples, batch = r->graph->batch;

    if (!x || x->role != ROLE_INPUT)
        return;
    for (int64_t b = 0; b < batch; b++)
        for (int64_t k = 0; k < each; k++)
            r->data[x->id][b * each + k] = first + b < samples ? row->v[(first + b) * each + k]
                                           : strcmp(row->key, "label") == 0 ? 0 : 0.25 + 0.01 * (double)(k + b);
}

void inputs_fill(Test *t, Run *r, int64_t first)
{
    for (int i = 0; i < t->c->rows.n; i++) {
        const Row *row = &t->c->rows.at[i];
        if (strcmp(row->key, "input") == 0 || strcmp(row->key, "label") == 0)
            input_fill(r, row, first, row->name);
    }
}
