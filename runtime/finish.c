/* finish.c -- see finish.h. */
#include "finish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t trained_numbers(const nn_program *p)
{
    int64_t n = 0;

    for (int i = 0; i < p->ntensors; i++)
        if (p->tensors[i].kind == NN_PARAM && !p->tensors[i].frozen)
            n += nn_shape_size(p->tensors[i].rank, p->tensors[i].shape);
    return n;
}

void nn_show_start(Trainer *t, const Clock *c, int64_t total_steps)
{
    const int64_t *n = t->samples.split.n;
    const Settings *s = &t->settings;
    int64_t all = t->samples.data.n, left_out = nn_data_left_out(&t->samples.data);
    char count[32];
    Text line = {0};

    nn_text_print(&line, "%s: %s weights to train", t->p->name, nn_count_text(count, trained_numbers(t->p)));
    nn_text_print(&line, " on %s samples", nn_count_text(count, n[SPLIT_TRAIN]));
    if (n[SPLIT_VALID] > 0)
        nn_text_print(&line, ", %s to validate", nn_count_text(count, n[SPLIT_VALID]));
    if (n[SPLIT_TEST] > 0)
        nn_text_print(&line, ", %s to test", nn_count_text(count, n[SPLIT_TEST]));
    nn_text_print(&line, " (%s)", t->samples.data.origin);
    nn_display_line(&t->display, nn_text(&line));
    line.n = 0;
    nn_text_print(&line, "batch %d, %s updates, seed %llu, %s", t->p->batch, nn_count_text(count, total_steps),
                  (unsigned long long)s->seed, t->run.directory);
    if (c->rows > 0 || c->step > 0)
        nn_text_print(&line, "; going on after epoch %lld, step %lld", (long long)c->epoch, (long long)c->step);
    nn_display_line(&t->display, nn_text(&line));
    if (left_out > 0) {
        line.n = 0;
        nn_text_print(&line, "%s pictures stay in memory once they are read (--cache)", nn_count_text(count, all - left_out));
        nn_text_print(&line, ", %s are read each time", nn_count_text(count, left_out));
        nn_display_line(&t->display, nn_text(&line));
    }
    nn_text_free(&line);
}

/* --- metrics --- */

/* The names of the classes, as the weights know them or the data that is trained on, where there are as many as the table
 * has rows; or NULL. */
static const char *const *row_names(Trainer *t, const nn_output *m)
{
    int field = nn_samples_label(t->p, &t->samples), n;
    const Column *label = field >= 0 ? &t->samples.data.columns[t->samples.columns[field]] : NULL;
    const char **names;
    Fault f = {0};

    if (m->rank > 2)
        return NULL;
    if (nn_trainer_classes(t, &names, &n, &f) && names != NULL && n == m->shape[0])
        return names;
    return label != NULL && label->classes == m->shape[0] ? (const char *const *)label->class_names : NULL;
}

/* A row of numbers, or one for each class, with its name behind it. Above them the names of the columns: in a square table
 * those of the classes again. */
static void print_table(Trainer *t, const nn_output *m, const double *values)
{
    const char *const *names = row_names(t, m), *const *columns = m->columns;
    int64_t n = nn_shape_size(m->rank, m->shape), width = m->rank == 1 && names != NULL ? 1 : m->shape[m->rank - 1];

    printf("%s\n", m->name);
    if (columns == NULL && m->rank == 2 && m->shape[0] == m->shape[1])
        columns = names;
    for (int64_t i = 0; i < width && columns != NULL; i++)
        printf("%10.10s%s", columns[i], i + 1 < width ? " " : "\n");
    for (int64_t i = 0; i < n; i++) {
        bool last = (i + 1) % width == 0;

        printf("%10.6g%s", values[i], !last ? " " : names == NULL ? "\n" : "  ");
        if (last && names != NULL)
            printf("%s\n", names[i / width]);
    }
}

static void put_json(const nn_output *m, const double *values, Text *t)
{
    int64_t n = nn_shape_size(m->rank, m->shape);

    nn_text_print(t, m->rank > 0 ? "[" : "");
    for (int64_t i = 0; i < n; i++) {
        nn_text_print(t, i > 0 ? "," : "");
        if (values[i] - values[i] == 0)
            nn_text_number(t, values[i]);
        else
            nn_text_print(t, "null"); /* JSON has no inf */
    }
    nn_text_print(t, m->rank > 0 ? "]" : "");
}

static void print_json(const Trainer *t, Split split)
{
    Text out = {0};

    nn_text_print(&out, "{\"split\":\"%s\",\"samples\":%lld", nn_split_names[split],
                  (long long)t->samples.split.n[split]);
    for (int i = 0; i < t->p->nmetrics; i++) {
        const char *name = i == 0 ? "loss" : t->p->metrics[i].name;

        nn_text_print(&out, ",");
        nn_text_json(&out, name, strlen(name));
        nn_text_print(&out, ":");
        put_json(&t->p->metrics[i], nn_trainer_metric(t, i), &out);
    }
    printf("%s}\n", nn_text(&out));
    nn_text_free(&out);
}

void nn_print_metrics(Trainer *t, Split split, bool json)
{
    char count[32];

    if (json) {
        print_json(t, split);
        return;
    }
    printf("%s samples: %s\n", nn_split_names[split], nn_count_text(count, t->samples.split.n[split]));
    for (int i = 0; i < t->p->nmetrics; i++) {
        const nn_output *m = &t->p->metrics[i];

        if (m->rank > 0)
            print_table(t, m, nn_trainer_metric(t, i));
        else
            printf("%s %s: %.6g\n", nn_split_names[split], i == 0 ? "loss" : m->name, *nn_trainer_metric(t, i));
    }
}

/* --- the end --- */

static bool load_best(Trainer *t, Fault *f)
{
    Checkpoint c;
    bool fine;

    nn_run_path(&t->run, "best.safetensors", t->path);
    if (!nn_checkpoint_open(t->path, &c, f))
        return false;
    fine = nn_checkpoint_load(t->p, &c, KEEP_WEIGHTS, t->ctx, f);
    nn_checkpoint_close(&c);
    return fine;
}

static void show_best(const Trainer *t, const Clock *c)
{
    const Monitor *m = &t->settings.best;

    printf("best: epoch %lld", (long long)c->best_epoch);
    if (t->settings.restarts > 1)
        printf(" of restart %lld", (long long)c->best_restart + 1);
    printf(", %s %s %.6g\n", nn_split_names[m->split], m->metric == 0 ? "loss" : t->p->metrics[m->metric].name,
           c->best);
}

/* A file to try predict on, that is there: the one that was trained on, or its test images. */
static bool find_sample_file(const Trainer *t, char path[NN_FILE_PATH])
{
    static const char *const images[] = {"t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte",
                                         "t10k-images.idx3-ubyte", "t10k-images.idx3-ubyte.gz"};
    const nn_setting *source = nn_setting_find(t->p->data, t->p->ndata, "source");
    const char *reader = source->value.text, *origin = t->samples.data.origin;
    const Data *d = &t->samples.data;

    if (d->files != NULL) { /* the last one is of the test split, if there is one */
        snprintf(path, NN_FILE_PATH, "%.1000s", d->files[d->n - 1]);
        return nn_file_exists(path);
    }
    if (strcmp(reader, "csv") == 0 || strcmp(reader, "idx") == 0 || strcmp(reader, "npy") == 0) {
        snprintf(path, NN_FILE_PATH, "%.1000s", origin);
        return nn_file_exists(path);
    }
    for (int i = 0; i < 4 && strstr(reader, "mnist") != NULL; i++) {
        snprintf(path, NN_FILE_PATH, "%.900s/%s", origin, images[i]);
        if (nn_file_exists(path))
            return true;
    }
    return false;
}

/* `printf 'x1,x2\n0.5,1\n' |`: the first sample, where a sample is a few numbers. */
static bool put_first_sample(const Trainer *t, Text *line)
{
    const nn_program *p = t->p;
    Fault f = {0};

    nn_text_print(line, "printf '");
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < p->nfields && !p->fields[i].label; i++) {
            float x;

            if (p->fields[i].rank != 0 || i == 8)
                return false;
            nn_text_print(line, i > 0 ? "," : "");
            if (!nn_data_floats(&t->samples.data, t->samples.columns[i], 0, &x, &f))
                return false;
            if (pass == 0)
                nn_text_print(line, "%s", p->fields[i].name);
            else
                nn_text_print(line, "%.4g", (double)x);
        }
        nn_text_print(line, "\\n");
    }
    nn_text_print(line, "' | ");
    return true;
}

/* A path as the shell takes it for one word. */
static void put_path(const char *path, Text *line)
{
    bool plain = strpbrk(path, " \t\"'`$&|;<>()*?[]#~\\!{}") == NULL;

    nn_text_print(line, plain ? "" : "'");
    for (const char *s = path; *s != '\0'; s++)
        nn_text_add(line, *s == '\'' ? "'\\''" : s, *s == '\'' ? 4 : 1);
    nn_text_print(line, plain ? "" : "'");
}

/* " image=FILE image2=FILE" where there are several inputs, each in a file. */
static void put_inputs(const nn_program *p, Text *line)
{
    int inputs = 0;

    for (int i = 0; i < p->nfields; i++)
        inputs += !p->fields[i].label;
    for (int i = 0; i < p->nfields && inputs > 1; i++)
        if (!p->fields[i].label)
            nn_text_print(line, " %s=FILE", p->fields[i].name);
    if (inputs == 1)
        nn_text_print(line, " FILE.npy");
}

static void show_next(const Trainer *t)
{
    const char *program = t->options.program;
    char path[NN_FILE_PATH];
    Text line = {0};

    printf("weights: %s\n\nnext:\n", t->path);
    if (find_sample_file(t, path)) {
        put_path(path, &line);
        printf("  %s predict %s\n", program, nn_text(&line));
    } else if (put_first_sample(t, &line)) {
        printf("  %s%s predict\n", nn_text(&line), program);
    } else {
        line.n = 0;
        put_inputs(t->p, &line);
        printf("  %s predict%s\n", program, nn_text(&line));
    }
    printf("  %s export\n", program);
    nn_text_free(&line);
}

bool nn_show_result(Trainer *t, const Clock *c, Fault *f)
{
    const char *why = nn_clock_over(c, &t->settings);
    char time[32], count[32];

    if (why != NULL && why[0] != '\0') {
        char line[100];

        snprintf(line, sizeof line, "stopped after epoch %lld: %s", (long long)c->epoch, why);
        nn_display_line(&t->display, line);
    }
    nn_display_clear(&t->display);
    if (c->has_best == 0) {
        printf("%s are in %s/last.safetensors\n",
               c->steps > 0 ? "no epoch was finished; the weights" : "no epoch was trained; the weights as drawn", t->run.directory);
        return true;
    }
    if (!load_best(t, f))
        return false;
    show_best(t, c);
    if (t->samples.split.n[SPLIT_TEST] > 0) {
        if (!nn_trainer_evaluate(t, SPLIT_TEST, NULL, f))
            return false;
        nn_print_metrics(t, SPLIT_TEST, false);
    }
    printf("time: %s", nn_duration_text(time, c->seconds));
    if (c->trained_seconds > 0)
        printf(", %s samples/s in training", nn_count_text(count, (int64_t)(c->trained_samples / c->trained_seconds)));
    printf("\n");
    show_next(t);
    return true;
}
