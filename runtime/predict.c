/* predict.c -- the command predict: what a trained model says to new data, as CSV or as JSON lines. */
#include "inputs.h"
#include "trainer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

typedef struct Prediction {
    Trainer *t;
    float **outputs; /* a batch of each */
    const char **classes; /* of the first output, where it is probabilities; NULL: their names are their numbers */
    int nclasses, nnames;
    bool json;
    bool files; /* the first column says of which file */
    Text file;
    Text line;
} Prediction;

/* --- where the samples come from --- */

static bool ends_in(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);

    return n >= m && strcmp(path + n - m, end) == 0;
}

/* The reader that a file's name, or its first bytes, ask for; gzip or not. */
static const char *reader_of(const char *path)
{
    unsigned char first[6] = {0};
    struct stat st;
    gzFile in;
    int n;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return "folder";
    if (ends_in(path, ".csv") || ends_in(path, ".csv.gz") || ends_in(path, ".tsv"))
        return "csv";
    if (ends_in(path, ".npy"))
        return "npy";
    in = gzopen(path, "rb");
    n = in != NULL ? gzread(in, first, sizeof first) : 0;
    if (in != NULL)
        gzclose(in);
    if (n == 6 && memcmp(first, "\x93NUMPY", 6) == 0)
        return "npy";
    if (n == 6 && (memcmp(first, "\x89PNG\r\n", 6) == 0 || memcmp(first, "\xff\xd8\xff", 3) == 0))
        return "folder";
    return n >= 4 && first[0] == 0 && first[1] == 0 && first[2] >= 8 && first[2] <= 14 ? "idx" : "csv";
}

/* Standard input as a file that has a size and can be read again; it has no name any more. */
static FILE *copy_standard_input(char path[64], Fault *f)
{
    FILE *copy = tmpfile();
    char part[65536];
    size_t n;

    if (copy == NULL) {
        nn_fail(f, EXIT_FILE, "cannot make a temporary file for standard input: %s", strerror(errno));
        return NULL;
    }
    while ((n = fread(part, 1, sizeof part, stdin)) > 0)
        if (fwrite(part, 1, n, copy) != n)
            nn_fail(f, EXIT_FILE, "cannot write a temporary file for standard input: %s", strerror(errno));
    if (ferror(stdin) || fflush(copy) != 0)
        nn_fail(f, EXIT_FILE, "cannot read standard input");
    snprintf(path, 64, "/proc/self/fd/%d", fileno(copy));
    return copy;
}

/* A file as a data section would name it. Pictures are brought to the size that they had in training, or that the model's
 * input has. */
typedef struct Source {
    nn_value call, size[3], parts[3];
    const char *names[3];
} Source;

static bool call_for_pictures(const nn_program *p, const nn_field *field, const char *path, Source *c, Fault *f)
{
    const nn_setting *s = nn_setting_find(p->data, p->ndata, "source");
    char shape[NN_SHAPE_TEXT];

    for (int i = 0; s != NULL && strcmp(s->value.text, "folder") == 0 && i < s->value.n; i++)
        for (int k = 1; k < 3; k++)
            if (s->value.names != NULL && s->value.names[i] != NULL ? strcmp(s->value.names[i], c->names[k]) == 0 : i == k)
                c->parts[k] = s->value.parts[i];
    if (c->parts[2].kind == NN_NUMBER && c->parts[2].number > 0)
        c->call.n = 3;
    if (c->parts[1].n > 0 || c->parts[1].number > 0)
        return true;
    if (field->rank != 3 || (field->shape[0] != 1 && field->shape[0] != 3))
        return nn_fail(f, EXIT_USAGE, "%s is a picture or a folder, but the model takes no pictures: %s is %s", path, field->name,
                       nn_shape_text(shape, field->rank, field->shape));
    for (int i = 0; i < 3; i++)
        c->size[i] = (nn_value){.kind = NN_NUMBER, .number = (double)field->shape[i]};
    c->parts[1] = (nn_value){.kind = NN_LIST, .n = 3, .parts = c->size};
    c->call.n = 2;
    return true;
}

/* Where the samples in a file come from, which are for this input. */
static bool describe(const nn_program *p, const nn_field *field, const char *reader, const char *path, Source *c, Fault *f)
{
    *c = (Source){.names = {"path", "size", "channels"}, .parts = {{.kind = NN_TEXT, .text = path}}};
    c->call = (nn_value){.kind = NN_CALL, .text = reader, .n = 1, .parts = c->parts};
    if (strcmp(reader, "folder") != 0)
        return true;
    c->call.n = 2;
    c->call.names = c->names;
    return call_for_pictures(p, field, path, c, f);
}

/* The input that takes a file, if nothing says which: the first of pictures, else the last. */
static const nn_field *any_input(const nn_program *p)
{
    const nn_field *field = &p->fields[0];

    for (int i = 0; i < p->nfields && field->rank != 3; i++)
        if (!p->fields[i].label)
            field = &p->fields[i];
    return field;
}

/* The samples are there: from now on they are read ahead. */
static bool start_samples(Prediction *q, const Data *data, Fault *f)
{
    Trainer *t = q->t;

    nn_ahead_end(&t->ahead);
    nn_samples_close(&t->samples);
    return nn_samples_new(t->p, data, &t->samples, f) && nn_ahead_start(&t->ahead, t->p, &t->samples, t->settings.threads, f);
}

static bool open_samples(Prediction *q, const char *path, Fault *f)
{
    bool standard = strcmp(path, "-") == 0;
    char own[64];
    FILE *copy = standard ? copy_standard_input(own, f) : NULL;
    const char *file = standard ? own : path;
    Source source;
    Data data;
    bool fine = f->status == 0 && describe(q->t->p, any_input(q->t->p), standard ? "csv" : reader_of(path), file, &source, f);
    Fault why = {0};

    if (fine && !(nn_data_open(&source.call, NULL, &data, &why) && start_samples(q, &data, &why))) {
        const char *at = standard ? strstr(why.text, own) : NULL;
        int before = at != NULL ? (int)(at - why.text) : 0;

        fine = at == NULL ? nn_fail(f, why.status, "%s", why.text)
                          : nn_fail(f, why.status, "%.*sstandard input%s", before, why.text, at + strlen(own));
    }
    if (copy != NULL)
        fclose(copy);
    return fine;
}

/* image=left.png: which input that is for, or -1. */
static int named_input(const nn_program *p, const char *file)
{
    for (int i = 0; i < p->nfields; i++) {
        size_t n = strlen(p->fields[i].name);

        if (!p->fields[i].label && strncmp(p->fields[i].name, file, n) == 0 && file[n] == '=')
            return i;
    }
    return -1;
}

static bool describe_inputs(const nn_program *p, const Options *o, Source *sources, Fault *f)
{
    for (int i = 0; i < o->nfiles; i++) {
        int k = named_input(p, o->files[i]);
        const char *path = k >= 0 ? o->files[i] + strlen(p->fields[k].name) + 1 : NULL;

        if (k < 0)
            return nn_fail(f, EXIT_USAGE, "predict is given a file for each input, and one of none: %s", o->files[i]);
        if (sources[k].call.text != NULL)
            return nn_fail(f, EXIT_USAGE, "predict is given two files for %s", p->fields[k].name);
        if (!describe(p, &p->fields[k], reader_of(path), path, &sources[k], f))
            return false;
    }
    for (int k = 0; k < p->nfields; k++)
        if (!p->fields[k].label && sources[k].call.text == NULL)
            return nn_fail(f, EXIT_USAGE, "predict is given a file for each input, but none for %s: %s=FILE", p->fields[k].name,
                           p->fields[k].name);
    return true;
}

static bool open_inputs(Prediction *q, Fault *f)
{
    const nn_program *p = q->t->p;
    Source *sources = nn_new(f, "the inputs", (size_t)p->nfields, sizeof *sources);
    nn_value *calls = nn_new(f, "the inputs", (size_t)p->nfields, sizeof *calls);
    bool fine = sources != NULL && calls != NULL && describe_inputs(p, &q->t->options, sources, f);
    Data data;

    for (int k = 0; fine && k < p->nfields; k++)
        calls[k] = sources[k].call;
    fine = fine && nn_inputs_open(p, calls, &data, f) && start_samples(q, &data, f);
    free(sources);
    free(calls);
    return fine;
}

/* --- what is said --- */

static int64_t output_size(const nn_output *o) { return nn_shape_size(o->rank, o->shape); }

/* Two classes may share one number: the probability of the second. */
static bool is_single(const Prediction *q) { return output_size(&q->t->p->outputs[0]) == 1; }

static bool name_classes(Prediction *q, Fault *f)
{
    const nn_program *p = q->t->p;

    if (p->noutputs > 0 && p->outputs[0].probabilities)
        q->nclasses = is_single(q) ? 2 : (int)output_size(&p->outputs[0]);
    return nn_trainer_classes(q->t, &q->classes, &q->nnames, f);
}

static const char *class_name(const Prediction *q, int i, char number[16])
{
    if (i < q->nnames)
        return q->classes[i];
    snprintf(number, 16, "%d", i);
    return number;
}

static int best_class(const Prediction *q, const float *x, float *probability)
{
    int best = 0;

    if (is_single(q)) {
        best = x[0] >= 0.5f;
        *probability = best == 1 ? x[0] : 1 - x[0];
        return best;
    }
    for (int i = 1; i < q->nclasses; i++)
        if (x[i] > x[best])
            best = i;
    *probability = x[best];
    return best;
}

/* "output", or "output.3" for an element of many. */
static void put_element_name(const nn_output *o, int64_t i, Text *t)
{
    Text name = {0};

    nn_text_print(&name, "%s", o->name);
    if (o->rank > 0)
        nn_text_print(&name, ".%lld", (long long)i);
    nn_text_csv(t, nn_text(&name));
    nn_text_free(&name);
}

static void put_header(const Prediction *q, Text *t)
{
    const nn_program *p = q->t->p;
    char number[16];
    bool first = true;

    if (q->files)
        nn_text_print(t, q->nclasses > 0 ? "file,class,probability" : "file");
    else if (q->nclasses > 0)
        nn_text_print(t, "class,probability");
    first = !q->files;
    for (int o = 0; o < p->noutputs; o++) {
        if (o == 0 && q->nclasses > 0 && is_single(q))
            continue;
        for (int64_t i = 0; i < output_size(&p->outputs[o]); i++) {
            nn_text_print(t, first && q->nclasses == 0 ? "" : ",");
            first = false;
            if (o == 0 && q->nclasses > 0)
                nn_text_csv(t, class_name(q, (int)i, number));
            else
                put_element_name(&p->outputs[o], i, t);
        }
    }
    nn_text_print(t, "\n");
}

static void put_csv(const Prediction *q, int b, Text *t)
{
    const nn_program *p = q->t->p;
    char number[16];
    bool first = !q->files;

    if (q->files)
        nn_text_csv(t, nn_text(&q->file));
    if (q->nclasses > 0) {
        const float *x = q->outputs[0] + b * output_size(&p->outputs[0]);
        float probability;

        nn_text_print(t, q->files ? "," : "");
        nn_text_csv(t, class_name(q, best_class(q, x, &probability), number));
        nn_text_print(t, ",");
        nn_text_float(t, probability);
    }
    for (int o = 0; o < p->noutputs; o++) {
        int64_t size = output_size(&p->outputs[o]);

        if (o == 0 && q->nclasses > 0 && is_single(q))
            continue;
        for (int64_t i = 0; i < size; i++) {
            nn_text_print(t, first && q->nclasses == 0 ? "" : ",");
            first = false;
            nn_text_float(t, q->outputs[o][b * size + i]);
        }
    }
    nn_text_print(t, "\n");
}

static void put_json_number(float x, Text *t)
{
    if (x - x == 0)
        nn_text_float(t, x);
    else
        nn_text_print(t, "null"); /* JSON has no inf */
}

static void put_json(const Prediction *q, int b, Text *t)
{
    const nn_program *p = q->t->p;
    char number[16];
    const char *name;

    nn_text_print(t, "{");
    if (q->files) {
        nn_text_print(t, "\"file\":");
        nn_text_json(t, nn_text(&q->file), strlen(nn_text(&q->file)));
    }
    if (q->nclasses > 0) {
        float probability;

        name = class_name(q, best_class(q, q->outputs[0] + b * output_size(&p->outputs[0]), &probability), number);
        nn_text_print(t, q->files ? ",\"class\":" : "\"class\":");
        nn_text_json(t, name, strlen(name));
        nn_text_print(t, ",\"probability\":");
        put_json_number(probability, t);
    }
    for (int o = 0; o < p->noutputs; o++) {
        const nn_output *output = &p->outputs[o];
        int64_t size = output_size(output);
        bool named = o == 0 && q->nclasses > 0 && !is_single(q);

        nn_text_print(t, o > 0 || q->nclasses > 0 || q->files ? "," : "");
        nn_text_json(t, named ? "probabilities" : output->name, named ? 13 : strlen(output->name));
        nn_text_print(t, ":%s", named ? "{" : output->rank > 0 ? "[" : "");
        for (int64_t i = 0; i < size; i++) {
            nn_text_print(t, i > 0 ? "," : "");
            if (named) {
                name = class_name(q, (int)i, number);
                nn_text_json(t, name, strlen(name));
                nn_text_print(t, ":");
            }
            put_json_number(q->outputs[o][b * size + i], t);
        }
        nn_text_print(t, "%s", named ? "}" : output->rank > 0 ? "]" : "");
    }
    nn_text_print(t, "}\n");
}

/* --- the command --- */

/* A file of a folder by the name that the folder was given by. */
static void name_file(Prediction *q, const char *path, int64_t sample)
{
    const Data *d = &q->t->samples.data;

    q->file.n = 0;
    nn_text_print(&q->file, "%s%s", path, d->files != NULL ? d->files[sample] + strlen(d->origin) : "");
}

static bool predict_samples(Prediction *q, const char *path, Fault *f)
{
    Trainer *t = q->t;
    int64_t n = t->samples.data.n;

    nn_ahead_begin(&t->ahead, NULL, 0, n, NULL);
    for (int64_t first = 0; first < n; first += t->p->batch) {
        int count, status;
        void **fields = nn_ahead_next(&t->ahead, &count, f);

        if (fields == NULL)
            return false;
        status = t->p->predict(t->ctx, t->scratch, (const void *const *)fields, count, q->outputs);
        if (status != NN_OK)
            return nn_trainer_fail(t, status, "prediction", f);
        q->line.n = 0;
        for (int b = 0; b < count; b++) {
            name_file(q, path, first + b);
            (q->json ? put_json : put_csv)(q, b, &q->line);
        }
        if (q->line.failed)
            return nn_fail_memory(f, "the predictions", q->line.n);
        if (fwrite(q->line.s, 1, q->line.n, stdout) != q->line.n)
            return nn_fail(f, EXIT_FILE, "cannot write the predictions: %s", strerror(errno));
    }
    return true;
}

static bool make_outputs(Prediction *q, Fault *f)
{
    const nn_program *p = q->t->p;

    q->outputs = nn_new(f, "the predictions", (size_t)p->noutputs, sizeof *q->outputs);
    for (int i = 0; i < p->noutputs && q->outputs != NULL; i++) {
        q->outputs[i] = nn_new(f, "the predictions", (size_t)p->batch, (size_t)output_size(&p->outputs[i]) * sizeof(float));
        if (q->outputs[i] == NULL)
            return false;
    }
    return q->outputs != NULL;
}

static void begin(Prediction *q)
{
    q->files = q->t->samples.data.files != NULL;
    if (q->json)
        return;
    put_header(q, &q->line);
    fputs(nn_text(&q->line), stdout);
}

static bool predict_all(Prediction *q, Fault *f)
{
    static const char *const standard[] = {"-"};
    const Options *o = &q->t->options;
    const char *const *files = o->nfiles > 0 ? o->files : standard;

    if (o->nfiles > 0 && named_input(q->t->p, files[0]) >= 0) {
        if (!open_inputs(q, f))
            return false;
        begin(q);
        return predict_samples(q, "", f);
    }
    for (int i = 0; i < (o->nfiles > 0 ? o->nfiles : 1); i++) {
        if (!open_samples(q, files[i], f))
            return false;
        if (i == 0)
            begin(q);
        if (!predict_samples(q, files[i], f))
            return false;
    }
    return true;
}

bool nn_predict(Trainer *t, Fault *f)
{
    const Options *o = &t->options;
    Prediction q = {.t = t, .json = o->format != NULL && strcmp(o->format, "json") == 0};
    bool fine;

    if (o->format != NULL && !q.json && strcmp(o->format, "csv") != 0)
        return nn_fail(f, EXIT_USAGE, "--format wants csv or json, not '%s'", o->format);
    if (o->nfiles == 0 && isatty(STDIN_FILENO))
        fprintf(stderr, "reading CSV from the keyboard; end with Ctrl-D\n");
    fine = nn_trainer_load(t, o->run, f) && make_outputs(&q, f) && name_classes(&q, f) && predict_all(&q, f);
    for (int i = 0; q.outputs != NULL && i < t->p->noutputs; i++)
        free(q.outputs[i]);
    free(q.outputs);
    nn_text_free(&q.line);
    nn_text_free(&q.file);
    return fine;
}
