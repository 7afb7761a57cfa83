/* clock.c -- see clock.h. */
#include "clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct { const char *name; size_t offset; } counts[] = {
    {"restart", offsetof(Clock, restart)},
    {"epoch", offsetof(Clock, epoch)},
    {"step", offsetof(Clock, step)},
    {"steps", offsetof(Clock, steps)},
    {"rows", offsetof(Clock, rows)},
    {"phase", offsetof(Clock, phase)},
    {"first_epoch", offsetof(Clock, first_epoch)},
    {"first_step", offsetof(Clock, first_step)},
    {"finished", offsetof(Clock, finished)},
    {"validating", offsetof(Clock, validating)},
    {"target", offsetof(Clock, target)},
    {"has_best", offsetof(Clock, has_best)},
    {"best_epoch", offsetof(Clock, best_epoch)},
    {"best_restart", offsetof(Clock, best_restart)},
}, numbers[] = {
    {"seconds", offsetof(Clock, seconds)},
    {"first_second", offsetof(Clock, first_second)},
    {"trained_seconds", offsetof(Clock, trained_seconds)},
    {"trained_samples", offsetof(Clock, trained_samples)},
    {"epoch_seconds", offsetof(Clock, epoch_seconds)},
    {"train_seconds", offsetof(Clock, train_seconds)},
    {"waiting_seconds", offsetof(Clock, waiting_seconds)},
    {"valid_loss", offsetof(Clock, valid_loss)},
    {"lr", offsetof(Clock, lr)},
    {"best", offsetof(Clock, best)},
};
/* clang-format on */

enum { NCOUNTS = sizeof counts / sizeof counts[0], NNUMBERS = sizeof numbers / sizeof numbers[0] };

static void put_number(Text *t, const char *key, int i, double x)
{
    nn_text_print(t, ",\"%s", key);
    if (i >= 0)
        nn_text_print(t, ".%d", i);
    nn_text_print(t, "\":\"");
    nn_text_number(t, x);
    nn_text_print(t, "\"");
}

void nn_clock_write(const nn_program *p, const Settings *s, const Clock *c, Text *notes)
{
    for (int i = 0; i < NCOUNTS; i++)
        nn_text_print(notes, ",\"%s\":\"%lld\"", counts[i].name,
                      (long long)*(const int64_t *)(const void *)((const char *)c + counts[i].offset));
    for (int i = 0; i < NNUMBERS; i++)
        put_number(notes, numbers[i].name, -1, *(const double *)(const void *)((const char *)c + numbers[i].offset));
    for (int i = 0; i < s->nstops; i++) {
        put_number(notes, "stop_best", i, c->stop_best[i]);
        put_number(notes, "stop_epoch", i, (double)c->stop_epoch[i]);
    }
    for (int i = 0; i < p->nmetrics && c->validating != 0; i++)
        put_number(notes, "train", i, c->train[i]);
}

/* An array of a clock is as long as the settings were when it was written; what is not there keeps its start. */
static bool read_array(const Checkpoint *from, const char *key, int i, double *x, Fault *f)
{
    char name[40];

    snprintf(name, sizeof name, "%s.%d", key, i);
    return nn_safetensors_note(&from->st, name) == NULL || nn_checkpoint_number(from, name, x, f);
}

bool nn_clock_read(const nn_program *p, const Settings *s, const Checkpoint *from, Clock *c, Fault *f)
{
    *c = (Clock){0};
    for (int i = 0; i < NCOUNTS; i++)
        if (!nn_checkpoint_count(from, counts[i].name, (int64_t *)(void *)((char *)c + counts[i].offset), f))
            return false;
    for (int i = 0; i < NNUMBERS; i++)
        if (!nn_checkpoint_number(from, numbers[i].name, (double *)(void *)((char *)c + numbers[i].offset), f))
            return false;
    for (int i = 0; i < s->nstops; i++) {
        double epoch = 0;

        c->stop_best[i] = (double)NAN;
        if (!read_array(from, "stop_best", i, &c->stop_best[i], f) || !read_array(from, "stop_epoch", i, &epoch, f))
            return false;
        c->stop_epoch[i] = epoch >= 0 && epoch <= (double)c->epoch ? (int64_t)epoch : 0;
    }
    for (int i = 0; i < p->nmetrics; i++)
        if (!read_array(from, "train", i, &c->train[i], f))
            return false;
    return true;
}

static void begin_phase(Clock *c, int64_t phase)
{
    c->phase = phase;
    c->first_epoch = c->epoch;
    c->first_step = c->steps;
    c->first_second = c->seconds;
    c->target = 0;
    c->valid_loss = (double)INFINITY;
    for (int i = 0; i < NN_MAX_STOPS; i++) {
        c->stop_best[i] = (double)NAN;
        c->stop_epoch[i] = c->epoch;
    }
}

void nn_clock_phase(Clock *c) { begin_phase(c, c->phase + 1); }

void nn_clock_restart(Clock *c, int64_t restart)
{
    double before = restart > 0 ? c->first_second : 0; /* a limit of time is for all restarts together */

    c->restart = restart;
    c->epoch = c->step = c->steps = 0;
    c->finished = c->validating = 0;
    c->epoch_seconds = c->train_seconds = c->waiting_seconds = 0;
    begin_phase(c, 0);
    c->first_second = before;
}

bool nn_monitor_better(const Monitor *m, double value, double than)
{
    if (isnan(than))
        return !isnan(value);
    return m->higher_is_better ? value > than : value < than;
}

static double monitor_value(const Monitor *m, const double *train, const double *valid)
{
    return (m->split == SPLIT_VALID && valid != NULL ? valid : train)[m->metric];
}

static bool is_met(const Stop *stop, double value)
{
    switch (stop->compare) {
    case LESS: return value < stop->number;
    case LESS_EQUAL: return value <= stop->number;
    case EQUAL: return value == stop->number;
    case GREATER_EQUAL: return value >= stop->number;
    case GREATER: return value > stop->number;
    }
    return false;
}

bool nn_clock_epoch(Clock *c, const Settings *s, const double *train, const double *valid)
{
    double value = monitor_value(&s->best, train, valid);
    bool best = c->has_best == 0 || nn_monitor_better(&s->best, value, c->best);

    c->epoch++;
    c->rows++;
    c->step = 0;
    c->validating = 0;
    c->epoch_seconds = c->train_seconds = c->waiting_seconds = 0;
    c->valid_loss = (valid != NULL ? valid : train)[0];
    if (best) {
        c->has_best = 1;
        c->best = value;
        c->best_epoch = c->epoch;
        c->best_restart = c->restart;
    }
    for (int i = 0; i < s->nstops; i++) {
        const Stop *stop = &s->stops[i];

        if (stop->kind == STOP_SECONDS)
            continue;
        value = monitor_value(&stop->monitor, train, valid);
        if (stop->kind == STOP_TARGET && is_met(stop, value))
            c->target = 1;
        if (stop->kind == STOP_PATIENCE && nn_monitor_better(&stop->monitor, value, c->stop_best[i])) {
            c->stop_best[i] = value;
            c->stop_epoch[i] = c->epoch;
        }
    }
    return best;
}

const char *nn_clock_over(const Clock *c, const Settings *s)
{
    if (c->target != 0)
        return "the target is reached";
    for (int i = 0; i < s->nstops; i++) {
        if (s->stops[i].kind == STOP_PATIENCE && (double)(c->epoch - c->stop_epoch[i]) >= s->stops[i].number)
            return "it no longer improves";
        if (s->stops[i].kind == STOP_SECONDS && c->seconds - c->first_second >= s->stops[i].number)
            return "its time is over";
    }
    if (s->steps > 0 ? c->steps - c->first_step >= s->steps : c->epoch - c->first_epoch >= s->epochs)
        return "";
    return NULL;
}
