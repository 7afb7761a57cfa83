/* entry.c -- the public functions of model.c: they check what they are given, then carry out a graph. */
#include "emit/parts.h"

static const char *up(Text *t, const Program *p) { return upper(t->arena, emit_prefix(t->arena, p)); }

/* "scalars[LENET5_SCALAR_STEPS]" */
static const char *scalar(Text *t, const Program *p, const char *name)
{
    if (scalar_position(name) < 0)
        bug("'%s' is no scalar", name);
    return arena_print(t->arena, "scalars[%s_SCALAR_%s]", up(t, p), upper(t->arena, name));
}

/* Pointers that are needed, and class indices in range: "return EARGUMENT" unless all hold. `base` is "batch->" or "". */
static void print_field_checks(Text *t, const Program *p, const char *base, bool labels)
{
    const char **names = field_names(p), *so_far = "    if (";

    for (int i = 0; i < p->fields.n; i++)
        if (labels || !p->fields.at[i].label) {
            text_print(t, "%s!%s%s", so_far, base, names[i]);
            so_far = " || ";
        }
    if (so_far[1] == '|')
        text_print(t, ")\n        return %s_EARGUMENT;\n", up(t, p));
    for (int i = 0; i < p->fields.n; i++) {
        const Field *f = &p->fields.at[i];
        if (f->classes == 0 || (f->label && !labels))
            continue;
        text_print(t, "    for (long i = 0; i < ");
        text_print(t, field_count(f) == 1 ? "n" : "(long)n * %lld", (long long)field_count(f));
        text_print(t, "; i++)\n        if (%s%s[i] < 0 || %s%s[i] >= %d)\n            return %s_EARGUMENT;\n", base, names[i], base,
                   names[i], f->classes, up(t, p));
    }
}

/* What a training needs to know and the caller may change. */
static void print_clock(Text *t, const Program *p)
{
    static const struct { const char *name, *value; } values[] = {
        {"last", "1"}, {"epoch", "1"}, {"steps_per_epoch", "1"}, {"total_steps", "1e9"}, {"valid_loss", "(double)INFINITY"},
        {"seed", "(double)seed"}};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        text_print(t, "    %s = %s;\n", scalar(t, p, values[i].name), values[i].value);
    text_print(t, "    %s = ", scalar(t, p, "base_lr"));
    c_double(t, base_rate(p));
    text_print(t, ";\n");
}

static void print_init(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p);

    text_print(t, "int %s_init(void *ctx, uint64_t seed)\n{\n    double *scalars = ctx;\n\n", prefix);
    text_print(t, "    if (%s_cpu_lacks())\n        return %s_ECPU;\n    if (!%s_aligned(ctx))\n        return %s_EARGUMENT;\n", prefix,
               up(t, p), prefix, up(t, p));
    text_print(t, "    memset(ctx, 0, %s_BYTES);\n", up(t, p));
    if (p->step)
        print_clock(t, p);
    else
        text_print(t, "    scalars[%d] = (double)seed;\n", scalar_position("seed"));
    text_print(t, "    %s_run_init(ctx);\n    return %s_OK;\n}\n\n", prefix, up(t, p));
}

/* A pointer to element i (row-major) of a result of a graph that works in the context. */
static void print_result(Text *t, const Plan *plan, GraphKind kind, const Program *p, const Storage *s, int64_t i)
{
    const Layout *l = &s->layout;
    int64_t at = l->origin, left = i, base;

    for (int a = l->rank; a-- > 0;) {
        at += left % l->size[a] * l->stride[a];
        left /= l->size[a];
    }
    if (s->kind == STORAGE_WORK)
        base = plan->work_offset + plan->work[kind].buffers[plan->work[kind].buffer[s->id]].offset;
    else if (s->kind == STORAGE_KEPT)
        base = kept_offset(plan, p, s->name);
    else if (s->kind == STORAGE_SCALAR)
        base = 8 * scalar_position(s->name);
    else
        bug("'%s' is no result of a graph", s->name);
    text_print(t, "((const %s *)(const void *)(context + %lld))", element_type(s),
               (long long)(base + (l->order == ORDER_DOUBLE ? 0 : 4 * at)));
}

/* A result of the graph goes to a scalar of the context. */
static void print_keep_rate(Text *t, const Program *p, const Plan *plan, GraphKind kind)
{
    const Storage *lr = loops_storage(plan->work[kind].loops, "lr");

    if (!lr)
        return;
    text_print(t, "    %s = *", scalar(t, p, "lr"));
    print_result(t, plan, kind, p, lr, 0);
    text_print(t, ";\n");
}

static void print_step(Text *t, const Program *p, const Plan *plan, GraphKind kind)
{
    const char *prefix = emit_prefix(t->arena, p);
    const Storage *loss = loops_storage(plan->work[kind].loops, "loss");
    const char *name = step_name(p, kind - GRAPH_STEP);
    const char *derived = plan->derived_bytes ? arena_print(t->arena, "    scalars[%d] = 0; /* what is derived belongs to other weights */\n", SCALAR_DERIVED) : "";
    const char *steps = scalar(t, p, "steps"), *total = scalar(t, p, "total"), *last = scalar(t, p, "last");

    text_print(t, "int %s_%s(void *ctx, const %s_batch *batch, int n)\n{\n    unsigned char *context = ctx;\n    double *scalars = ctx;\n\n"
                  "    if (!%s_aligned(ctx) || !batch || n < 1 || n > %s_BATCH)\n        return %s_EARGUMENT;\n",
               prefix, name, prefix, prefix, up(t, p), up(t, p));
    print_field_checks(t, p, "batch->", true);
    text_print(t,
               "%s    %s = n;\n    if (!(%s > 0)) { /* nobody splits this step over several calls */\n"
               "        %s = n;\n        %s = 1;\n    }\n    %s++;\n    %s_run_%s(context, batch, n);\n",
               derived, scalar(t, p, "count"), total, total, last, steps, prefix, name);
    print_keep_rate(t, p, plan, kind);
    text_print(t, "    bool learnt = ");
    if (loss) {
        text_print(t, "isfinite(*");
        print_result(t, plan, kind, p, loss, 0);
        text_print(t, ");\n");
    } else
        text_print(t, "true;\n");
    text_print(t,
               "    if (!learnt || !(%s > 0)) /* no step was made yet */\n        %s--;\n"
               "    if (!learnt || %s > 0) { /* the next step begins afresh */\n        %s = 0;\n        %s = 1;\n    }\n"
               "    return learnt ? %s_OK : %s_ENOTFINITE;\n}\n\n",
               last, steps, last, total, last, up(t, p), up(t, p));
}

static void print_eval(Text *t, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p);

    text_print(t, "int %s_eval(void *ctx, const %s_batch *batch, int n)\n{\n    double *scalars = ctx;\n\n"
                  "    if (!%s_aligned(ctx) || !batch || n < 1 || n > %s_BATCH)\n        return %s_EARGUMENT;\n",
               prefix, prefix, prefix, up(t, p), up(t, p));
    print_field_checks(t, p, "batch->", true);
    text_print(t,
               "    %s = n;\n    %s = n;\n    %s_run_eval(ctx, batch, n);\n    %s = 0; /* the next step is its own */\n"
               "    return %s_OK;\n}\n\n",
               scalar(t, p, "count"), scalar(t, p, "total"), prefix, scalar(t, p, "total"), up(t, p));
}

/* A figure that is a matrix: its rows one after the other, from metrics[k] on. */
static void print_metric_rows(Text *t, const Program *p, const Plan *plan, const Output *m, const Storage *s, int64_t k)
{
    int64_t columns = m->size[m->rank - 1];

    for (int64_t row = 0; row < output_count(m); row += columns) {
        text_print(t, "    for (int i = 0; i < %lld; i++)\n        metrics[%lld + i] = (double)", (long long)columns, (long long)(k + row));
        print_result(t, plan, GRAPH_REPORT, p, s, row);
        text_print(t, "[i];\n");
    }
}

static void print_metrics(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p);
    int64_t at = plan->metrics, k = 0;

    text_print(t, "int %s_report(void *ctx)\n{\n    unsigned char *context = ctx;\n    double *metrics;\n\n"
                  "    if (!%s_aligned(ctx))\n        return %s_EARGUMENT;\n    %s_run_report(context);\n"
                  "    metrics = (void *)(context + %lld);\n",
               prefix, prefix, up(t, p), prefix, (long long)at);
    for (int i = 0; i < p->metrics.n; i++) {
        const Output *m = &p->metrics.at[i];
        const Storage *s = loops_storage(plan->work[GRAPH_REPORT].loops, m->tensor);
        if (!s)
            bug("metric '%s' is not in the report", m->name);
        if (output_count(m) == 1) {
            text_print(t, "    metrics[%lld] = *", (long long)k);
            print_result(t, plan, GRAPH_REPORT, p, s, 0);
            text_print(t, ";\n");
        } else
            print_metric_rows(t, p, plan, m, s, k);
        k += output_count(m);
    }
    text_print(t, "    return %s_OK;\n}\n\n", up(t, p));
    text_print(t, "const double *%s_metrics(const void *ctx)\n{\n    return (const void *)((const unsigned char *)ctx + %lld);\n}\n\n", prefix,
               (long long)at);
    text_print(t, "double %s_loss(const void *ctx)\n{\n    return %s_metrics(ctx)[0];\n}\n\n", prefix, prefix);
}

static void print_reset(Text *t, const Program *p, const Plan *plan)
{
    int64_t first = plan->metrics;

    for (int i = 0; i < p->kept.n; i++)
        if (p->kept.at[i].kind == KEPT_METRIC && plan->kept[i].offset < first)
            first = plan->kept[i].offset;
    text_print(t, "int %s_reset(void *ctx)\n{\n    if (!%s_aligned(ctx))\n        return %s_EARGUMENT;\n",
               emit_prefix(t->arena, p), emit_prefix(t->arena, p), up(t, p));
    if (first < plan->metrics)
        text_print(t, "    memset((unsigned char *)ctx + %lld, 0, %lld); /* the sums */\n", (long long)first,
                   (long long)(plan->metrics - first));
    text_print(t, "    return %s_OK;\n}\n\n", up(t, p));
}

/* The arguments at sample i; `count` of samples, or NULL for one. */
static void print_sample(Text *t, const Program *p, int n, const Output *outputs, const char *count)
{
    const char **inputs = field_names(p), **names = output_names(p, n, outputs);

    for (int i = 0; i < p->fields.n; i++)
        if (!p->fields.at[i].label)
            text_print(t, field_count(&p->fields.at[i]) == 1 ? ", %s + i" : ", %s + i * %lld", inputs[i], (long long)field_count(&p->fields.at[i]));
    if (count)
        text_print(t, ", %s", count);
    for (int i = 0; i < n; i++)
        text_print(t, output_count(&outputs[i]) == 1 ? ", %s + i" : ", %s + i * %lld", names[i], (long long)output_count(&outputs[i]));
}

static void print_derived(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p);

    text_print(t, "/* What follows from the weights alone: load has made it, or if they have changed since it is made here. */\n"
                  "static const unsigned char *%s_derived(const unsigned char *context, unsigned char *scratch)\n{\n"
                  "    if (((const double *)(const void *)context)[%d] > 0)\n        return context + %lld;\n"
                  "    %s_run_derive(context, scratch);\n    return scratch;\n}\n\n",
               prefix, SCALAR_DERIVED, (long long)plan->derived_offset, prefix);
}

/* predict and prepare: any number of samples, a batch at a time. */
static void print_samples(Text *t, const Program *p, const Plan *plan, GraphKind kind)
{
    const char *prefix = emit_prefix(t->arena, p), *verb = kind == GRAPH_PREDICT ? "predict" : "prepare";
    int n = p->outputs.n, few = plan->few;
    const Output *outputs = kind == GRAPH_PREPARE ? prepared_outputs(p, &n) : p->outputs.at;
    const char **names = output_names(p, n, outputs);
    long long batch = program_graph(p, kind)->batch;

    text_print(t, "int %s_%s(const void *ctx, void *scratch, ", prefix, verb);
    print_inputs(t, p);
    text_print(t, "long n, ");
    print_outputs(t, p, n, outputs);
    text_print(t, ")\n{\n    if (!%s_aligned(ctx) || %sn < 0)\n        return %s_EARGUMENT;\n", prefix,
               plan->work[kind].bytes > 0 ? arena_print(t->arena, "!%s_aligned(scratch) || ", prefix) : "", up(t, p));
    text_print(t, "    if (n == 0)\n        return %s_OK;\n", up(t, p));
    for (int i = 0; i < n; i++)
        text_print(t, "    if (!%s)\n        return %s_EARGUMENT;\n", names[i], up(t, p));
    print_field_checks(t, p, "", false);
    if (kind == GRAPH_PREDICT && few > 1) {
        text_print(t, "    if (n < %d) { /* sooner done one by one than sixteen at once */\n", few);
        if (plan->derived_bytes)
            text_print(t, "        const unsigned char *const derived = %s_derived(ctx, scratch);\n", prefix);
        text_print(t, "        for (long i = 0; i < n; i++)\n            %s_run_predict_one(ctx, ", prefix);
        text_print(t, plan->derived_bytes ? "derived, (unsigned char *)scratch + %lld" : "scratch", (long long)plan->derived_bytes);
        print_sample(t, p, n, outputs, NULL);
        text_print(t, ");\n        return %s_OK;\n    }\n", up(t, p));
    }
    text_print(t, "    for (long i = 0; i < n; i += %lld)\n        %s_run_%s(ctx, scratch", batch, prefix, verb);
    print_sample(t, p, n, outputs, arena_print(t->arena, "n - i < %lld ? n - i : %lld", batch, batch));
    text_print(t, ");\n    return %s_OK;\n}\n\n", up(t, p));
}

void print_entries(Text *t, const Program *p, const Plan *plan)
{
    const char *prefix = emit_prefix(t->arena, p);

    if (p->init)
        print_init(t, p);
    if (p->step) {
        text_print(t, "double *%s_scalars(void *ctx)\n{\n    return ctx;\n}\n\n", prefix);
        for (GraphKind k = GRAPH_STEP; k <= GRAPH_LAST_STEP; k++)
            if (program_graph(p, k))
                print_step(t, p, plan, k);
        if (p->eval)
            print_eval(t, p);
        print_reset(t, p, plan);
        if (p->report)
            print_metrics(t, p, plan);
    }
    if (plan->derived_bytes)
        print_derived(t, p, plan);
    if (p->predict)
        print_samples(t, p, plan, GRAPH_PREDICT);
    if (p->prepare)
        print_samples(t, p, plan, GRAPH_PREPARE);
    print_file_functions(t, p, plan);
}
