/* passes.c -- the table that is the compiler: a row a pass. It gives the order, --emit, --after, --skip, --time,
 * --verify and their help; a pass itself neither prints nor checks nor times. */
#include "driver.h"

#include <stdio.h>
#include <time.h>

static void run_parse(Job *j) { j->tree = parse(j->arena, j->file); }

static void run_check(Job *j)
{
    Options *o = j->options;

    j->program = check(j->arena, j->tree, o->defines.at, o->defines.n);
}

static void run_single(Job *j)
{
    if (j->program->predict)
        j->program->single = graph_single(j->program->predict, "predict_one");
}

static void run_derive(Job *j) { program_derive(j->program); }

static void run_loops(Job *j)
{
    j->functions.arena = j->arena;
    for (int k = 0; k < GRAPHS; k++) {
        Graph *g = program_graph(j->program, k);
        j->loops[k] = g ? loops_make(j->arena, j->program, g, &j->functions) : NULL;
    }
}

static void run_plan(Job *j)
{
    j->plan = plan_make(j->arena, j->program, j->loops, &j->functions);
    functions_share(&j->functions);
}

/* clang-format off */
const Pass passes[] = {
    /* name      whole      graph            shows       skippable */
    {"parse",    run_parse, NULL,            SHOW_TREE,  false, "text to tree"},
    {"check",    run_check, NULL,            SHOW_GRAPH, false, "names, sizes and layers to equations, and their gradients"},
    {"gather",   NULL,      graph_gather,    SHOW_GRAPH, false, "every element of a result is written by its own sum"},
    {"simplify", NULL,      graph_simplify,  SHOW_GRAPH, true,  "algebra; equal equations once; conditions that sizes decide"},
    {"hoist",    NULL,      graph_hoist,     SHOW_GRAPH, true,  "what needs no index is computed once"},
    {"fuse",     NULL,      graph_fuse,      SHOW_GRAPH, true,  "equations into the ones that read them"},
    {"dead",     NULL,      graph_drop_dead, SHOW_GRAPH, true,  "equations nobody reads are dropped"},
    {"single",   run_single, NULL,           SHOW_GRAPH, true,  "predict once more, for one sample: no batch axis"},
    {"channels", NULL,      graph_channels,  SHOW_GRAPH, true,  "in that, channels are the last axis of pictures and weights"},
    {"winograd", NULL,      graph_winograd,  SHOW_GRAPH, true,  "3 x 3 windows with fewer multiplications"},
    {"panels",   NULL,      graph_panels,    SHOW_GRAPH, true,  "its weights, sixteen channels after sixteen"},
    {"derive",   run_derive, NULL,           SHOW_GRAPH, true,  "for that, what follows from weights alone is made when they are loaded"},
    {"loops",    run_loops, NULL,            SHOW_LOOPS, false, "equations to loop nests: lanes, tiles, threads"},
    {"plan",     run_plan,  NULL,            SHOW_PLAN,  false, "a place in memory for every buffer"},
};
/* clang-format on */
const int npasses = sizeof passes / sizeof *passes;

const Pass *pass_find(const char *name)
{
    for (int i = 0; i < npasses; i++)
        if (!strcmp(passes[i].name, name))
            return &passes[i];
    return NULL;
}

static double clock_seconds(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double now(void) { return clock_seconds(CLOCK_MONOTONIC); }

/* Of the processor: what else the machine does is not our time. */
static double busy(void) { return clock_seconds(CLOCK_PROCESS_CPUTIME_ID); }

static bool skipped(const Options *o, const Pass *pass)
{
    for (int i = 0; i < o->skip.n; i++)
        if (o->skip.at[i] == pass)
            return true;
    return false;
}

static void verify(Job *j, const Pass *pass)
{
    if (!j->program)
        return;
    for (int k = 0; k < GRAPHS; k++) {
        Graph *g = program_graph(j->program, k);
        if (g)
            graph_verify(g, pass->name);
    }
}

/* Each -D must have met an option. */
static void check_defines(Job *j)
{
    Options *o = j->options;
    const char **names = NEW_ARRAY(j->arena, const char *, j->program->options.n + 1);

    for (int i = 0; i < j->program->options.n; i++)
        names[i] = j->program->options.at[i].name;
    for (int i = 0; i < o->defines.n; i++) {
        if (o->defines.at[i].used)
            continue;
        const char *name = o->defines.at[i].name, *near = nearest(name, names, j->program->options.n);
        error_at(NOWHERE, "-D %s: %s has no option of that name", name, o->file);
        if (near)
            help("did you mean '%s'?", near);
    }
}

bool passes_run(Job *j)
{
    Options *o = j->options;
    double all = busy();
    Show last = SHOW_NOTHING; /* of the passes done */

    for (int i = 0; i < npasses; i++) {
        const Pass *pass = &passes[i];
        if (o->emit && pass->shows > o->emit)
            break;
        double start = busy();
        if (skipped(o, pass))
            continue;
        if (pass->whole)
            pass->whole(j);
        for (int k = 0; pass->graph && k < GRAPHS; k++) {
            Graph *g = program_graph(j->program, k);
            if (g)
                pass->graph(g);
        }
        if (o->time)
            fprintf(stderr, "%-10s %8.1f ms\n", pass->name, 1e3 * (busy() - start));
        if (pass->whole == run_check && j->program)
            check_defines(j);
        if (error_count())
            return false;
        if (pass->shows == SHOW_GRAPH && !j->program)
            bug("check gave neither a program nor an error");
        if (o->verify && pass->shows == SHOW_GRAPH)
            verify(j, pass);
        last = pass->shows;
        if (pass == o->after)
            break;
    }
    if (!o->emit)
        o->emit = o->after ? last : SHOW_NOTHING;
    if (o->time)
        fprintf(stderr, "%-10s %8.1f ms\n", "nnc", 1e3 * (busy() - all));
    return true;
}

void passes_show(Text *t, Job *j, Show show)
{
    switch (show) {
    case SHOW_NOTHING: break;
    case SHOW_TREE: tree_print(t, j->tree); break;
    case SHOW_GRAPH:
    case SHOW_LOOPS:
        for (int k = 0, n = 0; k < GRAPHS; k++) {
            Graph *g = program_graph(j->program, k);
            if (g && n++)
                text_print(t, "\n");
            if (g && show == SHOW_GRAPH)
                graph_print(t, g);
            else if (g)
                loops_print(t, j->loops[k]);
        }
        break;
    case SHOW_PLAN: plan_print(t, j->program, j->plan); break;
    case SHOW_C: emit_model_c(t, j->program, j->plan, j->trainer.header, j->profile); break;
    case SHOW_H: emit_model_h(t, j->program, j->plan); break;
    case SHOW_MAIN: emit_main_c(t, j->program, j->plan, &j->trainer); break;
    }
}
