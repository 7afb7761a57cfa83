/* support.c -- see support.h. */
#include "support.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool nn_fail(Fault *f, int status, const char *format, ...)
{
    va_list args;

    if (f->status != 0)
        return false;
    f->status = status;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return false;
}

bool nn_fail_memory(Fault *f, const char *what, size_t bytes)
{
    char size[32];

    return nn_fail(f, EXIT_MEMORY, "out of memory: %s for %s", nn_bytes_text(size, (double)bytes), what);
}

void *nn_new(Fault *f, const char *what, size_t n, size_t each)
{
    void *p = calloc(n > 0 ? n : 1, each);

    if (p == NULL)
        nn_fail_memory(f, what, n * each);
    return p;
}

/* --- text --- */

static bool text_reserve(Text *t, size_t n)
{
    size_t room = t->room > 0 ? t->room : 256;
    char *s;

    if (t->failed)
        return false;
    while (room - t->n <= n)
        room *= 2;
    if (room == t->room)
        return true;
    s = realloc(t->s, room);
    if (s == NULL) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->room = room;
    return true;
}

void nn_text_add(Text *t, const char *s, size_t n)
{
    if (!text_reserve(t, n))
        return;
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = '\0';
}

void nn_text_print(Text *t, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || !text_reserve(t, (size_t)n))
        return;
    va_start(args, format);
    vsnprintf(t->s + t->n, (size_t)n + 1, format, args);
    va_end(args);
    t->n += (size_t)n;
}

void nn_text_free(Text *t)
{
    free(t->s);
    *t = (Text){0};
}

const char *nn_text(const Text *t) { return t->s != NULL ? t->s : ""; }

void nn_text_escape(Text *t, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '"' || c == '\\')
            nn_text_print(t, "\\%c", c);
        else if (c == '\n')
            nn_text_add(t, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            nn_text_print(t, "\\u%04x", c);
        else
            nn_text_add(t, s + i, 1);
    }
}

void nn_text_json(Text *t, const char *s, size_t n)
{
    nn_text_add(t, "\"", 1);
    nn_text_escape(t, s, n);
    nn_text_add(t, "\"", 1);
}

void nn_text_csv(Text *t, const char *s)
{
    if (strpbrk(s, ",\"\r\n") == NULL && s[0] != ' ' && s[0] != '\t') {
        nn_text_add(t, s, strlen(s));
        return;
    }
    nn_text_add(t, "\"", 1);
    for (; *s != '\0'; s++)
        nn_text_add(t, *s == '"' ? "\"\"" : s, *s == '"' ? 2 : 1);
    nn_text_add(t, "\"", 1);
}

static bool text_special(Text *t, double x)
{
    if (isfinite(x))
        return false;
    nn_text_print(t, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    return true;
}

void nn_text_number(Text *t, double x)
{
    char s[40];

    if (text_special(t, x))
        return;
    snprintf(s, sizeof s, "%.0f", fabs(x) < 1e15 ? x : 0); /* 30, not 3e+01 */
    if (strtod(s, NULL) == x && (x != 0 || !signbit(x))) {
        nn_text_print(t, "%s", s);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    nn_text_print(t, "%s", s);
}

void nn_text_float(Text *t, float x)
{
    char s[40];

    if (text_special(t, (double)x))
        return;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, (double)x);
        if (strtof(s, NULL) == x)
            break;
    }
    nn_text_print(t, "%s", s);
}

/* --- shapes --- */

const char *nn_shape_text(char *to, int rank, const int64_t *shape)
{
    size_t n = 0;

    if (rank == 0)
        return strcpy(to, "scalar");
    for (int i = 0; i < rank; i++)
        n += (size_t)snprintf(to + n, NN_SHAPE_TEXT - n, "%s%lld", i > 0 ? "x" : "", (long long)shape[i]);
    return to;
}

int64_t nn_shape_size(int rank, const int64_t *shape)
{
    int64_t n = 1;

    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

bool nn_shape_equal(int rank, const int64_t *shape, int other_rank, const int64_t *other)
{
    if (rank != other_rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (shape[i] != other[i])
            return false;
    return true;
}

/* --- words and figures --- */

/* Edits from a to b: insert, drop, change, or swap two neighbours. Words longer than the table are never near. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    int d[LONGEST + 1][LONGEST + 1];
    int m = (int)strlen(a), n = (int)strlen(b);

    if (m > LONGEST || n > LONGEST)
        return LONGEST;
    for (int i = 0; i <= m; i++)
        for (int j = 0; j <= n; j++) {
            int best = i == 0 ? j : j == 0 ? i : d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            if (i > 0 && d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (j > 0 && d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[m][n];
}

const char *nn_nearest(const char *word, const char *const *words, int n)
{
    const char *found = NULL;
    int best = (int)strlen(word) / 3 + 2; /* at most every third letter wrong */

    for (int i = 0; i < n; i++) {
        int d = edit_distance(word, words[i]);

        if (d < best) {
            best = d;
            found = words[i];
        }
    }
    return found;
}

double nn_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *nn_duration_text(char to[32], double seconds)
{
    int s = seconds < 1e8 ? (int)(seconds + 0.5) : 100000000;

    if (seconds < 0.0995)
        snprintf(to, 32, "%.0f ms", 1000 * seconds);
    else if (seconds < 9.95)
        snprintf(to, 32, "%.1f s", seconds);
    else if (s < 60)
        snprintf(to, 32, "%d s", s);
    else if (s < 3600)
        snprintf(to, 32, "%d:%02d", s / 60, s % 60);
    else
        snprintf(to, 32, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    return to;
}

const char *nn_count_text(char to[32], int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), at = 0;

    for (int i = 0; i < len; i++) {
        to[at++] = digits[i];
        if (digits[i] != '-' && i + 1 < len && (len - 1 - i) % 3 == 0)
            to[at++] = ',';
    }
    to[at] = '\0';
    return to;
}

const char *nn_bytes_text(char to[32], double bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    int u = 0;

    while (u < 4 && bytes >= 1000) {
        bytes /= 1000;
        u++;
    }
    snprintf(to, 32, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return to;
}
