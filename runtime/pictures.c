/* pictures.c -- see pictures.h. */
#include "pictures.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* There in programs that are linked with libnn_images.a. */
#pragma weak nn_picture_read
#pragma weak nn_picture_size
/* OpenMP's, where the model was linked with it. */
extern int omp_get_max_threads(void) __attribute__((weak));

enum {
    MOST_THREADS = 16,
    FILES_A_THREAD = 64, /* fewer are looked at faster than a thread begins */
};

enum { NOTHING, BEING_READ, THERE };

/* Of a file that cannot be looked at: 0. */
static uint64_t stamp(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return 0;
    return ((uint64_t)st.st_size * 0x9e3779b97f4a7c15u ^ (uint64_t)st.st_mtim.tv_sec * 1000000000u) + (uint64_t)st.st_mtim.tv_nsec;
}

/* --- looking at the headers --- */

typedef struct Looking {
    Pictures *p;
    bool exact;     /* the size was not asked for: it is that of the first picture */
    int64_t next;   /* shared by the threads */
    int64_t failed; /* the first picture that is wrong, or INT64_MAX */
    pthread_mutex_t lock;
    Fault fault;
} Looking;

static bool look(const Looking *l, int64_t i, Fault *f)
{
    Pictures *p = l->p;
    PictureSize is;

    p->stamps[i] = stamp(p->paths[i]);
    if (!nn_picture_size(p->paths[i], &is, f))
        return false;
    if (!l->exact || (is.height == p->size.height && is.width == p->size.width))
        return true;
    return nn_fail(f, EXIT_FILE, "%s has %d x %d pixels, but %s has %d x %d: say size = HEIGHTxWIDTH, and all are brought to it",
                   p->paths[i], is.width, is.height, p->paths[0], p->size.width, p->size.height);
}

/* Pictures are taken in order, and one that was taken is finished: so the first bad one is found, whoever meets it. */
static void *look_at_some(void *data)
{
    Looking *l = data;
    int64_t i;

    while ((i = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED)) < l->p->n &&
           __atomic_load_n(&l->failed, __ATOMIC_RELAXED) == INT64_MAX) {
        Fault f = {0};

        if (look(l, i, &f))
            continue;
        pthread_mutex_lock(&l->lock);
        if (i < l->failed) {
            __atomic_store_n(&l->failed, i, __ATOMIC_RELAXED);
            l->fault = f;
        }
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

static bool look_at_all(Looking *l, Fault *f)
{
    pthread_t threads[MOST_THREADS];
    long n = omp_get_max_threads != NULL ? omp_get_max_threads() : sysconf(_SC_NPROCESSORS_ONLN);
    int started = 0;

    n = n > MOST_THREADS ? MOST_THREADS : n;
    n = n > l->p->n / FILES_A_THREAD ? (long)(l->p->n / FILES_A_THREAD) : n;
    pthread_mutex_init(&l->lock, NULL);
    l->failed = INT64_MAX;
    while (started < n - 1 && pthread_create(&threads[started], NULL, look_at_some, l) == 0)
        started++;
    look_at_some(l);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    pthread_mutex_destroy(&l->lock);
    return l->failed == INT64_MAX || nn_fail(f, l->fault.status, "%s", l->fault.text);
}

static bool open_all(Pictures *p, PictureSize size, Fault *f)
{
    Looking l = {.p = p, .exact = size.height == 0};
    PictureSize first;

    if (l.exact) {
        if (!nn_picture_size(p->paths[0], &first, f))
            return false;
        size = (PictureSize){size.channels, first.height, first.width};
    }
    p->size = size;
    p->bytes = (size_t)size.channels * (size_t)size.height * (size_t)size.width;
    p->stamps = nn_new(f, "pictures", (size_t)p->n, sizeof *p->stamps);
    return p->stamps != NULL && look_at_all(&l, f);
}

static void free_paths(char **paths, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        free(paths[i]);
    free(paths);
}

Pictures *nn_pictures_open(char **paths, int64_t n, PictureSize size, Fault *f)
{
    Pictures *p = nn_new(f, "pictures", 1, sizeof *p);

    if (p == NULL) {
        free_paths(paths, n);
        return NULL;
    }
    p->paths = paths;
    p->n = n;
    if (open_all(p, size, f))
        return p;
    nn_pictures_free(p);
    return NULL;
}

void nn_pictures_free(Pictures *p)
{
    if (p == NULL)
        return;
    free_paths(p->paths, p->n);
    free(p->stamps);
    free(p->kept);
    free(p->state);
    free(p);
}

/* --- reading --- */

/* The memory is taken only as pictures come. */
void nn_pictures_keep(Pictures *p, double bytes)
{
    double most = bytes / (double)p->bytes;
    Fault f = {0};

    p->nkept = most < (double)p->n ? (int64_t)most : p->n;
    p->kept = nn_new(&f, "pictures", (size_t)p->nkept, p->bytes);
    p->state = nn_new(&f, "pictures", (size_t)p->nkept, 1);
    if (p->kept == NULL || p->state == NULL)
        p->nkept = 0;
}

static bool read_file(const Pictures *p, int64_t i, uint8_t *to, Fault *f)
{
    uint64_t now = stamp(p->paths[i]);

    if (now != 0 && now != p->stamps[i])
        return nn_fail(f, EXIT_FILE, "%s has changed since it was first looked at", p->paths[i]);
    return nn_picture_read(p->paths[i], &p->size, to, f);
}

const uint8_t *nn_pictures_at(Pictures *p, int64_t i, uint8_t *room, Fault *f)
{
    uint8_t nothing = NOTHING, *place = i < p->nkept ? p->kept + (size_t)i * p->bytes : NULL;
    bool fine;

    if (place != NULL && __atomic_load_n(&p->state[i], __ATOMIC_ACQUIRE) == THERE)
        return place;
    /* who is not the first to want it reads it for himself */
    if (place == NULL || !__atomic_compare_exchange_n(&p->state[i], &nothing, BEING_READ, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return read_file(p, i, room, f) ? room : NULL;
    fine = read_file(p, i, place, f);
    __atomic_store_n(&p->state[i], fine ? THERE : NOTHING, __ATOMIC_RELEASE);
    return fine ? place : NULL;
}
