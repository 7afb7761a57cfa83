/* train.c -- the training loop: restarts of epochs of updates.
 *
 * Everything that decides what comes next is in the context (tensors) and the Clock, and both are in every
 * last.safetensors: a training that is stopped anywhere and resumed ends with the same bits. Nothing is allocated
 * between the first update and the last, but by saving and by reading pictures. */
#include "clock.h"
#include "finish.h"
#include "save.h"
#include "trainer.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Training {
    Trainer *t;
    Clock clock;
    Saver saver;
    void **fields; /* of the last batch */
    int64_t update_samples, steps_per_epoch, total_steps;
    double valid[NN_MAX_METRICS];
    double epoch_start, part_start; /* of what has not been counted yet */
    Text line;                      /* of the log, and for the user */
} Training;

/* --- signals --- */

static volatile sig_atomic_t signalled;

static void on_signal(int number) { signalled = number; }

/* The second one of a kind ends the program at once: nothing on the disk can be half written. */
static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    signalled = 0;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGUSR1, &a, NULL);
}

/* --- stopping --- */

/* The time since `start` is counted, and `start` becomes now. */
static void count_time(Training *r)
{
    double now = nn_seconds();

    r->clock.seconds += now - r->epoch_start;
    r->clock.epoch_seconds += now - r->epoch_start;
    r->epoch_start = now;
}

static void count_training_time(Training *r)
{
    double now = nn_seconds();

    r->clock.train_seconds += now - r->part_start;
    r->clock.trained_seconds += now - r->part_start;
    r->clock.waiting_seconds += r->t->ahead.waited;
    r->t->ahead.waited = 0;
    r->part_start = now;
}

/* Saves, and says why it ends here and how to go on; never true. */
static bool stop_here(Training *r, int status, const char *why, Fault *f)
{
    const char *run = strrchr(r->t->run.directory, '/');

    count_time(r);
    if (!nn_saver_save(&r->saver, r->t, &r->clock, true, f))
        return false;
    return nn_fail(f, status, "%sstopped after epoch %lld, step %lld; saved in %s. Go on with: %s resume %s", why,
                   (long long)r->clock.epoch, (long long)r->clock.step, r->t->run.directory, r->t->options.program,
                   run != NULL ? run + 1 : r->t->run.directory);
}

/* A sample could not be read, as f says. Half an update cannot be saved. */
static bool stop_unread(Training *r, bool half, Fault *f)
{
    Fault why = *f;
    char text[1200];

    f->status = 0;
    if (half)
        return nn_fail(f, why.status, "%s; %s/last.safetensors is from before", why.text, r->t->run.directory);
    snprintf(text, sizeof text, "%.1100s; ", why.text);
    return stop_here(r, why.status, text, f);
}

/* --- one update --- */

static bool fail_not_finite(const Training *r, int n, Fault *f)
{
    const nn_program *p = r->t->p;
    const nn_tensor *bad = nn_tensor_not_finite(p, r->t->ctx);
    char field[200], where[300];

    if (!nn_trainer_demands(r->t, r->fields, n, f))
        return false;
    if (bad != NULL)
        snprintf(where, sizeof where, "%s holds inf or nan (%s:%d)", bad->name, p->source, bad->line);
    else if (nn_fields_not_finite(p, r->fields, n, field, sizeof field))
        snprintf(where, sizeof where, "%s", field);
    else
        snprintf(where, sizeof where, "weights and data are finite, so the forward or backward pass overflowed");
    return nn_fail(f, EXIT_NOT_FINITE,
                   "the loss is not finite in epoch %lld, step %lld: %s. A smaller learning rate (--lr) or clip may "
                   "help. %s/last.safetensors is from before",
                   (long long)r->clock.epoch + 1, (long long)r->clock.step + 1, where, r->t->run.directory);
}

/* One update of the weights: the samples of up to `accumulate` batches. */
static bool update(Training *r, Fault *f)
{
    Trainer *t = r->t;
    int64_t first = r->clock.step * r->update_samples, n = t->samples.split.n[SPLIT_TRAIN] - first;

    if (n > r->update_samples)
        n = r->update_samples;
    t->scalars[NN_TOTAL] = (double)n;
    for (int64_t done = 0; done < n;) {
        int count, status;

        r->fields = nn_ahead_next(&t->ahead, &count, f);
        if (r->fields == NULL) {
            count_training_time(r);
            return stop_unread(r, done > 0, f);
        }
        done += count;
        t->scalars[NN_COUNT] = count;
        t->scalars[NN_LAST] = done == n;
        t->scalars[NN_STEPS] = (double)(r->clock.steps - r->clock.first_step);
        status = t->p->step(t->ctx, (const void *const *)r->fields, count);
        if (status == NN_ENOTFINITE)
            return fail_not_finite(r, count, f);
        if (status != NN_OK)
            return nn_trainer_fail(t, status, "training", f);
    }
    r->clock.step++;
    r->clock.steps++;
    r->clock.trained_samples += (double)n;
    r->clock.lr = t->scalars[NN_LR];
    return true;
}

/* --- what the user sees --- */

static double seconds_per_update(const Training *r)
{
    double now = r->clock.train_seconds + nn_seconds() - r->part_start;

    return r->clock.step > 0 ? now / (double)r->clock.step : 0;
}

static double samples_per_second(const Training *r)
{
    double seconds = r->clock.train_seconds, n = (double)(r->clock.step * r->update_samples);
    double all = (double)r->t->samples.split.n[SPLIT_TRAIN];

    return seconds > 0 ? (n < all ? n : all) / seconds : 0;
}

/* The epoch that this phase ends with, unless a condition stops it before. */
static int64_t last_epoch(const Training *r)
{
    return r->clock.first_epoch + (r->total_steps + r->steps_per_epoch - 1) / r->steps_per_epoch;
}

static void put_where(const Training *r, Text *t)
{
    const Settings *s = &r->t->settings;

    if (s->restarts > 1)
        nn_text_print(t, "restart %lld/%d  ", (long long)r->clock.restart + 1, s->restarts);
    if (r->t->p->nphases > 0)
        nn_text_print(t, "%s  ", r->t->p->phases[r->clock.phase].name);
    nn_text_print(t, "epoch %lld/%lld", (long long)r->clock.epoch + 1, (long long)last_epoch(r));
}

static void show_move(Training *r)
{
    char figures[120];
    double each = seconds_per_update(r);

    if (!nn_display_due(&r->t->display) || r->t->p->report(r->t->ctx) != NN_OK)
        return;
    r->line.n = 0;
    put_where(r, &r->line);
    snprintf(figures, sizeof figures, "loss %.4g  %.0f samples/s", *nn_trainer_metric(r->t, 0),
             each > 0 ? (double)r->update_samples / each : 0);
    nn_display_move(&r->t->display, nn_text(&r->line), (double)r->clock.step, (double)r->steps_per_epoch, figures,
                    each * (double)(r->total_steps - (r->clock.steps - r->clock.first_step)));
}

static void put_metrics(const Training *r, const double *values, Text *t)
{
    const nn_program *p = r->t->p;

    for (int i = 0; i < p->nmetrics; i++)
        if (p->metrics[i].rank == 0)
            nn_text_print(t, "  %s %.4g", i == 0 ? "loss" : p->metrics[i].name, values[i]);
}

/* Of thousands of epochs a hundred lines are enough: the log has them all. */
static bool is_shown(const Training *r)
{
    int64_t epochs = last_epoch(r), every = epochs > 100 ? (epochs + 99) / 100 : 1;

    return (r->clock.epoch + 1) % every == 0 || r->clock.epoch == 0 || r->clock.epoch + 1 == epochs;
}

static void show_epoch(Training *r, const double *valid)
{
    char seconds[32];

    if (!is_shown(r))
        return;
    r->line.n = 0;
    put_where(r, &r->line);
    put_metrics(r, r->clock.train, &r->line);
    if (valid != NULL) {
        nn_text_print(&r->line, "  | valid");
        put_metrics(r, valid, &r->line);
    }
    nn_text_print(&r->line, "  | lr %.3g  %s  %.0f samples/s", r->clock.lr,
                  nn_duration_text(seconds, r->clock.epoch_seconds), samples_per_second(r));
    nn_display_line(&r->t->display, nn_text(&r->line));
}

/* --- the log --- */

static void put_names(const nn_program *p, const char *split, Text *t)
{
    Text name = {0};

    for (int i = 0; i < p->nmetrics; i++) {
        if (p->metrics[i].rank != 0)
            continue;
        name.n = 0;
        nn_text_print(&name, "%s_%s", split, i == 0 ? "loss" : p->metrics[i].name);
        nn_text_print(t, ",");
        nn_text_csv(t, nn_text(&name));
    }
    nn_text_free(&name);
}

static bool open_log(Training *r, Fault *f)
{
    const Trainer *t = r->t;
    Text header = {0};
    bool fine;

    nn_text_print(&header, "%s%sepoch", t->settings.restarts > 1 ? "restart," : "", t->p->nphases > 0 ? "phase," : "");
    put_names(t->p, "train", &header);
    if (t->samples.split.n[SPLIT_VALID] > 0)
        put_names(t->p, "valid", &header);
    nn_text_print(&header, ",lr,seconds,samples_per_second,waiting");
    fine = nn_log_open(&r->t->run, nn_text(&header), r->clock.rows, f);
    nn_text_free(&header);
    return fine;
}

static void put_values(const nn_program *p, const double *values, Text *t)
{
    for (int i = 0; i < p->nmetrics; i++) {
        if (p->metrics[i].rank != 0)
            continue;
        nn_text_print(t, ",");
        nn_text_number(t, values[i]);
    }
}

static bool log_epoch(Training *r, const double *valid, Fault *f)
{
    Text *row = &r->line;

    row->n = 0;
    if (r->t->settings.restarts > 1)
        nn_text_print(row, "%lld,", (long long)r->clock.restart + 1);
    if (r->t->p->nphases > 0)
        nn_text_print(row, "%s,", r->t->p->phases[r->clock.phase].name);
    nn_text_print(row, "%lld", (long long)r->clock.epoch + 1);
    put_values(r->t->p, r->clock.train, row);
    if (valid != NULL)
        put_values(r->t->p, valid, row);
    nn_text_print(row, ",");
    nn_text_number(row, r->clock.lr);
    nn_text_print(row, ",%.3f,%.0f,%.3f\n", r->clock.epoch_seconds, samples_per_second(r),
                  r->clock.train_seconds > 0 ? r->clock.waiting_seconds / r->clock.train_seconds : 0);
    return nn_log_row(&r->t->run, row, f);
}

/* --- one epoch --- */

static void take_metrics(const Trainer *t, double *values)
{
    for (int i = 0; i < t->p->nmetrics; i++)
        values[i] = *nn_trainer_metric(t, i);
}

static bool train_epoch(Training *r, Fault *f)
{
    Trainer *t = r->t;
    Seen seen = {t->settings.seed + (uint64_t)r->clock.restart, r->clock.epoch};
    int64_t limit = t->settings.steps > 0 ? r->clock.first_step + t->settings.steps : INT64_MAX;
    int status;

    t->scalars[NN_EPOCH] = (double)(r->clock.epoch - r->clock.first_epoch + 1);
    t->scalars[NN_VALID_LOSS] = r->clock.valid_loss;
    nn_ahead_stop(&t->ahead);
    nn_samples_shuffle(&t->samples, seen.seed, seen.epoch);
    nn_ahead_begin(&t->ahead, t->samples.shuffled, r->clock.step * r->update_samples, t->samples.split.n[SPLIT_TRAIN], &seen);
    if (r->clock.step == 0 && (status = t->p->reset(t->ctx)) != NN_OK)
        return nn_trainer_fail(t, status, "training", f);
    r->part_start = nn_seconds();
    while (r->clock.step < r->steps_per_epoch && r->clock.steps < limit) {
        if (!update(r, f))
            return false;
        show_move(r);
        if (signalled != 0) {
            count_training_time(r);
            return stop_here(r, EXIT_SIGNAL + signalled, "", f);
        }
    }
    count_training_time(r);
    status = t->p->report(t->ctx);
    if (status != NN_OK && status != NN_ENOTFINITE)
        return nn_trainer_fail(t, status, "training", f);
    take_metrics(t, r->clock.train);
    if (status == NN_ENOTFINITE || !isfinite(r->clock.train[0]) || nn_tensor_not_finite(t->p, t->ctx) != NULL)
        return fail_not_finite(r, 0, f);
    r->clock.validating = 1;
    return true;
}

static bool run_epoch(Training *r, Fault *f)
{
    Trainer *t = r->t;
    double *valid = t->samples.split.n[SPLIT_VALID] > 0 ? r->valid : NULL;
    bool best;

    if (r->clock.validating == 0 && !train_epoch(r, f))
        return false;
    if (valid != NULL && !nn_trainer_evaluate(t, SPLIT_VALID, &signalled, f))
        return f->status == 0           ? stop_here(r, EXIT_SIGNAL + signalled, "", f)
               : f->status == EXIT_FILE ? stop_unread(r, false, f)
                                        : false;
    if (valid != NULL)
        take_metrics(t, valid);
    count_time(r);
    show_epoch(r, valid);
    if (!log_epoch(r, valid, f))
        return false;
    best = nn_clock_epoch(&r->clock, &t->settings, r->clock.train, valid);
    return !best || nn_saver_best(&r->saver, t, &r->clock, f);
}

/* --- all --- */

static void set_scalars(Training *r)
{
    Trainer *t = r->t;
    const nn_setting *lr = t->p->nphases > 0 ? nn_setting_find(t->p->train, t->p->ntrain, "lr") : NULL;

    if (lr != NULL && lr->value.kind == NN_NUMBER)
        t->scalars[NN_BASE_LR] = lr->value.number;
    if (t->settings.lr_given)
        t->scalars[NN_BASE_LR] = t->settings.lr;
    t->scalars[NN_STEPS_PER_EPOCH] = (double)r->steps_per_epoch;
    t->scalars[NN_TOTAL_STEPS] = (double)r->total_steps;
}

static bool count_steps(Training *r, Fault *f)
{
    const Trainer *t = r->t;
    int64_t n = t->samples.split.n[SPLIT_TRAIN];

    r->update_samples = (int64_t)t->p->batch * t->settings.accumulate;
    r->steps_per_epoch = (n + r->update_samples - 1) / r->update_samples;
    if (__builtin_mul_overflow(t->settings.epochs, r->steps_per_epoch, &r->total_steps))
        return nn_fail(f, EXIT_USAGE, "so many epochs cannot be counted");
    if (t->settings.steps > 0)
        r->total_steps = t->settings.steps;
    return true;
}

/* Step and settings of the phase that the clock says. */
static bool set_phase(Training *r, Fault *f)
{
    return nn_trainer_phase(r->t, r->clock.phase, f) && count_steps(r, f);
}

static bool start_restart(Training *r, int64_t restart, Fault *f)
{
    nn_clock_restart(&r->clock, restart);
    if (!set_phase(r, f) || !nn_trainer_init(r->t, r->t->settings.seed + (uint64_t)restart, f) ||
        !nn_trainer_load_init(r->t, f) || !nn_trainer_load_start(r->t, f))
        return false;
    set_scalars(r);
    return true;
}

static bool run_phase(Training *r, Fault *f)
{
    while (nn_clock_over(&r->clock, &r->t->settings) == NULL) {
        if (!run_epoch(r, f) || !nn_saver_save(&r->saver, r->t, &r->clock, false, f))
            return false;
        if (signalled != 0)
            return stop_here(r, EXIT_SIGNAL + signalled, "", f);
    }
    return true;
}

static bool run_restart(Training *r, Fault *f)
{
    while (run_phase(r, f)) {
        if (r->clock.phase + 1 >= r->t->p->nphases)
            return true;
        nn_clock_phase(&r->clock);
        if (!set_phase(r, f))
            return false;
        set_scalars(r);
    }
    return false;
}

static bool begin(Training *r, Fault *f)
{
    Trainer *t = r->t;

    if (!nn_trainer_open_data(t, true, f) || !start_restart(r, 0, f) ||
        !nn_run_create(t->p, t->options.run, &t->run, f) || !nn_config_write(t, f))
        return false;
    return nn_saver_start(&r->saver, t, f) && nn_saver_save(&r->saver, t, &r->clock, true, f);
}

static bool begin_again(Training *r, Fault *f)
{
    Trainer *t = r->t;
    const char *run = t->options.nfiles > 0 ? t->options.files[0] : t->options.run, *program;
    char now[16], changed[300];

    if (!nn_run_find(t->p, run, "last.safetensors", &t->run, f) || !nn_run_lock(&t->run, f))
        return false;
    nn_run_path(&t->run, "last.safetensors", t->path);
    if (!nn_checkpoint_open(t->path, &t->checkpoint, f) || !nn_trainer_recall(t, &t->checkpoint, f) ||
        !nn_checkpoint_count(&t->checkpoint, "phase", &r->clock.phase, f) || !nn_trainer_phase(t, r->clock.phase, f) ||
        !nn_clock_read(t->p, &t->settings, &t->checkpoint, &r->clock, f) ||
        !nn_trainer_init(t, t->settings.seed + (uint64_t)r->clock.restart, f) || /* what is measured, the checkpoint has */
        !nn_trainer_open_data(t, true, f) || !count_steps(r, f) ||
        !nn_checkpoint_load(t->p, &t->checkpoint,
                            r->clock.step > 0 && r->clock.validating == 0 ? KEEP_SUMS : KEEP_STATE, t->ctx, f))
        return false;
    set_scalars(r);
    program = nn_safetensors_note(&t->checkpoint.st, "program");
    snprintf(now, sizeof now, "%08x", (unsigned)nn_program_fingerprint(t->p));
    if (program != NULL && strcmp(program, now) != 0) {
        snprintf(changed, sizeof changed, "warning: %.200s has changed since this training began", t->p->source);
        nn_display_line(&t->display, changed);
    }
    if (r->clock.finished != 0 && nn_clock_over(&r->clock, &t->settings) != NULL)
        return nn_fail(f, EXIT_USAGE, "%s is finished; to train longer, give more: %s resume --epochs=N",
                       t->run.directory, t->options.program);
    r->clock.finished = 0;
    return nn_saver_start(&r->saver, t, f);
}

static bool run_all(Training *r, Fault *f)
{
    if (!open_log(r, f))
        return false;
    nn_show_start(r->t, &r->clock, r->total_steps);
    catch_signals();
    r->epoch_start = nn_seconds();
    for (;;) {
        if (!run_restart(r, f))
            return false;
        if (r->clock.restart + 1 >= r->t->settings.restarts)
            break;
        if (!start_restart(r, r->clock.restart + 1, f))
            return false;
    }
    r->clock.finished = 1;
    return nn_saver_save(&r->saver, r->t, &r->clock, true, f);
}

bool nn_train(Trainer *t, Fault *f)
{
    Training r = {.t = t};
    bool fine = (t->options.command == COMMAND_RESUME ? begin_again(&r, f) : begin(&r, f)) && run_all(&r, f);

    if (fine)
        fine = nn_show_result(t, &r.clock, f);
    nn_saver_end(&r.saver);
    nn_text_free(&r.line);
    return fine;
}
