/* trainer.c -- see trainer.h: what several commands need. */
#include "trainer.h"

#include "clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* OpenMP's, where the model was linked with it. */
extern void omp_set_num_threads(int n) __attribute__((weak));

bool nn_trainer_fail(const Trainer *t, int status, const char *what, Fault *f)
{
    static const char *const why[] = {"", "it was called wrongly", "the file makes no sense",
                                      "a number is not finite", NULL};

    if (status == NN_ECPU)
        return nn_fail(f, EXIT_USAGE, "%s was compiled for %s, which this processor is not: compile it again with "
                       "nnc --target-cpu=native", t->options.program, t->p->target);
    return nn_fail(f, status == NN_ENOTFINITE ? EXIT_NOT_FINITE : EXIT_USAGE, "%s: %s: %s", t->p->name, what,
                   status > 0 && status < NN_ECPU ? why[status] : "unknown error");
}

static size_t measured_size(const Trainer *t, int i)
{
    const nn_tensor *m = &t->p->tensors[t->p->measured[i].tensor];

    return (size_t)nn_shape_size(m->rank, m->shape);
}

static bool check_program(const nn_program *p, Fault *f)
{
    if (p->batch < 1 || p->nmetrics > NN_MAX_METRICS)
        return nn_fail(f, EXIT_USAGE, "%s: a batch of %d and %d metrics are not for this trainer", p->name, p->batch,
                       p->nmetrics);
    return true;
}

enum { LARGE_PAGE = 2 << 20, WORTH_LARGE_PAGES = 64 << 20 };

/* What the model works in. Large nets go through so much of it that the processor would wait for the addresses of small
 * pages: ResNet-50 learns 4 % faster in large ones, if the system has some. */
static void *model_memory(size_t align, size_t bytes)
{
    bool large = bytes >= WORTH_LARGE_PAGES;

    align = large && align < LARGE_PAGE ? LARGE_PAGE : align;
    bytes = (bytes + align) / align * align;
    void *p = aligned_alloc(align, bytes);
#ifdef MADV_HUGEPAGE
    if (p != NULL && large)
        madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

bool nn_trainer_start(Trainer *t, Fault *f)
{
    const nn_program *p = t->p;
    size_t scratch = p->predict_bytes > p->prepare_bytes ? p->predict_bytes : p->prepare_bytes;
    size_t align = p->align >= 64 ? p->align : 64, measured = 0;

    if (!check_program(p, f))
        return false;
    nn_display_start(&t->display);
    for (int i = 0; i < p->nmeasured; i++)
        measured += measured_size(t, i);
    t->ctx = model_memory(align, p->bytes);
    t->scratch = model_memory(align, scratch);
    t->measured = nn_new(f, "the measured states", measured, sizeof *t->measured);
    t->sources = nn_new(f, "a checkpoint", (size_t)p->ntensors, sizeof *t->sources);
    if (t->ctx == NULL || t->scratch == NULL)
        return nn_fail_memory(f, "the model", p->bytes + scratch);
    if (t->measured == NULL || t->sources == NULL)
        return false;
    memset(t->ctx, 0, p->bytes);
    if (t->settings.threads > 0 && omp_set_num_threads != NULL)
        omp_set_num_threads(t->settings.threads);
    return true;
}

void nn_trainer_end(Trainer *t)
{
    nn_display_clear(&t->display);
    nn_ahead_end(&t->ahead);
    nn_samples_close(&t->samples);
    nn_checkpoint_close(&t->checkpoint);
    nn_run_close(&t->run);
    nn_json_free(t->recalled);
    nn_json_free(t->classes);
    free(t->class_names);
    free(t->measured);
    free(t->sources);
    free(t->scratch);
    free(t->ctx);
}

bool nn_trainer_phase(Trainer *t, int64_t phase, Fault *f)
{
    const nn_phase *now;

    if (phase < 0 || phase >= t->p->nphases)
        return phase == 0 || nn_fail(f, EXIT_FILE, "%s has no phase %lld", t->p->source, (long long)phase + 1);
    now = &t->p->phases[phase];
    t->now = *t->p;
    t->now.step = now->step;
    t->now.ntrain = now->ntrain;
    t->now.train = now->train;
    t->p = &t->now;
    return nn_settings_resolve(t->p, &t->options, &t->settings, f);
}

bool nn_trainer_classes(Trainer *t, const char ***names, int *n, Fault *f)
{
    const char *note = nn_safetensors_note(&t->checkpoint.st, "classes");

    *n = 0;
    *names = NULL;
    if (note == NULL)
        return true;
    if (t->classes == NULL) {
        t->classes = nn_json_parse(note, strlen(note), f);
        if (t->classes == NULL || nn_json_root(t->classes)->kind != JSON_LIST)
            return nn_fail(f, EXIT_FILE, "%s: its list of classes makes no sense", t->path);
        t->class_names = nn_new(f, "the classes", (size_t)nn_json_root(t->classes)->count, sizeof *t->class_names);
        if (t->class_names == NULL)
            return false;
    }
    for (const Json *j = nn_json_root(t->classes)->first; j != NULL; j = j->next)
        t->class_names[(*n)++] = j->kind == JSON_TEXT ? j->text : "";
    *names = t->class_names;
    return true;
}

bool nn_trainer_open_data(Trainer *t, bool again, Fault *f)
{
    const char **names;
    int n;

    if (!nn_samples_open(t->p, &t->options, &t->settings, &t->samples, f) || !nn_trainer_classes(t, &names, &n, f))
        return false;
    if (again)
        nn_data_keep(&t->samples.data, t->settings.cache);
    return (names == NULL || nn_samples_rename(t->p, &t->samples, names, n, f)) &&
           nn_ahead_start(&t->ahead, t->p, &t->samples, t->settings.threads, f);
}

/* --- measured states --- */

/* Mean and sum of squared differences of all numbers with one index along axis 0, merged block by block (Chan,
 * Golub and LeVeque, 1979): stable, and one pass over the data. */
typedef struct Moments { double n, mean, squares; } Moments;

/* Reading a large folder takes its time. */
static void show_measuring(Trainer *t, double start, int64_t done, int64_t n)
{
    if (done > 0 && nn_display_due(&t->display))
        nn_display_move(&t->display, "measuring the training data", (double)done, (double)n, "",
                        (nn_seconds() - start) / (double)done * (double)(n - done));
}

/* x: `rows` runs of n numbers, each `stride` after the one before. */
static void moments_add(Moments *m, const float *x, int rows, int64_t stride, int64_t n)
{
    double count = (double)rows * (double)n, all = m->n + count, mean = 0, squares = 0, difference;

    for (int r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            mean += (double)x[r * stride + i];
    mean /= count;
    for (int r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++)
            squares += ((double)x[r * stride + i] - mean) * ((double)x[r * stride + i] - mean);
    difference = mean - m->mean;
    m->squares += squares + difference * difference * m->n * count / all;
    m->mean += difference * count / all;
    m->n = all;
}

static bool measure_output(Trainer *t, int output, Moments *moments, float **outputs, Fault *f)
{
    const nn_program *p = t->p;
    const nn_output *o = &p->prepared[output];
    int64_t n = t->samples.split.n[SPLIT_TRAIN], groups = o->rank > 0 ? o->shape[0] : 1;
    int64_t size = nn_shape_size(o->rank, o->shape);
    double start = nn_seconds();

    memset(moments, 0, (size_t)groups * sizeof *moments);
    nn_ahead_begin(&t->ahead, t->samples.split.samples[SPLIT_TRAIN], 0, n, NULL);
    for (int64_t first = 0; first < n; first += p->batch) {
        int count, status;
        void **fields = nn_ahead_next(&t->ahead, &count, f);

        if (fields == NULL)
            return false;
        show_measuring(t, start, first, n);
        status = p->prepare(t->ctx, t->scratch, (const void *const *)fields, count, outputs);
        if (status != NN_OK)
            return nn_trainer_fail(t, status, "measuring the training data", f);
        for (int64_t g = 0; g < groups; g++)
            moments_add(&moments[g], outputs[output] + g * (size / groups), count, size, size / groups);
    }
    return true;
}

static void put_measured(Trainer *t, int i, const double *values)
{
    const nn_tensor *m = &t->p->tensors[t->p->measured[i].tensor];
    char *to = (char *)t->ctx + m->offset;
    int64_t n = nn_shape_size(m->rank, m->shape), width = m->rank > 0 ? m->shape[m->rank - 1] : 1;

    for (int64_t k = 0; k < n; k++) {
        if (m->rank == 0)
            *(double *)(void *)to = values[k];
        else
            ((float *)(void *)to)[(m->rank > 1 ? k / width * m->row : 0) + k % width] = (float)values[k];
    }
}

static void take_measured(const Trainer *t, int i, const Moments *moments, double *values)
{
    for (size_t k = 0; k < measured_size(t, i); k++) {
        double deviation = moments[k].n > 1 ? sqrt(moments[k].squares / (moments[k].n - 1)) : 0;

        values[k] = !t->p->measured[i].deviation ? moments[k].mean : deviation > 0 ? deviation : 1;
    }
}

static bool check_measured(const Trainer *t, int i, Fault *f)
{
    const nn_output *o = &t->p->prepared[t->p->measured[i].output];
    int64_t groups = o->rank > 0 ? o->shape[0] : 1;

    if ((int64_t)measured_size(t, i) != groups)
        return nn_fail(f, EXIT_USAGE, "%s: %s is not as long as axis 0 of %s", t->p->name,
                       t->p->tensors[t->p->measured[i].tensor].name, o->name);
    return true;
}

/* A statistic may be of values that another one has standardized: so one output after the other, in order. */
static bool measure(Trainer *t, float **outputs, Moments *moments, Fault *f)
{
    double *values = t->measured;
    int last = -1;

    for (int i = 0; i < t->p->nmeasured; i++) {
        int output = t->p->measured[i].output;

        if (!check_measured(t, i, f) || (output != last && !measure_output(t, output, moments, outputs, f)))
            return false;
        last = output;
        take_measured(t, i, moments, values);
        put_measured(t, i, values);
        values += measured_size(t, i);
    }
    return true;
}

/* The room that measuring needs, and that nothing else does. */
static bool measure_once(Trainer *t, Fault *f)
{
    const nn_program *p = t->p;
    float **outputs = nn_new(f, "measuring", (size_t)p->nprepared, sizeof *outputs);
    int64_t groups = 1;
    Moments *moments;
    bool fine = outputs != NULL;

    for (int i = 0; i < p->nprepared && fine; i++) {
        int64_t size = nn_shape_size(p->prepared[i].rank, p->prepared[i].shape);

        groups = p->prepared[i].rank > 0 && p->prepared[i].shape[0] > groups ? p->prepared[i].shape[0] : groups;
        outputs[i] = nn_new(f, "measuring", (size_t)size * (size_t)p->batch, sizeof(float));
        fine = outputs[i] != NULL;
    }
    moments = nn_new(f, "measuring", (size_t)groups, sizeof *moments);
    fine = fine && moments != NULL && measure(t, outputs, moments, f);
    for (int i = 0; i < p->nprepared && outputs != NULL; i++)
        free(outputs[i]);
    free(outputs);
    free(moments);
    return fine;
}

bool nn_trainer_init(Trainer *t, uint64_t seed, Fault *f)
{
    const double *values = t->measured;
    int status = t->p->init(t->ctx, seed);

    if (status != NN_OK)
        return nn_trainer_fail(t, status, "drawing the weights", f);
    t->scalars = t->p->scalars(t->ctx);
    t->scalars[NN_SEED] = (double)seed;
    if (t->p->nmeasured == 0 || t->samples.columns == NULL)
        return true;
    if (!t->is_measured) {
        t->is_measured = measure_once(t, f);
        return t->is_measured;
    }
    for (int i = 0; i < t->p->nmeasured; i++) {
        put_measured(t, i, values);
        values += measured_size(t, i);
    }
    return true;
}

/* --- trained weights --- */

/* The name of a setting of load(...), or NULL. */
static const char *load_part(const nn_value *load, const char *name)
{
    for (int i = 1; i < load->n; i++)
        if (load->names != NULL && load->names[i] != NULL && strcmp(load->names[i], name) == 0)
            return load->parts[i].text;
    return NULL;
}

bool nn_trainer_load_init(Trainer *t, Fault *f)
{
    const nn_setting *s = nn_setting_find(t->p->train, t->p->ntrain, "init");
    char path[NN_FILE_PATH];
    const char *file;
    Checkpoint c;
    Fault why = {0};
    bool fine;

    if (s == NULL)
        return true;
    if (s->value.kind != NN_CALL || s->value.n < 1 || s->value.parts[0].text == NULL)
        return nn_fail(f, EXIT_USAGE, "%s:%d:%d: expected init = load(\"file.safetensors\")", t->p->source, s->line, s->column);
    file = s->value.parts[0].text;
    snprintf(path, sizeof path, "%.500s/%.500s", t->p->directory != NULL ? t->p->directory : ".", file);
    if (file[0] == '/' || access(path, R_OK) != 0)
        snprintf(path, sizeof path, "%.1000s", file);
    fine = nn_checkpoint_open(path, &c, &why);
    if (fine) {
        fine = nn_checkpoint_fill(t->p, &c, load_part(&s->value, "into"), load_part(&s->value, "from"), t->ctx, &why);
        nn_checkpoint_close(&c);
    }
    return fine || nn_fail(f, why.status, "%s:%d:%d: %s", t->p->source, s->line, s->column, why.text);
}

bool nn_trainer_load_start(Trainer *t, Fault *f)
{
    Checkpoint c;
    bool fine;

    if (t->options.start == NULL)
        return true;
    if (!nn_checkpoint_open(t->options.start, &c, f))
        return false;
    fine = nn_checkpoint_load(t->p, &c, KEEP_WEIGHTS, t->ctx, f);
    nn_checkpoint_close(&c);
    return fine;
}

bool nn_trainer_recall(Trainer *t, const Checkpoint *c, Fault *f)
{
    enum { MOST = 64 };
    const char *note = nn_safetensors_note(&c->st, "overrides"), *arguments[MOST];
    int n = 0;
    bool fine = true;

    if (note == NULL)
        return true;
    t->recalled = nn_json_parse(note, strlen(note), f);
    if (t->recalled == NULL || nn_json_root(t->recalled)->kind != JSON_LIST)
        return nn_fail(f, EXIT_FILE, "%s: its list of options makes no sense", c->path);
    for (const Json *j = nn_json_root(t->recalled)->first; j != NULL && n < MOST && fine; j = j->next) {
        fine = j->kind == JSON_TEXT || nn_fail(f, EXIT_FILE, "%s: its list of options makes no sense", c->path);
        if (fine)
            arguments[n++] = j->text;
    }
    return fine && nn_options_recall(t->p, arguments, n, &t->options, f) &&
           nn_settings_resolve(t->p, &t->options, &t->settings, f);
}

bool nn_trainer_load(Trainer *t, const char *run, Fault *f)
{
    if (t->options.weights != NULL) {
        if (run != NULL)
            return nn_fail(f, EXIT_USAGE, "--weights and a run both say which weights: give one of them");
        snprintf(t->path, sizeof t->path, "%.1000s", t->options.weights);
    } else {
        if (!nn_run_find(t->p, run, "best.safetensors", &t->run, f))
            return false;
        nn_run_path(&t->run, "best.safetensors", t->path);
    }
    return nn_checkpoint_open(t->path, &t->checkpoint, f) && nn_trainer_recall(t, &t->checkpoint, f) &&
           nn_trainer_init(t, 0, f) && nn_checkpoint_load(t->p, &t->checkpoint, KEEP_WEIGHTS, t->ctx, f);
}

/* --- evaluation --- */

const double *nn_trainer_metric(const Trainer *t, int metric)
{
    return (const double *)(const void *)((const char *)t->ctx + t->p->metrics[metric].offset);
}

static void put_range(const nn_program *p, const nn_demand *d, void *const *fields, int n, char *to, size_t room)
{
    snprintf(to, room, "the data has others");
    for (int i = 0; i < p->nfields && n > 0; i++) {
        int64_t size = nn_shape_size(p->fields[i].rank, p->fields[i].shape);
        const float *x = fields[i];
        double least = HUGE_VAL, most = -HUGE_VAL;

        if (d->field == NULL || strcmp(p->fields[i].name, d->field) != 0 || p->fields[i].classes > 0)
            continue;
        for (int64_t k = 0; k < n * size; k++) {
            least = fmin(least, (double)x[k]);
            most = fmax(most, (double)x[k]);
        }
        snprintf(to, room, "%s goes from %g to %g%s", d->field, least, most, d->transformed ? " before its transform" : "");
    }
}

bool nn_trainer_demands(Trainer *t, void *const *fields, int n, Fault *f)
{
    const nn_program *p = t->p;
    char found[200];

    if (n > 0 && p->ndemands > 0 &&
        (p->reset(t->ctx) != NN_OK || p->eval(t->ctx, (const void *const *)fields, n) != NN_OK || p->report(t->ctx) != NN_OK))
        return true;
    for (int i = 0; i < p->ndemands && *nn_trainer_metric(t, 0) == -HUGE_VAL; i++) {
        const nn_demand *d = &p->demands[i];

        put_range(p, d, fields, n, found, sizeof found);
        nn_fail(f, EXIT_FILE, "%s:%d:%d: %s: %s, but %s (%s)", p->source, d->line, d->column, d->loss, d->text, found,
                t->samples.data.origin);
    }
    return f->status == 0;
}

bool nn_trainer_evaluate(Trainer *t, Split split, const volatile int *stop, Fault *f)
{
    const nn_program *p = t->p;
    int64_t n = t->samples.split.n[split];
    int status = p->reset(t->ctx);

    nn_ahead_begin(&t->ahead, t->samples.split.samples[split], 0, n, NULL);
    for (int64_t first = 0; first < n && status == NN_OK; first += p->batch) {
        int count;
        void **fields;

        if (stop != NULL && *stop != 0)
            return false;
        fields = nn_ahead_next(&t->ahead, &count, f);
        if (fields == NULL)
            return false;
        t->scalars[NN_COUNT] = t->scalars[NN_TOTAL] = count;
        status = p->eval(t->ctx, (const void *const *)fields, count);
    }
    if (status == NN_OK)
        status = p->report(t->ctx);
    return status == NN_OK ? nn_trainer_demands(t, NULL, 0, f) : nn_trainer_fail(t, status, "evaluation", f);
}
