/* print.c -- the plan as a table: what --emit=plan shows and what `trainer info` repeats. */
#include "plan/plan.h"

#include <limits.h>

static void print_row_at(Text *t, const char *offset, int64_t bytes, const char *life, const char *name, Span where)
{
    const char *place = where.file >= 0 ? span_text(t->arena, where) : "";

    text_print(t, "  %12s %12lld  %-9s %s", offset, (long long)bytes, life, name);
    if (*place)
        text_print(t, "%*s%s", strlen(name) < 28 ? 28 - (int)strlen(name) : 2, "", place);
    text_print(t, "\n");
}

static void print_row(Text *t, int64_t offset, int64_t bytes, const char *life, const char *name, Span where)
{
    print_row_at(t, arena_print(t->arena, "%lld", (long long)offset), bytes, life, name, where);
}

static void print_heading(Text *t, const char *title)
{
    text_print(t, "%s\n  %12s %12s  %-9s %s\n", title, "offset", "bytes", "life", "name");
}

static void print_kept(Text *t, const Program *p, const Plan *plan)
{
    static const char *const kinds[] = {"weights", "weights", "optimizer", "sums", "derived"};

    print_heading(t, "context");
    print_row(t, 0, SCALAR_COUNT * 8, "clock", "scalars", NOWHERE);
    for (KeptKind kind = KEPT_PARAM; kind <= (plan->derived_bytes ? KEPT_DERIVED : KEPT_METRIC); kind++)
        for (int i = 0; i < p->kept.n; i++)
            if (p->kept.at[i].kind == kind)
                print_row(t, plan->kept[i].offset, plan->kept[i].bytes, kinds[kind], p->kept.at[i].name, p->kept.at[i].where);
    int64_t at = plan->metrics;
    for (int i = 0; i < p->metrics.n; at += 8 * output_count(&p->metrics.at[i]), i++)
        print_row(t, at, 8 * output_count(&p->metrics.at[i]), "metrics", p->metrics.at[i].name, NOWHERE);
}

/* In the order in which they lie, and at one place in the order of their lives. Those of a thread's room in a phase stand
 * below it, with places in the room; their lives are counted from the first kernel of the phase. */
static void print_buffers(Text *t, const Work *w, int phase, int64_t base, bool *shown)
{
    for (;;) {
        int best = -1;
        for (int i = 0; i < w->n; i++)
            if (!shown[i] && w->buffers[i].phase == phase &&
                (best < 0 || w->buffers[i].offset < w->buffers[best].offset ||
                 (w->buffers[i].offset == w->buffers[best].offset && w->buffers[i].first < w->buffers[best].first)))
                best = i;
        if (best < 0)
            return;
        const Buffer *b = &w->buffers[best];
        int start = phase < 0 ? 0 : w->loops->phases.at[phase].first;
        const char *life = b->last == INT_MAX ? arena_print(t->arena, "%d..end", b->first)
                                              : arena_print(t->arena, "%d..%d", b->first - start, b->last - start);
        shown[best] = true;
        print_row_at(t, arena_print(t->arena, phase < 0 ? "%lld" : "+%lld", (long long)(base + b->offset)), b->bytes, life,
                     b->name, b->where);
        for (int i = 0; phase < 0 && i < w->loops->phases.n; i++)
            if (w->room[i].bytes > 0 && w->room[i].buffer == best)
                print_buffers(t, w, i, 0, shown);
    }
}

static void print_work(Text *t, const Work *w, int64_t base)
{
    print_buffers(t, w, -1, base, NEW_ARRAY(t->arena, bool, w->n + 1));
}

/* Bytes of the fullest moment: no plan can do with less. */
static int64_t work_floor(const Work *w)
{
    int64_t floor = 0;

    for (int i = 0; i < w->n; i++) {
        int64_t sum = 0;
        for (int j = 0; j < w->n && w->buffers[i].phase < 0; j++)
            if (w->buffers[j].phase < 0 && w->buffers[j].first <= w->buffers[i].first && w->buffers[i].first <= w->buffers[j].last)
                sum += w->buffers[j].bytes;
        if (sum > floor)
            floor = sum;
    }
    return floor;
}

void plan_print(Text *t, const Program *p, const Plan *plan)
{
    static const char *const titles[GRAPHS] = {
        [GRAPH_INIT] = "work of init (shared)",     [GRAPH_STEP] = "work of step (shared)",
        [GRAPH_EVAL] = "work of eval (shared)",     [GRAPH_REPORT] = "work of report (shared)",
        [GRAPH_PREDICT] = "scratch of predict",     [GRAPH_PREPARE] = "scratch of prepare",
        [GRAPH_DERIVE] = "work of derive (in the context)", [GRAPH_SINGLE] = "scratch of predict for one sample (shared)"};

    print_kept(t, p, plan);
    for (GraphKind i = 0; i < GRAPHS; i++) {
        const Work *w = &plan->work[i];
        if (w->n == 0)
            continue;
        text_print(t, "\n");
        print_heading(t, titles[i] ? titles[i] : arena_print(t->arena, "work of %s (shared)", program_graph(p, i)->name));
        print_work(t, w, i <= GRAPH_REPORT ? plan->work_offset : i == GRAPH_DERIVE ? plan->derived_offset + plan->derived_work : i == GRAPH_SINGLE ? plan->derived_bytes : 0);
        text_print(t, "  %12s %12lld  of which %lld live at the fullest moment\n", "", (long long)w->bytes,
                   (long long)work_floor(w));
    }
    text_print(t, "\nweights    %12lld bytes\n", (long long)plan->weight_bytes);
    text_print(t, "training   %12lld bytes, the whole context\n", (long long)plan->bytes);
    if (program_graph(p, GRAPH_PREDICT))
        text_print(t, "inference  %12lld bytes, weights and scratch of predict for %lld samples\n",
                   (long long)(plan->weight_bytes + plan->predict_bytes), (long long)p->predict->batch);
    if (program_graph(p, GRAPH_PREPARE))
        text_print(t, "prepare    %12lld bytes of scratch, once before training\n", (long long)plan->prepare_bytes);
}
