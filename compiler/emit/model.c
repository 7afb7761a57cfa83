/* model.c -- the text of model.c, from its banner to its last function.
 *
 * Everything but the entry points is static, so that two models in one program never meet. */
#include "emit/parts.h"

static void print_banner(Text *t, const Program *p, const Plan *plan)
{
    text_print(t, "/* ");
    c_comment(t, p->name);
    text_print(t, ", compiled by nnc from ");
    c_comment(t, p->source);
    text_print(t, ".\n *\n"
                  " *     vectors      sixteen floats side by side, and the functions on them\n"
                  " *     kernels      one function each: the equation, where it comes from, its loops\n"
                  " *     graphs       which kernels run in which order, and where their tensors lie\n"
                  " *     entry points what %s.h declares\n *\n", emit_prefix(t->arena, p));
    text_print(t, " * %lld bytes of weights, %lld of context, %lld of scratch to predict. C11, any compiler that has GNU vectors;\n"
                  " * build with -O2 -ffp-contract=off for the processor at hand, with -fopenmp for more than one thread. The\n"
                  " * results are the same bits for any number of threads. What nnc made belongs to you. */\n",
               (long long)plan->weight_bytes, (long long)plan->bytes, (long long)plan->predict_bytes);
}

static bool draws(const Plan *plan)
{
    for (int i = 0; i < plan->functions->list.n; i++)
        if (strstr(plan->functions->list.at[i]->body, "nn_random"))
            return true;
    return false;
}

static void print_helpers(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    text_print(t, "/* Memory that the caller gave must be there and aligned. */\n"
                  "static bool %s_aligned(const void *memory)\n{\n    return memory && (uintptr_t)memory %% %s_ALIGN == 0;\n}\n\n",
               prefix, up);
    text_print(t, "/* Whether this file was compiled for a better processor than the one it runs on. */\n"
                  "static bool %s_cpu_lacks(void)\n{\n"
                  "#if defined __x86_64__ && defined __AVX512F__\n"
                  "    return !__builtin_cpu_supports(\"avx512f\");\n"
                  "#elif defined __x86_64__ && defined __AVX2__\n"
                  "    return !__builtin_cpu_supports(\"avx2\");\n"
                  "#else\n    return false;\n#endif\n}\n\n",
               prefix);
    if (!run_in_parallel(plan))
        return;
    text_print(t, "/* Where the share of a thread begins: tasks are dealt out in order to no more than `most` threads. */\n"
                  "static long %s_share(long tasks, int thread, int threads, int most)\n{\n"
                  "    int team = threads < most ? threads : most;\n\n"
                  "    return thread >= team ? tasks : tasks * thread / team;\n}\n\n",
               prefix);
    text_print(t, "#ifdef _OPENMP\n/* No more threads than the caller allows. */\nstatic int %s_team(int most)\n{\n"
                  "    return omp_get_max_threads() < most ? omp_get_max_threads() : most;\n}\n#endif\n\n",
               prefix);
}

static void print_section(Text *t, const char *title)
{
    text_print(t, "\n/* ---- %s ---- */\n\n", title);
}

/* What calls cost would be most of the time: every kernel becomes part of its graph. */
static bool is_small(const Plan *plan)
{
    enum { FEW_KERNELS = 120, FEW_OPERATIONS = 200000 };
    int kernels = 0;

    for (GraphKind i = 0; i < GRAPHS; i++) {
        const Loops *l = plan->work[i].loops;
        if (l && (l->threads > 1 || l->flops > FEW_OPERATIONS))
            return false;
        kernels += l ? l->kernels.n : 0;
    }
    return kernels <= FEW_KERNELS;
}

/* What every model carries with it, as far as the rest of this one needs it. */
static void print_carried(Text *t, const Program *p, const Plan *plan, const char *rest)
{
    Text math = {.arena = t->arena}, users = {.arena = t->arena};

    print_prelude(&math, "runtime/nn_math.h", rest);
    text_print(&users, "%s%s", math.n > 0 ? math.s : "", rest);
    print_section(t, "vectors");
    print_prelude(t, "runtime/nn_vec.h", users.s);
    text_print(t, "%s", math.n > 0 ? math.s : "");
    if (draws(plan)) {
        text_print(t, "\n#ifdef __clang__ /* not every model draws single numbers and vectors of them */\n"
                      "#pragma clang diagnostic push\n#pragma clang diagnostic ignored \"-Wunused-function\"\n#endif\n");
        print_prelude(t, "runtime/nn_random.h", rest);
        text_print(t, "\n#ifdef __clang__\n#pragma clang diagnostic pop\n#endif\n");
    }
    if (!file_empty(p)) {
        print_file_prelude(t, p);
        print_prelude(t, "runtime/nn_image.h", rest);
    }
}

static void print_rest(Text *t, const Program *p, const Plan *plan, bool profile)
{
    text_print(t, "\n");
    if (is_small(plan))
        text_print(t, "/* So few numbers that one kernel can leave them in registers for the next. */\n#define NN_KERNEL NN_INLINE\n\n");
    loops_prelude(t);

    print_section(t, "kernels");
    for (int i = 0; i < plan->functions->list.n; i++)
        if (plan->functions->list.at[i]->uses > 0) {
            function_print(t, plan->functions->list.at[i], KERNEL_PREFIX);
            text_print(t, "\n");
        }

    if (profile)
        print_profile_end(t);
    print_section(t, "graphs");
    print_helpers(t, p, plan);
    Lists *lists = lists_make(p, plan);
    if (lists)
        print_lists_begin(t, lists);
    for (GraphKind i = 0; i < GRAPHS; i++)
        if (plan->work[i].loops)
            print_run(t, p, plan, i, lists);
    if (lists)
        print_lists_end(t, lists);

    print_section(t, "entry points");
    if (!file_empty(p))
        print_file_table(t, p, plan);
    print_entries(t, p, plan);
    if (profile)
        print_profile(t, p, plan);
}

void emit_model_c(Text *t, const Program *p, const Plan *plan, const char *header, bool profile)
{
    Text rest = {.arena = t->arena};

    print_banner(t, p, plan);
    text_print(t, "#include ");
    c_string(t, header);
    text_print(t, "\n\n#include <math.h>\n#include <stdbool.h>\n#include <string.h>\n");
    if (run_in_parallel(plan))
        text_print(t, "#ifdef _OPENMP\n#include <omp.h>\n#define NN_BARRIER _Pragma(\"omp barrier\") /* all threads meet */\n"
                      "#else\n#define NN_BARRIER (void)0\n#endif\n");
    print_rest(&rest, p, plan, profile);
    print_carried(t, p, plan, rest.s);
    text_add(t, rest.s, rest.n);
}
