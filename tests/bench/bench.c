/* bench.c -- drives one compiled workload through its model.h, as an embedding program would: time to the first step,
 * training steps, peak memory, predictions of the weights saved and loaded. Prints one line of JSON.
 *
 *     bench SECONDS CHUNKS MANY    seconds of training in all; predictions get a quarter each, of 1 and of MANY samples
 *
 * Compiled once per workload, with the model's header included from the command line and
 *     -DMODEL=a -DUPPER=A -DSAMPLE=784 -DCLASSES=10     (CLASSES 0: the label is one float)
 * START in the environment is the reading of the monotonic clock, in nanoseconds, before this process was begun. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(what) JOIN(MODEL, what)
#define NUMBER(what) JOIN(UPPER, what)
#if CLASSES
typedef int32_t Label;
#else
typedef float Label;
#endif

enum { BATCH = NUMBER(_BATCH) };

typedef struct Bench {
    unsigned char *context, *scratch;
    float *x, *output;
    Label *label;
    long many;  /* samples of a large prediction */
    int status; /* of the last step */
} Bench;

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { WORTH_LARGE_PAGES = 64 << 20 };

/* Zeroed pages at a fixed address if it is free: where the arena lies decides how fast loads are. Large ones as in a trainer. */
static void *pages(size_t n, uintptr_t where)
{
    void *p = mmap((void *)where, n ? n : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("bench: mmap");
        exit(1);
    }
    if (n >= WORTH_LARGE_PAGES)
        madvise(p, n, MADV_HUGEPAGE);
    return p;
}

/* About normal: twelve uniform numbers less six. */
static float normal(uint64_t *state)
{
    double sum = -6;

    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(*state >> 40) / (1 << 24);
    }
    return (float)sum;
}

/* Predictions are those of a program that has only loaded what was trained. */
static void load(Bench *b)
{
    void *file = pages(NUMBER(_FILE_BYTES), (uintptr_t)7 << 40), *loaded = pages(NUMBER(_WEIGHT_BYTES), (uintptr_t)8 << 40);

    if (NAME(_save)(b->context, file, NUMBER(_FILE_BYTES)) != 0 || NAME(_load)(loaded, file, NUMBER(_FILE_BYTES)) != 0) {
        fprintf(stderr, "bench: what was saved cannot be loaded\n");
        exit(1);
    }
    b->context = loaded;
}

static void train(Bench *b, long n)
{
    const NAME(_batch) batch = {b->x, b->label};

    for (long i = 0; i < n && b->status == 0; i++)
        b->status = NAME(_step)(b->context, &batch, BATCH);
}

static void predict_one(Bench *b, long n)
{
    for (long i = 0; i < n; i++)
        NAME(_predict)(b->context, b->scratch, b->x, 1, b->output);
}

static void predict_many(Bench *b, long n)
{
    for (long i = 0; i < n; i++)
        NAME(_predict)(b->context, b->scratch, b->x, b->many, b->output);
}

/* Prints how many times a second, for each chunk. One call has been made before. */
static void measure(Bench *b, const char *name, void work(Bench *, long), double samples, double budget, int chunks)
{
    double start = seconds(), end = start + 2 * budget, one;
    long n = 1;

    work(b, 1);
    one = seconds() - start;
    while (one * (double)n < budget / chunks / 4 && n < 1L << 30) { /* one call may be too short to time */
        n *= 2;
        start = seconds();
        work(b, n);
        one = (seconds() - start) / (double)n;
    }
    n = (long)(budget / chunks / one);
    if (n < 1)
        n = 1;
    printf(", \"%s\": [", name);
    for (int i = 0; i < chunks && (i == 0 || seconds() < end); i++) {
        start = seconds();
        work(b, n);
        printf("%s%.6g", i ? ", " : "", samples * (double)n / (seconds() - start));
    }
    printf("]");
}

/* The most memory this program has had, in KB: ru_maxrss would count what its parent had. */
static long most_memory(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kilobytes = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1)
            break;
    if (f)
        fclose(f);
    return kilobytes;
}

int main(int argc, char **argv)
{
    double budget = argc > 1 ? atof(argv[1]) : 1, first;
    int chunks = argc > 2 ? atoi(argv[2]) : 5;
    const char *start = getenv("START");
    uint64_t state = 1;
    long most = argc > 3 && atol(argv[3]) > 0 ? atol(argv[3]) : 1;
    Bench b = {.context = pages(NUMBER(_BYTES), (uintptr_t)1 << 40),
               .x = pages((size_t)SAMPLE * BATCH * sizeof(float), (uintptr_t)3 << 40),
               .label = pages(BATCH * sizeof(Label), (uintptr_t)4 << 40),
               .output = pages((size_t)most * (CLASSES ? CLASSES : 1) * sizeof(float), (uintptr_t)5 << 40),
               .many = most};

    for (long i = 0; i < (long)SAMPLE * BATCH; i++)
        b.x[i] = normal(&state);
    for (int i = 0; i < BATCH; i++)
        b.label[i] = CLASSES ? (Label)(i % (CLASSES ? CLASSES : 1)) : (Label)normal(&state);
    b.status = NAME(_init)(b.context, 1);
    train(&b, 1);
    first = start ? seconds() - 1e-9 * atof(start) : 0;
    printf("{\"first_ms\": %.4g, \"plan\": %ld", 1e3 * first, (long)NUMBER(_BYTES));
    measure(&b, "train", train, BATCH, budget, chunks);
    printf(", \"memory_kb\": %ld", most_memory());

    float *x = pages((size_t)SAMPLE * most * sizeof(float), (uintptr_t)6 << 40);
    for (long i = 0; i < most; i++)
        memcpy(x + SAMPLE * i, b.x + (long)SAMPLE * (i % BATCH), SAMPLE * sizeof(float));
    b.x = x;
    b.scratch = pages(NUMBER(_PREDICT_BYTES), (uintptr_t)2 << 40);
    load(&b);
    predict_one(&b, 1);
    measure(&b, "predict1", predict_one, 1, budget / 4, chunks);
    if (most > 1)
        measure(&b, "predict256", predict_many, (double)most, budget / 4, chunks);
    printf(", \"weights\": %ld, \"loss_finite\": %s}\n", (long)NUMBER(_WEIGHTS), b.status == 0 ? "true" : "false");
    return b.status != 0;
}
