/* trainer.c -- main.c: tells the runtime what the model is made of, and hands over.
 *
 * Everything is a constant table of nn.h; the few functions only turn the runtime's list of fields into the
 * arguments of model.h. */
#include "emit/emit.h"
#include "emit/parts.h"

static void print_shape(Text *t, int rank, const int64_t *size)
{
    text_print(t, "%d, {", rank);
    for (int i = 0; i < rank; i++)
        text_print(t, "%s%lld", i ? ", " : "", (long long)size[i]);
    text_print(t, rank ? "}" : "0}");
}

static const char *truth(bool b) { return b ? "true" : "false"; }

/* --- values of settings ---
 * C has no nested tables without names: parts come first, as value_3, and are pointed at. */
static const char *const kinds[] = {
    [VALUE_NUMBER] = "NN_NUMBER", [VALUE_TEXT] = "NN_TEXT",         [VALUE_WORD] = "NN_WORD",
    [VALUE_BOOL] = "NN_BOOL",     [VALUE_PERCENT] = "NN_PERCENT",   [VALUE_DURATION] = "NN_DURATION",
    [VALUE_LIST] = "NN_LIST",     [VALUE_CALL] = "NN_CALL",
};

static void print_value(Text *t, const Value *v, int parts)
{
    text_print(t, "{%s, ", kinds[v->kind]);
    c_double(t, v->number);
    text_print(t, ", ");
    if (v->text)
        c_string(t, v->text);
    else
        text_print(t, "0");
    if (v->n == 0)
        text_print(t, ", 0, 0, 0}");
    else if (v->names)
        text_print(t, ", %d, value_%d, names_%d}", v->n, parts, parts);
    else
        text_print(t, ", %d, value_%d, 0}", v->n, parts);
}

/* Prints the tables that v points at; returns the number of its own. */
static int print_parts(Text *t, const Value *v, int *next)
{
    if (v->n == 0)
        return -1;
    int *inner = NEW_ARRAY(t->arena, int, v->n);
    for (int i = 0; i < v->n; i++)
        inner[i] = print_parts(t, &v->parts[i], next);
    int mine = (*next)++;
    text_print(t, "static const nn_value value_%d[] = {\n", mine);
    for (int i = 0; i < v->n; i++) {
        text_print(t, "    ");
        print_value(t, &v->parts[i], inner[i]);
        text_print(t, ",\n");
    }
    text_print(t, "};\n");
    if (v->names) {
        text_print(t, "static const char *const names_%d[] = {", mine);
        for (int i = 0; i < v->n; i++) {
            if (i)
                text_print(t, ", ");
            if (v->names[i])
                c_string(t, v->names[i]);
            else
                text_print(t, "0");
        }
        text_print(t, "};\n");
    }
    return mine;
}

static void print_settings(Text *t, const char *name, const Setting *s, int n, int *next)
{
    int *parts = NEW_ARRAY(t->arena, int, n + 1);

    for (int i = 0; i < n; i++)
        parts[i] = print_parts(t, &s[i].value, next);
    if (n == 0)
        return;
    text_print(t, "static const nn_setting %s[] = {\n", name);
    for (int i = 0; i < n; i++) {
        text_print(t, "    {");
        c_string(t, s[i].name);
        text_print(t, ", ");
        print_value(t, &s[i].value, parts[i]);
        text_print(t, ", ");
        c_string(t, s[i].text ? s[i].text : "");
        text_print(t, ", %d, %d},\n", span_line(s[i].where), span_column(s[i].where));
    }
    text_print(t, "};\n\n");
}

/* --- tables of the model --- */

typedef struct Model {
    const Program *program;
    const Plan *plan;
    const int64_t *operations; /* of the layers */
} Model;

/* What stands between the braces of row i. */
typedef void PrintRow(Text *t, const Model *m, int i);

static void print_table(Text *t, const Model *m, const char *type, const char *name, const char *columns, int n, PrintRow *print)
{
    if (n == 0)
        return;
    text_print(t, "/* %s */\nstatic const %s %s[] = {\n", columns, type, name);
    for (int i = 0; i < n; i++) {
        text_print(t, "    {");
        print(t, m, i);
        text_print(t, "},\n");
    }
    text_print(t, "};\n\n");
}

/* And the comma behind it. */
static void print_text(Text *t, const char *s)
{
    if (s)
        c_string(t, s);
    text_print(t, s ? ", " : "NULL, ");
}

static const Layer *made_by(const Program *p, const Kept *k)
{
    if (k->layer || k->kind != KEPT_OPTIMIZER)
        return k->layer;
    const char *phase = strchr(k->name, '/'), *name = phase ? phase + 1 : k->name + strlen("optimizer.");
    for (int i = 0; i < p->kept.n; i++) { /* optimizer.dense1.weight.m belongs to dense1.weight */
        const Kept *param = &p->kept.at[i];
        size_t n = strlen(param->name);
        if (param->kind == KEPT_PARAM && !strncmp(name, param->name, n) && name[n] == '.')
            return param->layer;
    }
    return NULL;
}

/* Tensors that a trainer knows. */
static int count_tensors(const Program *p)
{
    int n = p->kept.n;

    while (n > 0 && p->kept.at[n - 1].kind == KEPT_DERIVED)
        n--;
    return n;
}

static void print_tensor(Text *t, const Model *m, int i)
{
    static const char *const kept[] = {
        [KEPT_PARAM] = "NN_PARAM", [KEPT_BUFFER] = "NN_BUFFER", [KEPT_OPTIMIZER] = "NN_OPTIMIZER", [KEPT_METRIC] = "NN_METRIC"};
    const Kept *k = &m->program->kept.at[i];

    print_text(t, k->name);
    text_print(t, "%s, ", kept[k->kind]);
    print_shape(t, k->rank, k->size);
    text_print(t, ", %lld, %lld, %s, %d", (long long)m->plan->kept[i].row, (long long)m->plan->kept[i].offset, truth(k->frozen),
               user_line(k->where, made_by(m->program, k)));
}

static void print_field(Text *t, const Model *m, int i)
{
    const Field *f = &m->program->fields.at[i];

    print_text(t, f->name);
    print_shape(t, f->rank, f->size);
    text_print(t, ", %d, %s, %d", f->classes, truth(f->label), span_line(f->where));
}

static void print_demand(Text *t, const Model *m, int i)
{
    const Demand *d = &m->program->demands.at[i];

    print_text(t, d->loss);
    print_text(t, d->text);
    print_text(t, d->field);
    text_print(t, "%s, %d, %d", truth(d->transformed), span_line(d->where), span_column(d->where));
}

static void print_columns(Text *t, const Output *o)
{
    if (!o->columns) {
        text_print(t, "NULL");
        return;
    }
    text_print(t, "(const char *const[]){");
    for (int i = 0; i < o->size[o->rank - 1]; i++) {
        text_print(t, i ? ", " : "");
        c_string(t, o->columns[i]);
    }
    text_print(t, "}");
}

static void print_output_table(Text *t, const char *name, int n, const Output *o, int64_t offset)
{
    if (n == 0)
        return;
    text_print(t, "/* name, rank, shape, offset in the context, higher is better, probabilities, headings */\n"
                  "static const nn_output %s[] = {\n",
               name);
    for (int i = 0; i < n; i++) {
        text_print(t, "    {");
        c_string(t, o[i].name);
        text_print(t, ", ");
        print_shape(t, o[i].rank, o[i].size);
        text_print(t, ", %lld, %s, %s, ", (long long)offset, truth(o[i].higher_is_better), truth(o[i].probabilities));
        print_columns(t, &o[i]);
        text_print(t, "},\n");
        if (offset > 0)
            offset += 8 * output_count(&o[i]);
    }
    text_print(t, "};\n\n");
}

static void print_measured(Text *t, const Program *p)
{
    int n;
    const Output *prepared = prepared_outputs(p, &n);

    if (count_measured(p) == 0)
        return;
    text_print(t, "/* tensor, output of prepare, standard deviation */\nstatic const nn_measured measured[] = {\n");
    for (int i = 0; i < p->kept.n; i++) {
        const Kept *k = &p->kept.at[i];
        if (k->measure == MEASURE_NONE)
            continue;
        int at = 0;
        while (at < n && strcmp(prepared[at].tensor, k->measured) != 0)
            at++;
        if (at == n)
            bug("'%s' measures '%s', which is no output of prepare", k->name, k->measured);
        text_print(t, "    {%d, %d, %s},\n", i, at, truth(k->measure == MEASURE_STD));
    }
    text_print(t, "};\n\n");
}

static void print_layer(Text *t, const Model *m, int i)
{
    const Layer *l = m->program->layers.at[i];
    int depth = 0, batched = l->out && l->out->batched ? 1 : 0;

    for (const Layer *up = l->parent; up; up = up->parent)
        depth++;
    print_text(t, l->name ? l->name : "");
    print_text(t, l->call ? l->call : "");
    print_shape(t, l->out ? l->out->rank - batched : 0, l->out ? l->out->size + batched : NULL);
    text_print(t, ", %lld, %lld, %d, %d", (long long)layer_weights(m->program, l), (long long)m->operations[i], depth,
               user_line(l->where, l->parent));
}

static void print_phase(Text *t, const Model *m, int i)
{
    print_text(t, m->program->phases.at[i].name);
    text_print(t, "run_%s, %d, %s", step_name(m->program, i), m->program->phases.at[i].train.n,
               i ? arena_print(t->arena, "train_%d", i + 1) : "train");
}

/* --- functions --- */
static void print_batch_call(Text *t, const Program *p, const char *verb)
{
    const char *prefix = emit_prefix(t->arena, p);

    text_print(t, "static int run_%s(void *ctx, const void *const *given, int n)\n{\n    %s_batch batch = {", verb, prefix);
    for (int i = 0; i < p->fields.n; i++)
        text_print(t, "%sgiven[%d]", i ? ", " : "", i);
    text_print(t, "};\n\n    return %s_%s(ctx, &batch, n);\n}\n\n", prefix, verb);
}

static void print_sample_call(Text *t, const Program *p, const char *verb, int outputs)
{
    text_print(t, "static int run_%s(const void *ctx, void *scratch, const void *const *given, int n, float *const *results)\n{\n"
                  "    return %s_%s(ctx, scratch, ",
               verb, emit_prefix(t->arena, p), verb);
    for (int i = 0; i < p->fields.n; i++)
        if (!p->fields.at[i].label)
            text_print(t, "given[%d], ", i);
    text_print(t, "n, ");
    for (int i = 0; i < outputs; i++)
        text_print(t, "%sresults[%d]", i ? ", " : "", i);
    text_print(t, outputs ? ");\n}\n\n" : "results[0]);\n}\n\n");
}

static void print_counted(Text *t, const char *name, int n)
{
    text_print(t, "    .n%s = %d,\n", name, n);
    if (n > 0)
        text_print(t, "    .%s = %s,\n", name, name);
}

static void print_program(Text *t, const Program *p, const Trainer *how)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);
    const struct { const char *name, *text; } texts[] = {
        {"name", p->name}, {"source", p->source}, {"directory", how->directory}, {"version", how->version}, {"target", how->target}};
    int nprepared;

    prepared_outputs(p, &nprepared);
    text_print(t, "static const nn_program program = {\n");
    if (p->data_name) {
        text_print(t, "    .data_name = ");
        c_string(t, p->data_name);
        text_print(t, ",\n");
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        text_print(t, "    .%s = ", texts[i].name);
        c_string(t, texts[i].text);
        text_print(t, ",\n");
    }
    text_print(t, "    .bytes = %s_BYTES,\n    .align = %s_ALIGN,\n    .predict_bytes = %s_PREDICT_BYTES,\n", up, up, up);
    text_print(t, p->prepare ? "    .prepare_bytes = %s_PREPARE_BYTES,\n    .batch = %s_BATCH,\n" : "    .prepare_bytes = 0,\n    .batch = %s_BATCH,\n",
               up, up);
    print_counted(t, "tensors", count_tensors(p));
    print_counted(t, "fields", p->fields.n);
    print_counted(t, "demands", p->demands.n);
    print_counted(t, "outputs", p->outputs.n);
    print_counted(t, "metrics", p->metrics.n);
    print_counted(t, "prepared", nprepared);
    print_counted(t, "measured", count_measured(p));
    print_counted(t, "layers", p->layers.n);
    print_counted(t, "options", p->options.n);
    print_counted(t, "data", p->data.n);
    print_counted(t, "train", p->train.n);
    print_counted(t, "phases", p->phases.n);
    text_print(t, "    .scalars = %s_scalars,\n    .init = %s_init,\n    .step = run_step,\n", prefix, prefix);
    text_print(t, p->eval ? "    .eval = run_eval,\n" : "");
    text_print(t, "    .reset = %s_reset,\n", prefix);
    if (p->report)
        text_print(t, "    .report = %s_report,\n", prefix);
    text_print(t, p->predict ? "    .predict = run_predict,\n" : "");
    text_print(t, p->prepare ? "    .prepare = run_prepare,\n" : "");
    text_print(t, "    .kernels = %s_profile,\n    .multiply_add = %s_multiply_add,\n    .operations = %.0f,\n", prefix, prefix, 2.0 * LANES * PROFILE_SUMS);
    text_print(t, "    .plan = plan,\n};\n\n");
}

/* The one sentence of a program that came to the wrong machine, before any instruction of that kind is met. */
static void print_main(Text *t, const Trainer *how)
{
    const char *feature = how->features;

    if (*feature)
        text_print(t,
                   "#if defined __x86_64__\nstatic int lacks(const char *feature)\n{\n"
                   "    fprintf(stderr, \"trainer: this program was built for %%s processors; this machine lacks %%s. \"\n"
                   "                    \"Rebuild with nnc --target-cpu=native\\n\", program.target, feature);\n"
                   "    return 1;\n}\n#endif\n\n");
    text_print(t, "int main(int argc, char **argv)\n{\n");
    if (*feature)
        text_print(t, "#if defined __x86_64__\n    __builtin_cpu_init();\n");
    while (*feature) {
        int n = (int)strcspn(feature, " ");
        text_print(t, "    if (!__builtin_cpu_supports(\"%.*s\"))\n        return lacks(\"%.*s\");\n", n, feature, n, feature);
        feature += n;
        feature += strspn(feature, " ");
    }
    if (*how->features)
        text_print(t, "#endif\n");
    text_print(t, "    return nn_main(&program, argc, argv);\n}\n");
}

void emit_main_c(Text *t, const Program *p, const Plan *plan, const Trainer *how)
{
    int next = 1, nprepared;
    const Output *prepared = prepared_outputs(p, &nprepared);
    const Model m = {p, plan, layer_operations(p)};

    text_print(t, "/* The trainer of ");
    c_comment(t, p->name);
    text_print(t, ", made by nnc from ");
    c_comment(t, p->source);
    text_print(t, ": describes the model to the runtime. */\n#include \"nn.h\"\n#include ");
    c_string(t, how->header);
    text_print(t, "\n\n#include <math.h>\n#include <stdio.h>\n\n"
                  "#pragma GCC diagnostic ignored \"-Woverlength-strings\" /* the plan of a large model is a long text */\n\n");
    text_print(t, "extern const nn_kernel %s_profile[];\nfloat %s_multiply_add(long n);\n\n", emit_prefix(t->arena, p), emit_prefix(t->arena, p));
    print_table(t, &m, "nn_tensor", "tensors", "name, kind, rank, shape, floats from row to row, offset in the context, frozen, line",
                count_tensors(p), print_tensor);
    print_table(t, &m, "nn_field", "fields", "name, rank, shape, classes, label, line", p->fields.n, print_field);
    print_table(t, &m, "nn_demand", "demands", "loss, what it wants, of which field, transformed, line, column", p->demands.n,
                print_demand);
    print_output_table(t, "outputs", p->outputs.n, p->outputs.at, 0);
    print_output_table(t, "metrics", p->metrics.n, p->metrics.at, plan->metrics);
    print_output_table(t, "prepared", nprepared, prepared, 0);
    print_measured(t, p);
    print_table(t, &m, "nn_layer", "layers", "name, call, rank, shape, weights, operations of one sample, depth, line", p->layers.n,
                print_layer);
    print_settings(t, "options", p->options.at, p->options.n, &next);
    print_settings(t, "data", p->data.at, p->data.n, &next);
    print_settings(t, "train", p->train.at, p->train.n, &next);
    for (int i = 1; i < p->phases.n; i++)
        print_settings(t, arena_print(t->arena, "train_%d", i + 1), p->phases.at[i].train.at, p->phases.at[i].train.n, &next);

    Text table = {.arena = t->arena};
    plan_print(&table, p, plan);
    text_print(t, "static const char plan[] =");
    for (const char *s = table.s ? table.s : ""; *s;) {
        size_t n = strcspn(s, "\n") + 1;
        text_print(t, "\n    ");
        c_string(t, arena_copy(t->arena, s, s[n - 1] ? n : n - 1));
        s += s[n - 1] ? n : n - 1;
    }
    text_print(t, ";\n\n");

    print_batch_call(t, p, "step");
    for (int i = 1; i < p->phases.n; i++)
        print_batch_call(t, p, step_name(p, i));
    print_table(t, &m, "nn_phase", "phases", "name, step, settings", p->phases.n, print_phase);
    if (p->eval)
        print_batch_call(t, p, "eval");
    if (p->predict)
        print_sample_call(t, p, "predict", p->outputs.n);
    if (p->prepare)
        print_sample_call(t, p, "prepare", nprepared);
    print_program(t, p, how);
    print_main(t, how);
}
