/* passes.h -- a pass over the graph: text before, text after, and the interpreter says the same. */
#ifndef PASSES_H
#define PASSES_H

#include "equations.h"

#include <check.h>

typedef void Pass(Graph *g);

/* "y w:v": y is wanted, v is the next value of w. */
static void mark(Graph *g, const char *results)
{
    char name[64], next[64];
    int n;

    for (const char *s = results; sscanf(s, " %63[^ :]%n", name, &n) == 1;) {
        Tensor *t = graph_find(g, name);
        ck_assert_msg(t != NULL, "no tensor %s", name);
        s += n;
        if (*s == ':' && sscanf(s, ":%63s%n", next, &n) == 1) {
            t->next = graph_find(g, next);
            s += n;
        } else {
            t->wanted = true;
        }
    }
}

static bool is_result(const Graph *g, const Tensor *t)
{
    bool result = t->wanted;

    for (int i = 0; i < g->tensors.n; i++)
        result |= g->tensors.at[i]->next == t;
    return result;
}

/* The largest difference between results of the two graphs, in shares of the largest value. */
static double difference(const Graph *before, const Graph *after)
{
    Run *p = run_filled(before->arena, before), *q = run_filled(after->arena, after);
    double worst = 0;

    run_graph(p);
    run_graph(q);
    for (int i = 0; i < before->tensors.n; i++) {
        const Tensor *t = before->tensors.at[i];
        double scale = 1e-30, most = 0;
        if (!is_result(before, t))
            continue;
        for (int64_t k = 0; k < tensor_count(t); k++) {
            double x = p->data[i][k], y = q->data[i][k];
            scale = fmax(scale, fabs(x));
            most = fmax(most, x == y || (isnan(x) && isnan(y)) ? 0 : isnan(x - y) ? HUGE_VAL : fabs(x - y));
        }
        worst = fmax(worst, most / scale);
    }
    return worst;
}

static bool check_pass(Pass *pass, const char *name, const char *text, const char *results, const char *want)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, 4, text);

    mark(g, results);
    graph_verify(g, "reading");
    Graph *before = graph_copy(g, "before");
    pass(g);
    graph_verify(g, name);
    double d = difference(before, g);
    const char *got = graph_lines(g, 0);
    bool good = d < 1e-12 && (!want || strcmp(got, want) == 0);
    if (!good)
        fprintf(stderr, "%s: results differ by %g\n--- from\n%s--- got\n%s--- want\n%s", name, d,
                graph_lines(before, 0), got, want ? want : "(anything)\n");
    arena_free(a);
    return good;
}

typedef struct Row {
    const char *name, *text, *results, *want;
} Row;

static void check_rows(Pass *pass, const Row *rows, int n)
{
    int bad = 0;

    for (int i = 0; i < n; i++)
        bad += !check_pass(pass, rows[i].name, rows[i].text, rows[i].results, rows[i].want);
    ck_assert_int_eq(bad, 0);
}

#define CHECK_ROWS(pass, rows) check_rows(pass, rows, (int)(sizeof rows / sizeof *rows))

#endif
