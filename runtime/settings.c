/* settings.c -- see settings.h. */
#include "settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const nn_split_names[NN_SPLITS] = {"train", "valid", "test"};

/* A fault at a line of the .nn file. */
static bool fail_at(const nn_program *p, const nn_setting *s, Fault *f, const char *what, const char *word)
{
    return nn_fail(f, EXIT_USAGE, "%s:%d:%d: %s = %s: %s%s", p->source, s->line, s->column, s->name, s->text, what, word);
}

static const nn_setting *train_setting(const nn_program *p, const char *name)
{
    return nn_setting_find(p->train, p->ntrain, name);
}

static bool read_count(const nn_program *p, const char *name, const GivenNumber *given, double least, double *to,
                       Fault *f)
{
    const nn_setting *s = train_setting(p, name);

    if (given != NULL && given->given) {
        *to = given->value;
    } else if (s != NULL) {
        if (s->value.kind != NN_NUMBER && s->value.kind != NN_DURATION)
            return fail_at(p, s, f, "expected a number", "");
        *to = s->value.number;
    } else {
        return true;
    }
    if (*to < least || *to != floor(*to) || *to > 9007199254740992.0)
        return s != NULL && (given == NULL || !given->given)
                   ? fail_at(p, s, f, "expected a whole number, at least ", least > 0 ? "1" : "0")
                   : nn_fail(f, EXIT_USAGE, "--%s wants a whole number, at least %.0f", name, least);
    return true;
}

/* --- monitors --- */

static const char *value_word(const nn_value *v)
{
    return v->kind == NN_WORD || v->kind == NN_TEXT || v->kind == NN_CALL ? v->text : NULL;
}

static bool fail_metric(const nn_program *p, const nn_setting *s, const char *name, Fault *f)
{
    const char *names[64], *near;
    int n = 0;
    char help[160] = "";

    names[n++] = "loss";
    for (int i = 1; i < p->nmetrics && n < 64; i++)
        names[n++] = p->metrics[i].name;
    near = nn_nearest(name, names, n);
    if (near != NULL)
        snprintf(help, sizeof help, "; did you mean %s?", near);
    return nn_fail(f, EXIT_USAGE, "%s:%d:%d: %s = %s: %s is no metric of this training%s", p->source, s->line, s->column, s->name,
                   s->text, name, help);
}

/* "accuracy", "valid.accuracy", "train.loss". */
static bool read_monitor(const nn_program *p, const nn_setting *s, const char *word, bool validates, Monitor *m,
                         Fault *f)
{
    *m = (Monitor){.split = validates ? SPLIT_VALID : SPLIT_TRAIN};
    if (strncmp(word, "valid.", 6) == 0) {
        if (!validates)
            return fail_at(p, s, f, "there is no validation: set valid in the data section", "");
        word += 6;
    } else if (strncmp(word, "train.", 6) == 0) {
        m->split = SPLIT_TRAIN;
        word += 6;
    }
    if (strcmp(word, "loss") == 0)
        return true;
    for (int i = 0; i < p->nmetrics; i++) {
        if (strcmp(p->metrics[i].name, word) != 0)
            continue;
        if (p->metrics[i].rank != 0)
            return fail_at(p, s, f, "it needs a metric that is one number, and this is a table: ", word);
        m->metric = i;
        m->higher_is_better = p->metrics[i].higher_is_better;
        return true;
    }
    return fail_metric(p, s, word, f);
}

/* --- stop --- */

static bool read_patience(const nn_program *p, const nn_setting *s, const nn_value *v, const Monitor *best,
                          bool validates, Stop *stop, Fault *f)
{
    *stop = (Stop){.kind = STOP_PATIENCE, .monitor = *best};
    if (v->n < 1 || (v->parts[0].kind != NN_NUMBER && v->parts[0].kind != NN_DURATION) ||
        (v->parts[0].kind == NN_DURATION && strcmp(v->parts[0].text, "epochs") != 0) || v->parts[0].number < 1)
        return fail_at(p, s, f, "patience wants a number of epochs, as in patience(3 epochs)", "");
    stop->number = v->parts[0].number;
    if (v->n < 2)
        return true;
    if (value_word(&v->parts[1]) == NULL)
        return fail_at(p, s, f, "patience wants a metric as its second part, as in patience(3, valid.accuracy)", "");
    return read_monitor(p, s, v->parts[1].text, validates, &stop->monitor, f);
}

/* "=="(errors, 0), or target(errors, "==", 0). */
static bool read_target(const nn_program *p, const nn_setting *s, const nn_value *v, bool validates, Stop *stop,
                        Fault *f)
{
    static const char *const compares[] = {"<", "<=", "==", ">=", ">"};
    const char *compare = strcmp(v->text, "target") == 0 && v->n == 3 ? value_word(&v->parts[1]) : v->text;

    *stop = (Stop){.kind = STOP_TARGET};
    if (v->n < 2 || compare == NULL || value_word(&v->parts[0]) == NULL ||
        (v->parts[v->n - 1].kind != NN_NUMBER && v->parts[v->n - 1].kind != NN_PERCENT))
        return fail_at(p, s, f, "expected a metric, a comparison and a number, as in errors == 0", "");
    stop->number = v->parts[v->n - 1].number / (v->parts[v->n - 1].kind == NN_PERCENT ? 100 : 1);
    for (int i = 0; i < 5; i++) {
        if (strcmp(compare, compares[i]) != 0)
            continue;
        stop->compare = i;
        return read_monitor(p, s, v->parts[0].text, validates, &stop->monitor, f);
    }
    return fail_at(p, s, f, "unknown condition ", v->text);
}

static bool read_stop(const nn_program *p, const nn_setting *s, const nn_value *v, bool validates, Settings *to,
                      Fault *f)
{
    Stop *stop = &to->stops[to->nstops];

    if (v->kind == NN_LIST) {
        for (int i = 0; i < v->n; i++)
            if (!read_stop(p, s, &v->parts[i], validates, to, f))
                return false;
        return true;
    }
    if (to->nstops == NN_MAX_STOPS)
        return fail_at(p, s, f, "too many conditions", "");
    to->nstops++;
    if (v->kind == NN_DURATION && strcmp(v->text, "seconds") == 0) {
        *stop = (Stop){.kind = STOP_SECONDS, .number = v->number};
        return true;
    }
    if (v->kind == NN_CALL && strcmp(v->text, "patience") == 0)
        return read_patience(p, s, v, &to->best, validates, stop, f);
    if (v->kind == NN_CALL)
        return read_target(p, s, v, validates, stop, f);
    return fail_at(p, s, f, "expected patience(n), a condition such as errors == 0, or a time such as 30 minutes", "");
}

static bool read_stops(const nn_program *p, const Options *o, bool validates, Settings *s, Fault *f)
{
    const nn_setting *stop = train_setting(p, "stop");
    double epochs = 0;

    if (stop != NULL && !read_stop(p, stop, &stop->value, validates, s, f))
        return false;
    if (!o->patience.given)
        return true;
    if (!read_count(p, "patience", &o->patience, 1, &epochs, f))
        return false;
    /* --patience replaces the one in the file. */
    for (int i = 0; i < s->nstops; i++) {
        if (s->stops[i].kind == STOP_PATIENCE) {
            s->stops[i].number = epochs;
            return true;
        }
    }
    if (s->nstops == NN_MAX_STOPS)
        return nn_fail(f, EXIT_USAGE, "%s: too many conditions to stop", p->source);
    s->stops[s->nstops++] = (Stop){.kind = STOP_PATIENCE, .monitor = s->best, .number = epochs};
    return true;
}

static bool read_best(const nn_program *p, bool validates, Settings *s, Fault *f)
{
    const nn_setting *c = train_setting(p, "checkpoint");

    s->best = (Monitor){.split = validates ? SPLIT_VALID : SPLIT_TRAIN};
    if (c == NULL)
        return true;
    if (c->value.kind != NN_CALL || strcmp(c->value.text, "best") != 0 || c->value.n != 1 ||
        value_word(&c->value.parts[0]) == NULL)
        return fail_at(p, c, f, "expected best(METRIC), as in best(valid.accuracy)", "");
    return read_monitor(p, c, c->value.parts[0].text, validates, &s->best, f);
}

/* --- splits --- */

static bool read_share(const nn_program *p, const char *name, const char *given, Share *share, Fault *f)
{
    const nn_setting *s = nn_setting_find(p->data, p->ndata, name);
    char *end;

    *share = (Share){0};
    if (given != NULL) {
        share->number = strtod(given, &end);
        share->kind = *end == '%' ? SHARE_PERCENT : SHARE_COUNT;
        end += *end == '%';
        if (end == given || *end != '\0' || !(share->number >= 0))
            return nn_fail(f, EXIT_USAGE, "--%s wants a number of samples or a part of all, such as 10%%, not '%s'",
                           name, given);
    } else if (s != NULL) {
        if (s->value.kind != NN_NUMBER && s->value.kind != NN_PERCENT &&
            !(s->value.kind == NN_DURATION && strcmp(s->value.text, "samples") == 0))
            return fail_at(p, s, f, "expected a number of samples, or a part of all such as 10%", "");
        share->number = s->value.number;
        share->kind = s->value.kind == NN_PERCENT ? SHARE_PERCENT : SHARE_COUNT;
    }
    if (share->kind == SHARE_PERCENT ? share->number > 100 : share->number != floor(share->number))
        return nn_fail(f, EXIT_USAGE, "%s: %s", name,
                       share->kind == SHARE_PERCENT ? "more than 100%" : "expected a whole number of samples");
    if (share->number == 0)
        share->kind = SHARE_NONE;
    return true;
}

bool nn_share_count(const Share *share, int64_t n, const char *name, int64_t *count, Fault *f)
{
    double part = share->kind == SHARE_PERCENT ? floor((double)n * share->number / 100 + 0.5) : share->number;

    *count = 0;
    if (share->kind == SHARE_NONE)
        return true;
    if (!(part < (double)n))
        return nn_fail(f, EXIT_USAGE, "%s takes %.0f samples, but there are only %lld", name, part, (long long)n);
    *count = (int64_t)part;
    return true;
}

/* --- memory --- */

/* "4GB", "500MB", "25%"; half of the machine's memory where nothing is given. */
static bool read_cache(const char *given, double *bytes, Fault *f)
{
    static const struct { const char *name; double bytes; } units[] = {{"", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}};
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE), number;
    char *end;

    *bytes = 0.5 * memory;
    if (given == NULL)
        return true;
    number = strtod(given, &end);
    *bytes = -1;
    if (strcmp(end, "%") == 0 && number <= 100)
        *bytes = number / 100 * memory;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].name) == 0)
            *bytes = number * units[i].bytes;
    return (end != given && *bytes >= 0 && *bytes <= 1e18) ||
           nn_fail(f, EXIT_USAGE, "--cache wants a size such as 500MB or 4GB, or a part of the machine's memory such as 25%%, not '%s'", given);
}

/* --- all --- */

bool nn_settings_resolve(const nn_program *p, const Options *o, Settings *s, Fault *f)
{
    double epochs = 10, steps = 0, seed = 0, threads = 0, restarts = 1, accumulate = 1;
    bool validates;

    *s = (Settings){.lr_given = o->lr.given, .lr = o->lr.value};
    if (!read_share(p, "valid", o->valid, &s->valid, f) || !read_share(p, "test", o->test, &s->test, f) ||
        !read_cache(o->cache, &s->cache, f))
        return false;
    validates = s->valid.kind != SHARE_NONE;
    if (!read_count(p, "epochs", &o->epochs, 0, &epochs, f) || !read_count(p, "steps", &o->steps, 0, &steps, f) ||
        !read_count(p, "seed", &o->seed, 0, &seed, f) || !read_count(p, "threads", &o->threads, 0, &threads, f) ||
        !read_count(p, "restarts", &o->restarts, 1, &restarts, f) ||
        !read_count(p, "accumulate", NULL, 1, &accumulate, f))
        return false;
    s->epochs = (int64_t)epochs;
    s->steps = o->epochs.given ? 0 : (int64_t)steps; /* --epochs replaces steps of the file */
    s->seed = (uint64_t)seed;
    s->threads = (int)threads;
    s->restarts = (int)restarts;
    s->accumulate = (int)accumulate;
    return read_best(p, validates, s, f) && read_stops(p, o, validates, s, f);
}
