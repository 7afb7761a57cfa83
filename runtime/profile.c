/* profile.c -- see profile.h. A timer interrupts the thread, and the kernel is the one whose code begins last before the
 * place where it was: nothing is added to what is measured. */
#include "profile.h"

#include "options.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

enum { INTERVAL = 211000 /* ns: no multiple of anything */ };

typedef struct Row {
    const nn_kernel *kernel;
    uintptr_t code;
    volatile unsigned hits; /* what belongs to the last row lies behind the kernels */
} Row;

static struct {
    Row *rows; /* by code */
    int n;
    volatile unsigned hits, elsewhere;
    timer_t timer;
    pthread_t thread;
} profile;

static uintptr_t interrupted_at(void *context)
{
#if defined __x86_64__
    return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
    return (uintptr_t)((ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

static void note(int number, siginfo_t *info, void *context)
{
    uintptr_t at = interrupted_at(context);
    int low = 0, high = profile.n;

    (void)number;
    (void)info;
    if (!pthread_equal(pthread_self(), profile.thread))
        return;
    while (low < high) {
        int middle = (low + high) / 2;
        if (profile.rows[middle].code <= at)
            low = middle + 1;
        else
            high = middle;
    }
    profile.hits++;
    if (low > 0 && profile.rows[low - 1].kernel->name != NULL)
        profile.rows[low - 1].hits++;
    else
        profile.elsewhere++;
}

static int by_code(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    return (x->code > y->code) - (x->code < y->code);
}

static int by_hits(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    return (x->hits < y->hits) - (x->hits > y->hits);
}

bool nn_profile_start(const nn_program *p, Fault *f)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    struct itimerspec interval = {{0, INTERVAL}, {0, INTERVAL}};

    profile.n = 0;
    while (p->kernels[profile.n].name != NULL)
        profile.n++;
    profile.n++; /* the end of the kernels is a row, too */
    profile.rows = nn_new(f, "the profile", (size_t)profile.n, sizeof *profile.rows);
    if (profile.rows == NULL)
        return false;
    for (int i = 0; i < profile.n; i++)
        profile.rows[i] = (Row){.kernel = &p->kernels[i], .code = (uintptr_t)p->kernels[i].code};
    qsort(profile.rows, (size_t)profile.n, sizeof *profile.rows, by_code);
    profile.hits = profile.elsewhere = 0;
    profile.thread = pthread_self();
    action.sa_sigaction = note;
    if (sigaction(SIGPROF, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &profile.timer) != 0) {
        nn_profile_free();
        return false;
    }
    timer_settime(profile.timer, 0, &interval, NULL);
    return true;
}

void nn_profile_stop(void)
{
    timer_delete(profile.timer);
    signal(SIGPROF, SIG_IGN); /* one may be on its way, and the rows are about to go */
}

/* Floating-point operations a second of one processor: the best of some short runs. */
static double peak(const nn_program *p)
{
    enum { RUNS = 9, N = 200000 };
    double best = 0;
    volatile float kept;

    for (int i = 0; i < RUNS; i++) {
        double start = nn_seconds();
        kept = p->multiply_add(N);
        double rate = p->operations * N / (nn_seconds() - start);
        best = rate > best ? rate : best;
    }
    (void)kept;
    return best;
}

void nn_profile_print(const nn_program *p, int threads, double rate)
{
    double step = (double)p->batch / rate, most = peak(p) * threads, shown = 0;

    if (profile.hits == profile.elsewhere)
        return; /* kernels so small that they are parts of the step itself */
    qsort(profile.rows, (size_t)profile.n, sizeof *profile.rows, by_hits);
    printf("\na step of training takes %.0f us; the peak of %d thread%s is %.0f GFLOP/s\n", step * 1e6, threads, threads == 1 ? "" : "s", most / 1e9);
    printf("%12s %7s %8s  %s\n", "us a step", "share", "of peak", "kernel, calls, line");
    for (int i = 0; i < profile.n; i++) {
        const Row *row = &profile.rows[i];
        double share = (double)row->hits / (double)profile.hits, seconds = share * step;

        if (share < 0.01)
            break;
        shown += share;
        printf("%12.1f %6.1f%% ", seconds * 1e6, 100 * share);
        if (row->kernel->operations >= 0.02 * most * seconds)
            printf("%7.0f%%  ", 100 * row->kernel->operations / (most * seconds));
        else
            printf("%8s  ", "-");
        printf("%s", row->kernel->name);
        if (row->kernel->calls > 1)
            printf(" x %d", row->kernel->calls);
        if (row->kernel->line > 0)
            printf("  %s:%d", nn_source_name(p), row->kernel->line);
        printf("\n");
    }
    double elsewhere = (double)profile.elsewhere / (double)profile.hits;
    printf("%12.1f %6.1f%% %8s  other kernels\n", (1 - shown - elsewhere) * step * 1e6, 100 * (1 - shown - elsewhere), "");
    printf("%12.1f %6.1f%% %8s  between kernels: samples, calls, threads that wait\n", elsewhere * step * 1e6, 100 * elsewhere, "");
}

void nn_profile_free(void)
{
    free(profile.rows);
    profile.rows = NULL;
}
