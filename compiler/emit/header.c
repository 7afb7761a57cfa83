/* header.c -- model.h: all that a program which embeds the model has to know. */
#include "emit/parts.h"

static void print_sizes(Text *t, int rank, const int64_t *size)
{
    if (rank == 0)
        text_print(t, "1");
    for (int i = 0; i < rank; i++)
        text_print(t, "%s%lld", i ? "x" : "", (long long)size[i]);
}

/* "const float *image, const float *x2" of the inputs; labels are not needed to predict. */
void print_inputs(Text *t, const Program *p)
{
    const char **names = field_names(p);

    for (int i = 0; i < p->fields.n; i++)
        if (!p->fields.at[i].label)
            text_print(t, "const %s *%s, ", field_type(&p->fields.at[i]), names[i]);
}

static void print_banner(Text *t, const Program *p)
{
    text_print(t, "/* ");
    c_comment(t, p->name);
    text_print(t, ": a neural network, compiled by nnc from ");
    c_comment(t, p->source);
    text_print(t, ".\n *\n"
                  " * The caller owns all memory: a context of %s_BYTES bytes, aligned to %s_ALIGN. Nothing here\n"
                  " * allocates, prints or ends the program; every function may be called from any thread as long as no two\n"
                  " * work on one context at a time, and predict, save and loss may share one. What nnc made belongs to you. */\n",
               upper(t->arena, emit_prefix(t->arena, p)), upper(t->arena, emit_prefix(t->arena, p)));
}

static void print_constant(Text *t, const char *prefix, const char *name, int64_t value, const char *what)
{
    char *line = arena_print(t->arena, "#define %s_%s %lld", prefix, name, (long long)value);

    text_print(t, "%-44s /* %s */\n", line, what);
}

static void print_constants(Text *t, const Program *p, const Plan *plan)
{
    const char *up = upper(t->arena, emit_prefix(t->arena, p));

    print_constant(t, up, "BYTES", plan->bytes, "a context: weights, then what training needs");
    print_constant(t, up, "WEIGHT_BYTES", plan->weight_bytes, "its first part: all that load, save and predict need");
    print_constant(t, up, "ALIGN", PLAN_ALIGN, "of contexts and scratch memory");
    print_constant(t, up, "PREDICT_BYTES", plan->predict_bytes, "scratch memory of predict");
    if (p->prepare)
        print_constant(t, up, "PREPARE_BYTES", plan->prepare_bytes, "scratch memory of prepare");
    print_constant(t, up, "FILE_BYTES", file_bytes(p), "what save writes");
    if (p->step)
        print_constant(t, up, "BATCH", p->batch, "samples a step or eval takes at most");
    print_constant(t, up, "WEIGHTS", count_weights(p), "numbers that are trained");
    text_print(t, "\n/* What the functions below return. */\nenum { %s_OK, %s_EARGUMENT, %s_EFORMAT, %s_ENOTFINITE, %s_ECPU };\n",
               up, up, up, up, up);
}

static void print_batch(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p), **names = field_names(p);

    text_print(t, "\n/* n samples, one after the other, each row-major. */\ntypedef struct %s_batch {\n", prefix);
    for (int i = 0; i < p->fields.n; i++) {
        const Field *f = &p->fields.at[i];
        text_print(t, "    const %s *%s; /* n x ", field_type(f), names[i]);
        print_sizes(t, f->rank, f->size);
        if (f->classes > 0)
            text_print(t, ", each 0..%d", f->classes - 1);
        text_print(t, " */\n");
    }
    text_print(t, "} %s_batch;\n", prefix);
}

/* The clock of the training, as nn.h numbers it: what a caller may set between steps. */
static void print_scalars(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    text_print(t, "\n/* Positions in %s_scalars(). After init all have values that train; a caller who wants more sets\n"
                  " * BASE_LR at any time, and EPOCH, STEPS_PER_EPOCH and TOTAL_STEPS where the schedule looks at them.\n"
                  " * TOTAL and LAST split one step over several calls: samples in all, and 0 until the last call. */\nenum {\n",
               prefix);
#define SCALAR_LINE(name, what) \
    text_print(t, "    %-40s /* %s */\n", arena_print(t->arena, "%s_SCALAR_%s,", up, upper(t->arena, #name)), what);
    SCALARS(SCALAR_LINE)
#undef SCALAR_LINE
    text_print(t, "    %-40s /* %s */\n    %s_SCALARS\n};\n", arena_print(t->arena, "%s_SCALAR_LR,", up),
               "the learning rate the last step used", up);
}

static void print_metrics(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix), **names = metric_names(p);
    int64_t at = 0;

    text_print(t, "\n/* Positions in %s_metrics(). */\nenum {\n", prefix);
    for (int i = 0; i < p->metrics.n; i++) {
        const Output *m = &p->metrics.at[i];
        text_print(t, "    %s_METRIC_%s = %lld, /* ", up, upper(t->arena, names[i]), (long long)at);
        c_comment(t, m->name);
        if (m->rank > 0) {
            text_print(t, ", ");
            print_sizes(t, m->rank, m->size);
        }
        text_print(t, " */\n");
        at += output_count(m);
    }
    text_print(t, "    %s_METRICS = %lld\n};\n", up, (long long)at);
}

/* The outputs of a graph that runs over samples: "float *output". */
void print_outputs(Text *t, const Program *p, int n, const Output *outputs)
{
    const char **names = output_names(p, n, outputs);

    for (int i = 0; i < n; i++)
        text_print(t, "%sfloat *%s", i ? ", " : "", names[i]);
    if (n == 0)
        text_print(t, "float *none");
}

static void print_training(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    text_print(t,
               "\n/* One step of training on 1..%s_BATCH samples. A loss that is not finite gives %s_ENOTFINITE and leaves\n"
               " * weights and states as they were. The loss and the metrics of the samples are added up until reset. */\n"
               "int %s_step(void *ctx, const %s_batch *batch, int n);\ndouble *%s_scalars(void *ctx);\n",
               up, up, prefix, prefix, prefix);
    for (int i = 1; i < p->phases.n; i++)
        text_print(t, "/* A step of phase '%s', after those of '%s'. Before the first set STEPS to 0 and BASE_LR to its rate. */\n"
                      "int %s_%s(void *ctx, const %s_batch *batch, int n);\n",
                   p->phases.at[i].name, p->phases.at[i - 1].name, prefix, step_name(p, i), prefix);
    if (p->eval)
        text_print(t, "/* The same without learning. */\nint %s_eval(void *ctx, const %s_batch *batch, int n);\n", prefix, prefix);
    text_print(t, "\n/* Forget the sums of loss and metrics; make figures of them; the mean loss, and all figures, of the last report. */\n"
                  "int %s_reset(void *ctx);\n",
               prefix);
    if (p->report)
        text_print(t, "int %s_report(void *ctx);\ndouble %s_loss(const void *ctx);\nconst double *%s_metrics(const void *ctx);\n",
                   prefix, prefix, prefix);
}

static void print_inference(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    if (p->predict) {
        text_print(t, "\n/* Any number of samples; scratch has %s_PREDICT_BYTES bytes. ", up);
        if (plan->derived_bytes)
            text_print(t, "A few take longer after init or step than\n * after load, which makes what follows from the weights alone. ");
        text_print(t, "Outputs, n x shape:\n");
        for (int i = 0; i < p->outputs.n; i++) {
            text_print(t, " *     ");
            c_comment(t, p->outputs.at[i].name);
            text_print(t, ": ");
            print_sizes(t, p->outputs.at[i].rank, p->outputs.at[i].size);
            text_print(t, p->outputs.at[i].probabilities ? ", probabilities\n" : "\n");
        }
        text_print(t, " */\nint %s_predict(const void *ctx, void *scratch, ", prefix);
        print_inputs(t, p);
        text_print(t, "long n, ");
        print_outputs(t, p, p->outputs.n, p->outputs.at);
        text_print(t, ");\n");
    }
    if (p->prepare) {
        int n;
        const Output *prepared = prepared_outputs(p, &n);
        text_print(t, "\n/* What has to be measured over the training samples before training, such as means. */\n"
                      "int %s_prepare(const void *ctx, void *scratch, ",
                   prefix);
        print_inputs(t, p);
        text_print(t, "long n, ");
        print_outputs(t, p, n, prepared);
        text_print(t, ");\n");
    }
    text_print(t,
               "\n/* The weights as a safetensors file in memory. save writes %s_FILE_BYTES bytes; load takes any safetensors\n"
               " * file that has tensors of these names and shapes, and else gives %s_EFORMAT and changes nothing. */\n"
               "int %s_save(const void *ctx, void *file, size_t size);\nint %s_load(void *ctx, const void *file, size_t size);\n",
               up, up, prefix, prefix);
}

void emit_model_h(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    print_banner(t, p);
    text_print(t, "#ifndef %s_H\n#define %s_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
                  "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
               up, up);
    print_constants(t, p, plan);
    if (p->step) {
        print_batch(t, p);
        print_scalars(t, p);
    }
    if (p->report)
        print_metrics(t, p);
    if (p->init)
        text_print(t, "\n/* Draws the weights; the same seed gives the same bits. */\nint %s_init(void *ctx, uint64_t seed);\n", prefix);
    if (p->step)
        print_training(t, p);
    print_inference(t, p, plan);
    text_print(t, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}
