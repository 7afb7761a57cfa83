/* profile.c -- what the trainer's command bench must know of the kernels of a step: printed at the end of its model.c. */
#include "emit/parts.h"

/* The layer that a tensor belongs to by its name, conv2.weight's and d.conv2.y's being conv2; or NULL. */
static const Layer *layer_of(const Program *p, const char *tensor)
{
    const Layer *best = NULL;
    size_t longest = 0;

    if (strncmp(tensor, "d.", 2) == 0)
        tensor += 2;
    if (strncmp(tensor, "optimizer.", 10) == 0)
        tensor += 10;
    for (int i = 0; i < p->layers.n; i++) {
        const Layer *l = p->layers.at[i];
        size_t n = l->name ? strlen(l->name) : 0;
        if (n > longest && strncmp(tensor, l->name, n) == 0 && tensor[n] == '.') {
            best = l;
            longest = n;
        }
    }
    return best;
}

static int line_of(const Program *p, const Equation *q)
{
    const Layer *l = q ? layer_of(p, q->out->name) : NULL;

    if (!q)
        return 0;
    return l ? user_line(l->where, l->parent) : user_line(q->where, NULL);
}

static void print_kernel(Text *t, const Program *p, const Loops *loops, const Function *f)
{
    const Kernel *first = NULL;
    double flops = 0;
    int calls = 0;

    for (int i = 0; i < loops->kernels.n; i++) {
        const Kernel *k = loops->kernels.at[i];
        if (k->function != f && k->function->shared != f)
            continue;
        first = first ? first : k;
        flops += k->flops;
        calls++;
    }
    if (first)
        text_print(t, "    {\"%s\", %d, %d, %.0f, (void (*)(void))" KERNEL_PREFIX "%s},\n", f->name, line_of(p, first->equation), calls,
                   flops, f->name);
}

/* Stands behind the last kernel. */
void print_profile_end(Text *t) { text_print(t, "static void kernels_end(void) {}\n\n"); }

void print_profile(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p);

    text_print(t, "\n/* What bench shows: name, line, calls a step, operations of all of them, code. Then what follows the kernels. */\n"
                  "#include \"nn.h\"\n\nextern const nn_kernel %s_profile[];\nconst nn_kernel %s_profile[] = {\n", prefix, prefix);
    for (int i = 0; i < plan->functions->list.n; i++)
        if (plan->functions->list.at[i]->uses > 0)
            print_kernel(t, p, plan->work[GRAPH_STEP].loops, plan->functions->list.at[i]);
    text_print(t, "    {0, 0, 0, 0, kernels_end},\n};\n\n");
    text_print(t, "/* As fast as the processor can: n times %d multiply-adds of vectors that do not wait for one another. */\n"
                  "float %s_multiply_add(long n);\nfloat %s_multiply_add(long n)\n{\n"
                  "    nn_v sum[%d], x = nn_set(0.5f), all = nn_set(0);\n\n"
                  "    for (int i = 0; i < %d; i++)\n        sum[i] = nn_set((float)i);\n"
                  "    for (; n > 0; n--) {\n"
                  "        for (int i = 0; i < %d; i++)\n            sum[i] = nn_fma(sum[i], x, x);\n"
                  "        __asm__ volatile(\"\" ::: \"memory\");\n    }\n"
                  "    for (int i = 0; i < %d; i++)\n        all += sum[i];\n    return all[0];\n}\n",
               PROFILE_SUMS, prefix, prefix, PROFILE_SUMS, PROFILE_SUMS, PROFILE_SUMS, PROFILE_SUMS);
}
