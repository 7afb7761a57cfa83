/* bench.c -- the command bench: how many samples a second this machine trains, evaluates and predicts, and in which
 * kernels a step of training spends its time. */
#include "profile.h"
#include "trainer.h"

#include <stdio.h>
#include <stdlib.h>

extern int omp_get_max_threads(void) __attribute__((weak)); /* a model too small for several threads has no OpenMP */

enum { TRAIN, EVAL, PREDICT, WORKS };

static bool make_outputs(const nn_program *p, float **outputs, Fault *f)
{
    for (int i = 0; i < p->noutputs; i++) {
        outputs[i] = nn_new(f, "the predictions", (size_t)p->batch,
                            (size_t)nn_shape_size(p->outputs[i].rank, p->outputs[i].shape) * sizeof(float));
        if (outputs[i] == NULL)
            return false;
    }
    return true;
}

static int work(const Trainer *t, int what, const void *const *fields, int n, float **outputs)
{
    if (what == TRAIN)
        return t->p->step(t->ctx, fields, n);
    if (what == EVAL)
        return t->p->eval(t->ctx, fields, n);
    return t->p->predict(t->ctx, t->scratch, fields, n, outputs);
}

/* Batches for so many seconds, after one to warm up; reading the samples counts. */
static bool measure(Trainer *t, int what, double seconds, float **outputs, double *rate, Fault *f)
{
    int64_t n = t->samples.split.n[SPLIT_TRAIN], batches = n / t->p->batch > 0 ? n / t->p->batch : 1, done = 0;
    int count = (int)(n < t->p->batch ? n : t->p->batch);
    double start = 0, now = 0;

    t->scalars[NN_COUNT] = t->scalars[NN_TOTAL] = count;
    t->scalars[NN_LAST] = 1;
    for (int64_t i = 0; i == 0 || now - start < seconds; i++) {
        void **fields;
        int status;

        if (i % batches == 0)
            nn_ahead_begin(&t->ahead, t->samples.shuffled, 0, batches * count, NULL);
        fields = nn_ahead_next(&t->ahead, &count, f);
        if (fields == NULL)
            return false;
        status = work(t, what, (const void *const *)fields, count, outputs);
        if (status != NN_OK)
            return nn_trainer_fail(t, status, "a batch", f);
        if (i == 0)
            start = nn_seconds();
        else
            done += count;
        now = nn_seconds();
    }
    *rate = now > start ? (double)done / (now - start) : 0;
    return true;
}

bool nn_bench(Trainer *t, Fault *f)
{
    static const char *const names[WORKS] = {"train", "eval", "predict"};
    double seconds = t->options.seconds.given ? t->options.seconds.value : 5, rate = 0;
    float **outputs = nn_new(f, "the predictions", (size_t)t->p->noutputs, sizeof *outputs);
    bool fine = outputs != NULL && make_outputs(t->p, outputs, f) && nn_trainer_open_data(t, true, f) &&
                nn_trainer_init(t, t->settings.seed, f);
    char count[32];

    if (fine) {
        nn_samples_shuffle(&t->samples, t->settings.seed, 0);
        printf("%s, batch %d, compiled for %s\n", t->p->name, t->p->batch, t->p->target);
    }
    for (int i = 0; i < WORKS && fine; i++) {
        fine = measure(t, i, seconds / (double)(WORKS + 1), outputs, &rate, f);
        if (fine)
            printf("%-8s %12s samples/s\n", names[i], nn_count_text(count, (int64_t)rate));
    }
    if (fine && t->p->kernels != NULL && nn_profile_start(t->p, f)) {
        fine = measure(t, TRAIN, seconds / (double)(WORKS + 1), outputs, &rate, f);
        nn_profile_stop();
        if (fine)
            nn_profile_print(t->p, omp_get_max_threads != NULL ? omp_get_max_threads() : 1, rate);
        nn_profile_free();
    }
    for (int i = 0; outputs != NULL && i < t->p->noutputs; i++)
        free(outputs[i]);
    free(outputs);
    return fine;
}
