/* ahead.c -- see ahead.h. */
#include "ahead.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

/* Floats copied for a batch, or as much work, below which it is assembled at once: some tenths of a millisecond. A
 * thread that runs for less only stands in the way of those that train. */
enum { LITTLE_WORK = 1 << 20 };

static int batch_at(const Ahead *a, int64_t first)
{
    return (int)(a->n - first < a->p->batch ? a->n - first : a->p->batch);
}

static void assemble(Ahead *a, int64_t first, int n, void **fields)
{
    nn_samples_put(a->p, a->samples, a->order + first, 0, n, &a->seen, fields);
}

/* --- the reader's thread --- */

static void *read_ahead(void *data)
{
    Ahead *a = data;

    pthread_mutex_lock(&a->lock);
    while (!a->over) {
        int64_t first = a->next, slot = a->made % NN_RING;
        int n;

        /* the batch that was handed out last is still in use */
        if (first >= a->n || a->made - a->taken + (a->taken > 0) >= NN_RING) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        n = batch_at(a, first);
        a->working = true;
        pthread_mutex_unlock(&a->lock);
        assemble(a, first, n, a->ring[slot]);
        pthread_mutex_lock(&a->lock);
        a->working = false;
        a->count[slot] = n;
        a->next = first + n;
        a->made++;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

bool nn_ahead_thread(Ahead *a, Fault *f)
{
    sigset_t all, before;

    for (int i = 0; i < NN_RING; i++) {
        a->ring[i] = nn_fields_new(a->p, a->samples, f);
        if (a->ring[i] == NULL)
            return false;
    }
    /* signals are the trainer's */
    sigfillset(&all);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    a->threaded = pthread_create(&a->thread, NULL, read_ahead, a) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return true; /* where no thread can be had it goes without */
}

/* Whether a thread of its own pays. */
static bool is_worth_it(const Ahead *a, int threads)
{
    int64_t floats = 0;
    cpu_set_t cpus;

    for (int i = 0; i < a->p->nfields; i++)
        floats += nn_shape_size(a->p->fields[i].rank, a->p->fields[i].shape) * a->p->batch;
    if (threads == 1 || (sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) == 1))
        return false;
    return floats * (1 + nn_augment_work(&a->samples->augment)) >= LITTLE_WORK;
}

/* --- the trainer's side --- */

bool nn_ahead_start(Ahead *a, const nn_program *p, Samples *samples, int threads, Fault *f)
{
    *a = (Ahead){.p = p, .samples = samples, .ring = {samples->fields}};
    return !is_worth_it(a, threads) || nn_ahead_thread(a, f);
}

void nn_ahead_stop(Ahead *a)
{
    if (!a->threaded)
        return;
    pthread_mutex_lock(&a->lock);
    a->n = 0; /* nothing more to read */
    while (a->working)
        pthread_cond_wait(&a->changed, &a->lock);
    a->n = 0;
    pthread_mutex_unlock(&a->lock);
}

void nn_ahead_begin(Ahead *a, const int64_t *order, int64_t first, int64_t n, const Seen *seen)
{
    nn_ahead_stop(a);
    if (a->threaded)
        pthread_mutex_lock(&a->lock);
    a->order = order;
    a->next = first;
    a->n = n;
    a->seen = *seen;
    a->made = a->taken = 0;
    if (!a->threaded)
        return;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void **next_made(Ahead *a, int *count)
{
    int64_t slot;

    pthread_mutex_lock(&a->lock);
    a->taken++; /* the one before is free now */
    pthread_cond_broadcast(&a->changed);
    while (a->made < a->taken)
        pthread_cond_wait(&a->changed, &a->lock);
    slot = (a->taken - 1) % NN_RING;
    *count = a->count[slot];
    pthread_mutex_unlock(&a->lock);
    return a->ring[slot];
}

void **nn_ahead_next(Ahead *a, int *count)
{
    double start = nn_seconds();
    void **fields = a->ring[0];

    if (a->threaded) {
        fields = next_made(a, count);
    } else {
        *count = batch_at(a, a->next);
        assemble(a, a->next, *count, fields);
        a->next += *count;
    }
    a->waited += nn_seconds() - start;
    return fields;
}

void nn_ahead_end(Ahead *a)
{
    if (a->threaded) {
        pthread_mutex_lock(&a->lock);
        a->over = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
        pthread_mutex_destroy(&a->lock);
        pthread_cond_destroy(&a->changed);
    }
    for (int i = 0; i < NN_RING && a->p != NULL; i++)
        if (a->ring[i] != NULL && a->ring[i] != a->samples->fields)
            nn_fields_free(a->p, a->ring[i]);
    *a = (Ahead){0};
}
