/* run.c -- the function that carries out one graph: names for its memory, then its kernels, phase by phase.
 *
 * With enough work it is carried out by every thread of one parallel region at once: each takes its share of the
 * tasks, and a barrier ends a phase. Any split gives the same bits. In step the phases that write what is kept run
 * only if the loss is finite, so that a diverging step leaves no trace. */
#include "emit/parts.h"

typedef struct Runner {
    const Program *program;
    const Plan *plan;
    const Loops *loops;
    const Work *work;
    GraphKind kind;
    const char *prefix;
    const char **names; /* by storage id: the variable that points at it */
    bool *used;         /* by storage id: some kernel takes it */
    const Storage *loss; /* step: looked at before the first phase that writes what is kept */
    bool parallel;
} Runner;

static bool of_samples(GraphKind kind) { return kind == GRAPH_PREDICT || kind == GRAPH_PREPARE || kind == GRAPH_SINGLE; }

bool run_in_parallel(const Plan *plan)
{
    for (GraphKind i = 0; i < GRAPHS; i++)
        if (plan->work[i].loops && plan->work[i].loops->threads > 1)
            return true;
    return false;
}

static const char *kind_name(const Program *p, GraphKind kind)
{
    static const char *const names[GRAPHS] = {[GRAPH_INIT] = "init",     [GRAPH_STEP] = "step",       [GRAPH_EVAL] = "eval",
                                              [GRAPH_REPORT] = "report", [GRAPH_PREDICT] = "predict", [GRAPH_PREPARE] = "prepare",
                                              [GRAPH_DERIVE] = "derive", [GRAPH_SINGLE] = "predict_one"};

    return names[kind] ? names[kind] : step_name(p, kind - GRAPH_STEP);
}

/* --- names --- */

/* Variables that the function has besides its storages. */
static const char *const taken[] = {"context", "derived", "work", "batch", "scalars", "blocks", "block", "room", "strip", "share", "thread", "threads", "begin", "end"};

static void take(Arena *a, Names *names, const char *name)
{
    if (names_find(names, name) < 0)
        names_add(a, names, name, 0);
}

/* The arguments of the function have their names already. */
static void take_arguments(Arena *a, const Runner *r, Names *names)
{
    const Program *p = r->program;
    int n = p->outputs.n;
    const Output *o = r->kind == GRAPH_PREPARE ? prepared_outputs(p, &n) : p->outputs.at;

    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        take(a, names, taken[i]);
    for (int i = 0; of_samples(r->kind) && i < p->fields.n; i++)
        take(a, names, field_names(p)[i]);
    for (int i = 0; of_samples(r->kind) && i < n; i++)
        take(a, names, output_names(p, n, o)[i]);
}

static const char **storage_names(Arena *a, const Runner *r)
{
    const Loops *l = r->loops;
    const char **names = NEW_ARRAY(a, const char *, l->storages.n + 1);
    Names met = {0};

    take_arguments(a, r, &met);
    for (int i = 0; i < l->storages.n; i++) {
        const Storage *s = l->storages.at[i];
        const char *plain = identifier(a, s->name), *name = plain;
        for (int copy = 2; names_find(&met, name) >= 0; copy++)
            name = arena_print(a, "%s_%d", plain, copy);
        take(a, &met, name);
        names[s->id] = name;
    }
    return names;
}

/* --- pointers --- */

static bool is_constant(const Runner *r, const Storage *s)
{
    return s->kind == STORAGE_FIELD || s->kind == STORAGE_SCALAR ||
           (s->kind == STORAGE_KEPT && (of_samples(r->kind) || (r->kind == GRAPH_DERIVE && !is_derived(r->program, s))));
}

static void print_sizes(Text *t, const Storage *s)
{
    const Tensor *x = s->tensor;

    if (!x)
        return;
    for (int i = x->batched; i < x->rank; i++)
        text_print(t, "%s%lld", i > x->batched ? "x" : "", (long long)x->size[i]);
    if (x->rank == x->batched)
        text_print(t, "1");
    if (s->layout.order == ORDER_LANES)
        text_print(t, ", sixteen samples side by side");
}

/* Where a storage begins, as an expression. */
static void print_place(Text *t, const Runner *r, const Storage *s)
{
    const Program *p = r->program;

    switch (s->kind) {
    case STORAGE_FIELD:
        text_print(t, of_samples(r->kind) ? "%s" : "batch->%s", field_names(p)[s->field]);
        break;
    case STORAGE_OUTPUT: {
        int n = p->outputs.n;
        const Output *o = r->kind == GRAPH_PREPARE ? prepared_outputs(p, &n) : p->outputs.at;
        text_print(t, "%s", output_names(p, n, o)[s->field]);
        break;
    }
    case STORAGE_KEPT:
        text_print(t, "(%svoid *)(%s + %lld)", is_constant(r, s) ? "const " : "", is_derived(p, s) ? "derived" : "context",
                   (long long)kept_offset(r->plan, p, s->name));
        break;
    case STORAGE_SCALAR:
        if (scalar_position(s->name) < 0)
            bug("'%s' is no scalar", s->name);
        text_print(t, "scalars + %d", scalar_position(s->name));
        break;
    case STORAGE_WORK:
        text_print(t, "(void *)(%s + %lld)", s->phase < 0 ? "work" : "room", (long long)r->work->buffers[r->work->buffer[s->id]].offset);
        break;
    }
}

static bool *used_storages(Arena *a, const Loops *l)
{
    bool *used = NEW_ARRAY(a, bool, l->storages.n + 1);

    for (int i = 0; i < l->kernels.n; i++)
        for (int j = 0; j < l->kernels.at[i]->nargs; j++)
            used[l->kernels.at[i]->arg[j]->id] = true;
    return used;
}

static void print_storage(Text *t, const Runner *r, const Storage *s, const char *indent)
{
    Text line = {.arena = t->arena};

    text_print(&line, "%s%s%s *const %s = ", indent, is_constant(r, s) ? "const " : "", element_type(s), r->names[s->id]);
    print_place(&line, r, s);
    text_print(t, "%s;%*s /* ", line.s, line.n < 60 ? 60 - (int)line.n : 0, "");
    print_sizes(t, s);
    text_print(t, " */\n");
}

static void print_pointers(Text *t, const Runner *r)
{
    for (int i = 0; i < r->loops->storages.n; i++) {
        const Storage *s = r->loops->storages.at[i];
        /* The caller's own arguments need no second name. */
        if (!r->used[s->id] || s->phase >= 0 || (of_samples(r->kind) && (s->kind == STORAGE_FIELD || s->kind == STORAGE_OUTPUT)))
            continue;
        print_storage(t, r, s, "    ");
    }
}

static void print_pointer(Text *t, const Storage *s, void *user)
{
    const Runner *r = user;

    if (of_samples(r->kind) && (s->kind == STORAGE_FIELD || s->kind == STORAGE_OUTPUT))
        print_place(t, r, s);
    else
        text_print(t, "%s", r->names[s->id]);
}

/* --- kernels --- */

static void print_call(Text *t, Runner *r, const Kernel *k, const char *indent, const char *first, const char *end)
{
    text_print(t, "%s", indent);
    kernel_call(t, k, KERNEL_PREFIX, print_pointer, r, "n", first, end);
    text_print(t, ";\n");
}

static bool needs_blocks(const Loops *l)
{
    for (int i = 0; i < l->kernels.n; i++)
        if (l->kernels.at[i]->blocked)
            return true;
    return false;
}

static const char *all_tasks(Arena *a, const Kernel *k)
{
    return arena_print(a, "%lld", (long long)k->tasks);
}

/* The first or the next thread's first task. */
static const char *share(const Runner *r, const char *tasks, const char *thread, int most)
{
    return arena_print(r->program->arena, "%s_share(%s, %s, threads, %d)", r->prefix, tasks, thread, most);
}

/* What the phase alone needs: of one block, in the room that the thread has for it. */
static void print_room(Text *t, const Runner *r, int phase, const char *indent)
{
    const Room *room = &r->work->room[phase];

    if (room->bytes == 0)
        return;
    text_print(t, "%sunsigned char *const room = work + %lld", indent, (long long)r->work->buffers[room->buffer].offset);
    if (r->parallel)
        text_print(t, " + %lld * (size_t)thread", (long long)room->bytes);
    text_print(t, ";\n");
    for (int i = 0; i < r->loops->storages.n; i++)
        if (r->loops->storages.at[i]->phase == phase)
            print_storage(t, r, r->loops->storages.at[i], indent);
}

/* A kernel, or some that take turns strip by strip. */
static void print_turn(Text *t, Runner *r, int first, const char *indent)
{
    const Kernel *k = r->loops->kernels.at[first];

    if (k->strips)
        text_print(t, "%sfor (long strip = 0; strip < %lld; strip++) {\n", indent, (long long)k->strips);
    for (int i = 0; i < k->in_turn; i++)
        print_call(t, r, r->loops->kernels.at[first + i], arena_print(t->arena, k->strips ? "%s    " : "%s", indent), NULL, NULL);
    if (k->strips)
        text_print(t, "%s}\n", indent);
}

static void print_blocks(Text *t, Runner *r, int number, const char *indent)
{
    const Phase *phase = &r->loops->phases.at[number];
    Arena *a = t->arena;
    const char *in = arena_print(a, "%s    ", indent);

    if (r->parallel)
        text_print(t, "%sfor (long block = %s, end = %s; block < end; block++) {\n", indent,
                   share(r, "blocks", "thread", phase->threads), share(r, "blocks", "thread + 1", phase->threads));
    else
        text_print(t, "%sfor (long block = 0; block < blocks; block++) {\n", indent);
    print_room(t, r, number, in);
    for (int i = 0; i < phase->count; i += r->loops->kernels.at[phase->first + i]->in_turn)
        print_turn(t, r, phase->first + i, in);
    text_print(t, "%s}\n", indent);
}

static void print_tasks(Text *t, Runner *r, const Phase *phase, const char *indent)
{
    Arena *a = t->arena;

    for (int i = 0; i < phase->count; i++) {
        const Kernel *k = r->loops->kernels.at[phase->first + i];
        const char *all = all_tasks(a, k);
        if (!r->parallel)
            print_call(t, r, k, indent, "0", all);
        else if (k->threads == 1) {
            text_print(t, "%sif (thread == 0)\n", indent);
            print_call(t, r, k, arena_print(a, "%s    ", indent), "0", all);
        } else
            print_call(t, r, k, indent, share(r, all, "thread", k->threads), share(r, all, "thread + 1", k->threads));
    }
}

static void print_serial(Text *t, Runner *r, const Phase *phase, const char *indent)
{
    const char *in = r->parallel ? arena_print(t->arena, "%s    ", indent) : indent;

    if (r->parallel)
        text_print(t, "%sif (thread == 0) {\n", indent);
    for (int i = 0; i < phase->count; i++) {
        const Kernel *k = r->loops->kernels.at[phase->first + i];
        print_call(t, r, k, in, "0", all_tasks(t->arena, k));
    }
    if (r->parallel)
        text_print(t, "%s}\n", indent);
}

/* --- phases --- */

static bool phase_writes(const Loops *l, const Phase *phase, const Storage *one, StorageKind kind)
{
    for (int i = phase->first; i < phase->first + phase->count; i++) {
        const Kernel *k = l->kernels.at[i];
        for (int j = 0; j < k->nargs; j++)
            if (k->writes[j] && (one ? k->arg[j] == one : k->arg[j]->kind == kind))
                return true;
    }
    return false;
}

int first_update(const Loops *l, const Storage *loss)
{
    int update = -1;

    for (int i = 0; i < l->phases.n; i++) {
        const Phase *phase = &l->phases.at[i];
        if (update < 0 && phase_writes(l, phase, NULL, STORAGE_KEPT))
            update = i;
        if (update >= 0 && phase_writes(l, phase, loss, STORAGE_WORK))
            bug("an update in phase %d does not wait for the loss of phase %d", update, i);
    }
    return update;
}

static void print_phases(Text *t, Runner *r)
{
    const char *indent = "    ";
    int update = r->loss ? first_update(r->loops, r->loss) : -1;

    for (int i = 0; i < r->loops->phases.n; i++) {
        const Phase *phase = &r->loops->phases.at[i];
        if (i > 0 && r->parallel)
            text_print(t, "%sNN_BARRIER;\n", indent);
        text_print(t, "\n");
        if (i == update) {
            text_print(t, "    /* A loss that is not finite changes nothing. */\n    if (isfinite(*%s)) {\n", r->names[r->loss->id]);
            indent = "        ";
        }
        if (phase->kind == PHASE_BLOCKS)
            print_blocks(t, r, i, indent);
        else if (phase->kind == PHASE_TASKS)
            print_tasks(t, r, phase, indent);
        else
            print_serial(t, r, phase, indent);
    }
    if (update >= 0)
        text_print(t, "    }\n");
}

/* --- the function --- */

static bool uses_kind(const Runner *r, StorageKind kind)
{
    for (int i = 0; i < r->loops->storages.n; i++)
        if (r->loops->storages.at[i]->kind == kind && r->used[r->loops->storages.at[i]->id])
            return true;
    return false;
}

static bool uses_field(const Runner *r, int field)
{
    for (int i = 0; i < r->loops->storages.n; i++) {
        const Storage *s = r->loops->storages.at[i];
        if (s->kind == STORAGE_FIELD && s->field == field && r->used[s->id])
            return true;
    }
    return false;
}

static bool takes_derived(const Runner *r) { return r->kind == GRAPH_SINGLE && r->plan->derived_bytes > 0; }

static void print_arguments(Text *t, const Runner *r, bool types)
{
    const Program *p = r->program;

    if (of_samples(r->kind)) {
        int n = p->outputs.n;
        const Output *o = r->kind == GRAPH_PREPARE ? prepared_outputs(p, &n) : p->outputs.at;
        text_print(t, types ? "const unsigned char *context, " : "context, ");
        if (takes_derived(r))
            text_print(t, types ? "const unsigned char *derived, " : "derived, ");
        text_print(t, types ? "unsigned char *work, " : "work, ");
        if (types)
            print_inputs(t, p);
        else
            for (int i = 0; i < p->fields.n; i++)
                if (!p->fields.at[i].label)
                    text_print(t, "%s, ", field_names(p)[i]);
        if (r->kind != GRAPH_SINGLE)
            text_print(t, types ? "long n, " : "n, ");
        if (types)
            print_outputs(t, p, n, o);
        else
            for (int i = 0; i < n; i++)
                text_print(t, "%s%s", i ? ", " : "", output_names(p, n, o)[i]);
    } else if (is_step(r->kind) || r->kind == GRAPH_EVAL)
        text_print(t, types ? "unsigned char *context, const %s_batch *batch, long n" : "context, batch, n", r->prefix);
    else if (r->kind == GRAPH_DERIVE)
        text_print(t, types ? "const unsigned char *context, unsigned char *derived" : "context, derived");
    else
        text_print(t, types ? "unsigned char *context" : "context");
}

static void print_locals(Text *t, const Runner *r)
{
    bool n = is_step(r->kind) || r->kind == GRAPH_EVAL || (of_samples(r->kind) && r->kind != GRAPH_SINGLE);
    bool some = needs_blocks(r->loops), takes_n = some && r->loops->graph->batch > LANES;

    for (int i = 0; i < r->loops->kernels.n; i++)
        takes_n |= r->loops->kernels.at[i]->takes_n;
    if (!of_samples(r->kind) && uses_kind(r, STORAGE_WORK))
        text_print(t, "    unsigned char *const work = %s + %lld;\n", r->kind == GRAPH_DERIVE ? "derived" : "context",
                   (long long)(r->kind == GRAPH_DERIVE ? r->plan->derived_work : r->plan->work_offset));
    if (uses_kind(r, STORAGE_SCALAR)) {
        if (of_samples(r->kind))
            text_print(t, n ? "    const double scalars[%d] = {(double)n, (double)n, 1};\n" : "    const double scalars[%d] = {1, 1, 1};\n",
                       SCALAR_COUNT);
        else
            text_print(t, "    const double *const scalars = (const void *)context;\n");
    }
    print_pointers(t, r);
    if (!n && takes_n)
        text_print(t, "    const long n = 0; /* there are no samples here */\n");
    if (some && r->loops->graph->batch <= LANES)
        text_print(t, "    const long blocks = 1; /* of up to sixteen samples */\n");
    else if (some)
        text_print(t, "    const long blocks = (n + %d) / %d; /* of sixteen samples */\n", LANES - 1, LANES);
    /* Not every graph looks at all it may look at. */
    if (of_samples(r->kind)) {
        if (!uses_kind(r, STORAGE_KEPT))
            text_print(t, "    (void)context;\n");
        if (!uses_kind(r, STORAGE_WORK))
            text_print(t, "    (void)work;\n");
        for (int i = 0; i < r->program->fields.n; i++)
            if (!r->program->fields.at[i].label && !uses_field(r, i))
                text_print(t, "    (void)%s;\n", field_names(r->program)[i]);
    } else {
        if (!uses_kind(r, STORAGE_KEPT) && !uses_kind(r, STORAGE_WORK) && !uses_kind(r, STORAGE_SCALAR))
            text_print(t, "    (void)context;\n");
        if (n && !uses_kind(r, STORAGE_FIELD))
            text_print(t, "    (void)batch;\n");
    }
    if (n && !takes_n)
        text_print(t, "    (void)n;\n");
}

/* What the function of a list does: it says where everything is and has the list carried out. */
static void print_listed(Text *t, const Runner *r, const char *name)
{
    const Program *p = r->program;
    bool samples = of_samples(r->kind), batch = is_step(r->kind) || r->kind == GRAPH_EVAL;
    const char *n = batch || (samples && r->kind != GRAPH_SINGLE) ? "n" : samples ? "1" : "0";
    int outputs = p->outputs.n;
    const Output *o = r->kind == GRAPH_PREPARE ? prepared_outputs(p, &outputs) : p->outputs.at;

    if (samples)
        text_print(t, "    const double scalars[%d] = {(double)%s, (double)%s, 1};\n", SCALAR_COUNT, n, n);
    text_print(t, "    const void *const given[] = {");
    for (int i = 0; i < p->fields.n && (samples || batch); i++)
        text_print(t, samples && p->fields.at[i].label ? "NULL, " : "%s%s, ", batch ? "batch->" : "", field_names(p)[i]);
    for (int i = 0; i < outputs && samples; i++)
        text_print(t, "%s, ", output_names(p, outputs, o)[i]);
    text_print(t, "NULL};\n    %s_list list = {%s_calls, given, {context, ", r->prefix, name);
    if (samples)
        text_print(t, "work, (const unsigned char *)scalars, work, %s}, ", takes_derived(r) ? "derived" : "NULL");
    else if (r->kind == GRAPH_DERIVE)
        text_print(t, "derived + %lld, context, context, derived}, ", (long long)r->plan->derived_work);
    else
        text_print(t, "context + %lld, context, context, NULL}, ", (long long)r->plan->work_offset);
    text_print(t, "%s, (%s + %d) / %d, 0, 0, %s};\n\n    %s_carry_out(&list);\n", n, n, LANES - 1, LANES,
               r->parallel ? "thread, threads" : "0, 1", r->prefix);
}

void print_run(Text *t, const Program *p, const Plan *plan, GraphKind kind, Lists *lists)
{
    Runner r = {.program = p, .plan = plan, .loops = plan->work[kind].loops, .work = &plan->work[kind], .kind = kind};

    r.prefix = emit_prefix(t->arena, p);
    r.names = storage_names(t->arena, &r);
    r.used = used_storages(t->arena, r.loops);
    r.parallel = r.loops->threads > 1;
    if (is_step(kind))
        r.loss = loops_storage(r.loops, "loss");

    const char *name = arena_print(t->arena, "%s_%s", r.prefix, kind_name(p, kind));
    if (lists)
        print_list(t, lists, kind, name);
    text_print(t, "/* %s: %d kernels in %d phases. */\nstatic void %s_%s(", kind_name(p, kind), r.loops->kernels.n, r.loops->phases.n, r.prefix,
               r.parallel ? arena_print(t->arena, "%s_thread", kind_name(p, kind)) : arena_print(t->arena, "run_%s", kind_name(p, kind)));
    print_arguments(t, &r, true);
    text_print(t, r.parallel ? ", int thread, int threads)\n{\n" : ")\n{\n");
    if (lists) {
        print_listed(t, &r, name);
    } else {
        print_locals(t, &r);
        print_phases(t, &r);
    }
    text_print(t, "}\n\n");
    if (!r.parallel)
        return;
    text_print(t, "static void %s_run_%s(", r.prefix, kind_name(p, kind));
    print_arguments(t, &r, true);
    text_print(t, ")\n{\n#ifdef _OPENMP\n#pragma omp parallel num_threads(%s_team(%d))\n    %s_%s_thread(", r.prefix, r.loops->threads,
               r.prefix, kind_name(p, kind));
    print_arguments(t, &r, false);
    text_print(t, ", omp_get_thread_num(), omp_get_num_threads());\n#else\n    %s_%s_thread(", r.prefix, kind_name(p, kind));
    print_arguments(t, &r, false);
    text_print(t, ", 0, 1);\n#endif\n}\n\n");
}
