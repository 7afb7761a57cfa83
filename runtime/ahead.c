/* ahead.c -- see ahead.h. */
#include "ahead.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

/* Floats copied for a batch, or as much work, below which it is made at once: some tenths of a millisecond. A thread
 * that runs for less only stands in the way of those that train. */
enum { LITTLE_WORK = 1 << 20 };

/* --- one sample --- */

static int64_t batch_of(const Ahead *a, int64_t i) { return (i - a->first) / a->p->batch; }

/* Samples of the batch that sample i begins. */
static int batch_size(const Ahead *a, int64_t i)
{
    return (int)(a->n - i < a->p->batch ? a->n - i : a->p->batch);
}

static bool put(const Ahead *a, Reader *r, int64_t i, int row, void **fields)
{
    r->fault.status = 0;
    return nn_samples_put(a->p, a->samples, &r->room, a->order != NULL ? a->order[i] : i, a->augmented ? &a->seen : NULL, row, fields,
                          &r->fault);
}

/* Whether there is a sample to take and a place for it: the batch that was asked for last is still in use. */
static bool can_take(const Ahead *a)
{
    return a->next < a->n && a->next < a->failed && batch_of(a, a->next) < NN_RING + (a->taken > 0 ? a->taken - 1 : 0);
}

/* Takes the next sample and makes it; the lock is held before and after. */
static void make_next(Ahead *a, Reader *r)
{
    int64_t i = a->next++, batch = batch_of(a, i);
    int slot = (int)(batch % NN_RING), row = (int)(i - a->first - batch * a->p->batch), *missing = &a->missing[slot];
    bool fine;

    if (row == 0)
        *missing = batch_size(a, i);
    a->working++;
    pthread_mutex_unlock(&a->lock);
    fine = put(a, r, i, row, a->ring[slot]);
    pthread_mutex_lock(&a->lock);
    a->working--;
    --*missing;
    if (!fine && i < a->failed) {
        a->failed = i;
        a->fault = r->fault;
    }
    if (*missing == 0 || (a->working == 0 && !can_take(a)))
        pthread_cond_broadcast(&a->changed);
}

/* --- the readers' threads --- */

static void *read_ahead(void *data)
{
    Reader *r = data;
    Ahead *a = r->ahead;

    pthread_mutex_lock(&a->lock);
    while (!a->over) {
        if (can_take(a))
            make_next(a, r);
        else
            pthread_cond_wait(&a->changed, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

bool nn_ahead_threads(Ahead *a, int n, Fault *f)
{
    sigset_t all, before;

    for (int i = 1; i < NN_RING; i++)
        if ((a->ring[i] = nn_fields_new(a->p, a->samples, f)) == NULL)
            return false;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    /* signals are the trainer's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < n; i++) {
        Reader *r = &a->readers[i];

        r->ahead = a;
        if (!nn_room_new(a->samples, &r->room, f) || pthread_create(&r->thread, NULL, read_ahead, r) != 0)
            break;
        a->nreaders++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return f->status == 0; /* where no thread can be had it goes without */
}

/* How many threads pay: one; where files are read, one for each processor but the caller's, who helps. */
static int count_readers(const Ahead *a, int threads)
{
    int64_t floats = 0;
    bool reads = false;
    cpu_set_t cpus;
    int n = 2;

    for (int i = 0; i < a->p->nfields; i++) {
        int column = a->samples->columns[i];

        floats += nn_shape_size(a->p->fields[i].rank, a->p->fields[i].shape) * a->p->batch;
        reads = reads || (column >= 0 && nn_data_is_read(&a->samples->data, column));
    }
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        n = CPU_COUNT(&cpus);
    if (threads > 0 && threads < n)
        n = threads;
    if (n == 1)
        return 0;
    if (reads)
        return n - 1 < NN_MOST_READERS ? n - 1 : NN_MOST_READERS;
    return floats * (1 + nn_augment_work(&a->samples->augment)) >= LITTLE_WORK;
}

/* --- the trainer's side --- */

bool nn_ahead_start(Ahead *a, const nn_program *p, const Samples *samples, int threads, Fault *f)
{
    int n;

    *a = (Ahead){.p = p, .samples = samples, .failed = INT64_MAX};
    n = count_readers(a, threads);
    a->ring[0] = nn_fields_new(p, samples, f);
    return a->ring[0] != NULL && nn_room_new(samples, &a->caller.room, f) && (n == 0 || nn_ahead_threads(a, n, f));
}

void nn_ahead_stop(Ahead *a)
{
    if (a->nreaders == 0)
        return;
    pthread_mutex_lock(&a->lock);
    a->n = 0; /* nothing more to take */
    while (a->working > 0)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void nn_ahead_begin(Ahead *a, const int64_t *order, int64_t first, int64_t n, const Seen *seen)
{
    nn_ahead_stop(a);
    if (a->nreaders > 0)
        pthread_mutex_lock(&a->lock);
    a->order = order;
    a->first = a->next = first;
    a->n = n;
    a->augmented = seen != NULL;
    a->seen = seen != NULL ? *seen : (Seen){0};
    a->taken = 0;
    a->failed = INT64_MAX;
    a->waited = 0;
    if (a->nreaders == 0)
        return;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* Samples begin .. end - 1, by the readers and the caller. */
static bool make_together(Ahead *a, int64_t begin, int64_t end)
{
    int *missing = &a->missing[batch_of(a, begin) % NN_RING];
    bool fine;

    pthread_mutex_lock(&a->lock);
    a->taken++; /* the batch before is free now */
    pthread_cond_broadcast(&a->changed);
    while (a->failed < end ? a->working > 0 : a->next < end || *missing > 0) {
        if (a->next < end && can_take(a))
            make_next(a, &a->caller);
        else
            pthread_cond_wait(&a->changed, &a->lock);
    }
    fine = a->failed >= end;
    pthread_mutex_unlock(&a->lock);
    return fine;
}

static bool make_alone(Ahead *a, int n)
{
    for (int row = 0; row < n; row++)
        if (!put(a, &a->caller, a->next++, row, a->ring[0])) {
            a->fault = a->caller.fault;
            return false;
        }
    a->taken++;
    return true;
}

void **nn_ahead_next(Ahead *a, int *count, Fault *f)
{
    double start = nn_seconds();
    int64_t batch = a->taken, begin = a->first + batch * a->p->batch;
    bool fine;

    *count = batch_size(a, begin);
    fine = a->nreaders > 0 ? make_together(a, begin, begin + *count) : make_alone(a, *count);
    a->waited += nn_seconds() - start;
    if (!fine) {
        nn_fail(f, a->fault.status, "%s", a->fault.text);
        return NULL;
    }
    return a->ring[a->nreaders > 0 ? batch % NN_RING : 0];
}

void nn_ahead_end(Ahead *a)
{
    if (a->nreaders > 0) {
        pthread_mutex_lock(&a->lock);
        a->over = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->lock);
        for (int i = 0; i < a->nreaders; i++)
            pthread_join(a->readers[i].thread, NULL);
        pthread_mutex_destroy(&a->lock);
        pthread_cond_destroy(&a->changed);
    }
    for (int i = 0; i < NN_MOST_READERS; i++)
        nn_room_free(&a->readers[i].room);
    nn_room_free(&a->caller.room);
    for (int i = 0; i < NN_RING && a->p != NULL; i++)
        nn_fields_free(a->p, a->ring[i]);
    *a = (Ahead){0};
}
