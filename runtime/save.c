/* save.c -- see save.h. */
#include "save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- notes --- */

static void put_text(Text *t, const char *key, const char *text)
{
    nn_text_json(t, key, strlen(key));
    nn_text_print(t, ":");
    nn_text_json(t, text, strlen(text));
}

static void put_settings(Text *t, const nn_setting *settings, int n)
{
    nn_text_print(t, "{");
    for (int i = 0; i < n; i++) {
        nn_text_print(t, i > 0 ? "," : "");
        put_text(t, settings[i].name, settings[i].text);
    }
    nn_text_print(t, "}");
}

static void put_class_names(const Trainer *t, Text *to)
{
    int field = nn_samples_label(t->p, &t->samples);
    const Column *label = field >= 0 ? &t->samples.data.columns[t->samples.columns[field]] : NULL;
    const char *trained = nn_safetensors_note(&t->checkpoint.st, "classes");
    char number[16];

    if (trained != NULL && strlen(trained) > 2) { /* a resumed training keeps its classes */
        nn_text_add(to, trained + 1, strlen(trained) - 2);
        return;
    }
    if (label == NULL || label->classes == 0)
        return;
    for (int i = 0; i < label->classes; i++) {
        const char *name = nn_data_class_name(label, i, number);

        nn_text_print(to, i > 0 ? "," : "");
        nn_text_json(to, name, strlen(name));
    }
}

/* A list or an object as the text of a note. */
static void put_note(Text *notes, const char *key, const char *open, const Text *inside, const char *close)
{
    nn_text_print(notes, ",\"%s\":\"%s", key, open);
    nn_text_escape(notes, nn_text(inside), inside->n);
    nn_text_print(notes, "%s\"", close);
}

static void put_fixed(Text *notes, const Trainer *t)
{
    const nn_program *p = t->p;
    Text part = {0};

    put_text(notes, "format", "pt");
    nn_text_print(notes, ",");
    put_text(notes, "nnc", p->version);
    nn_text_print(notes, ",");
    put_text(notes, "model", p->name);
    nn_text_print(notes, ",");
    put_text(notes, "source", p->source);
    nn_text_print(notes, ",\"program\":\"%08x\",\"seed\":\"%llu\"", (unsigned)nn_program_fingerprint(p),
                  (unsigned long long)t->settings.seed);
    put_settings(&part, p->options, p->noptions);
    put_note(notes, "options", "", &part, "");
    part.n = 0;
    put_class_names(t, &part);
    if (part.n > 0)
        put_note(notes, "classes", "[", &part, "]");
    part.n = 0;
    nn_options_overrides(&t->options, &part);
    put_note(notes, "overrides", "[", &part, "]");
    notes->failed = notes->failed || part.failed;
    nn_text_free(&part);
}

/* --- saving --- */

bool nn_saver_start(Saver *s, Trainer *t, Fault *f)
{
    *s = (Saver){0};
    put_fixed(&s->fixed, t);
    return !s->fixed.failed || nn_fail_memory(f, "the notes of a checkpoint", s->fixed.n);
}

void nn_saver_end(Saver *s)
{
    nn_safetensors_image_free(&s->best);
    nn_safetensors_image_free(&s->last);
    nn_text_free(&s->fixed);
    nn_text_free(&s->notes);
}

static bool build(Saver *s, Trainer *t, const Clock *c, Keep keep, StImage *image, Fault *f)
{
    s->notes.n = 0;
    nn_text_add(&s->notes, nn_text(&s->fixed), s->fixed.n);
    nn_clock_write(t->p, &t->settings, c, &s->notes);
    if (s->notes.failed)
        return nn_fail_memory(f, "the notes of a checkpoint", s->notes.n);
    return nn_checkpoint_build(t->p, t->ctx, keep, nn_text(&s->notes), t->sources, image, f);
}

/* When and how fast must not be in a file that is to be the same for the same seed. */
static Clock without_time(const Clock *c)
{
    Clock timeless = *c;

    timeless.seconds = timeless.trained_seconds = timeless.epoch_seconds = timeless.train_seconds = 0;
    return timeless;
}

bool nn_saver_best(Saver *s, Trainer *t, const Clock *c, Fault *f)
{
    Clock timeless = without_time(c);

    s->best_waits = true;
    return build(s, t, &timeless, KEEP_WEIGHTS, &s->best, f);
}

static bool save_image(const Trainer *t, const char *name, const StImage *image, Fault *f)
{
    char path[NN_FILE_PATH];

    return nn_file_save(nn_run_path(&t->run, name, path), image->bytes, image->n, f);
}

bool nn_saver_save(Saver *s, Trainer *t, const Clock *c, bool now, Fault *f)
{
    double start = nn_seconds();
    Keep keep = c->step > 0 && c->validating == 0 ? KEEP_SUMS : KEEP_STATE;
    Clock timeless = without_time(c);

    if (!now && start - s->saved < 1 + 10 * s->cost)
        return true;
    if (!build(s, t, c->finished != 0 ? &timeless : c, keep, &s->last, f))
        return false;
    if (s->best_waits && !save_image(t, "best.safetensors", &s->best, f))
        return false;
    s->best_waits = false;
    if (!save_image(t, "last.safetensors", &s->last, f))
        return false;
    s->saved = nn_seconds();
    s->cost = s->saved - start;
    return true;
}

/* --- config.json --- */

static void put_line(Text *t, const char *key, const char *text)
{
    nn_text_print(t, "  ");
    put_text(t, key, text);
    nn_text_print(t, ",\n");
}

static void put_block(Text *t, const char *key, const nn_setting *settings, int n)
{
    nn_text_print(t, "  \"%s\": ", key);
    put_settings(t, settings, n);
    nn_text_print(t, ",\n");
}

static int64_t weights_of(const nn_program *p)
{
    int64_t n = 0;

    for (int i = 0; i < p->ntensors; i++)
        if (p->tensors[i].kind == NN_PARAM)
            n += nn_shape_size(p->tensors[i].rank, p->tensors[i].shape);
    return n;
}

bool nn_config_write(const Trainer *t, Fault *f)
{
    const nn_program *p = t->p;
    const Settings *s = &t->settings;
    char path[NN_FILE_PATH], now[40];
    time_t clock = time(NULL);
    struct tm tm;
    Text out = {0}, part = {0};
    bool fine;

    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&clock, &tm));
    nn_text_print(&out, "{\n");
    put_line(&out, "model", p->name);
    put_line(&out, "source", p->source);
    put_line(&out, "nnc", p->version);
    put_line(&out, "target", p->target);
    put_line(&out, "started", now);
    nn_text_print(&out, "  \"weights\": %lld,\n  \"batch\": %d,\n  \"seed\": %llu,\n", (long long)weights_of(p), p->batch,
                  (unsigned long long)s->seed);
    nn_text_print(&out, "  \"%s\": %lld,\n  \"restarts\": %d,\n  \"accumulate\": %d,\n  \"lr\": ",
                  s->steps > 0 ? "steps" : "epochs", (long long)(s->steps > 0 ? s->steps : s->epochs), s->restarts,
                  s->accumulate);
    nn_text_number(&out, s->lr_given ? s->lr : t->scalars[NN_BASE_LR]);
    nn_text_print(&out, ",\n  \"samples\": {\"train\": %lld, \"valid\": %lld, \"test\": %lld},\n",
                  (long long)t->samples.split.n[SPLIT_TRAIN], (long long)t->samples.split.n[SPLIT_VALID],
                  (long long)t->samples.split.n[SPLIT_TEST]);
    put_line(&out, "read", t->samples.data.origin);
    put_block(&out, "options", p->options, p->noptions);
    put_block(&out, "data", p->data, p->ndata);
    put_block(&out, "train", p->train, p->ntrain);
    nn_text_print(&out, "  \"command_line\": [");
    nn_options_overrides(&t->options, &part);
    nn_text_add(&out, nn_text(&part), part.n);
    nn_text_print(&out, "]\n}\n");
    fine = out.failed ? nn_fail_memory(f, "config.json", out.n)
                      : nn_file_save(nn_run_path(&t->run, "config.json", path), out.s, out.n, f);
    nn_text_free(&out);
    nn_text_free(&part);
    return fine;
}
