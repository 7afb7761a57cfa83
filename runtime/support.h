/* support.h -- what every file of the runtime leans on: faults, text that grows, the nearest word.
 *
 * Nothing here prints or exits. A function that can fail takes a Fault, fills it in and returns false (or NULL);
 * nn_main alone tells the user and chooses the exit status. */
#ifndef NN_SUPPORT_H
#define NN_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a trainer returns to the shell. */
enum {
    EXIT_DONE = 0,
    EXIT_WRONG = 1,      /* check-gradients found a wrong one */
    EXIT_USAGE = 2,
    EXIT_MEMORY = 3,
    EXIT_FILE = 4,       /* cannot read or write, or what was read makes no sense */
    EXIT_NOT_FINITE = 5,
    EXIT_SIGNAL = 128,   /* plus the number of the signal */
};

typedef struct Fault {
    int status;
    char text[2048];
} Fault;

/* Both always return false, so that `return nn_fail(f, ...)` reads well. The first fault stays. */
bool nn_fail(Fault *f, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool nn_fail_memory(Fault *f, const char *what, size_t bytes);

/* Zeroed memory, or NULL and a fault that names what it was for. A size that overflows is a fault, too. */
void *nn_new(Fault *f, const char *what, size_t n, size_t each);

/* Text that grows as it is printed to. Running out of memory is remembered in `failed`, and looked at once, at
 * the end; `s` is never NULL after nn_text_print. Starts as all zeros. */
typedef struct Text {
    char *s;
    size_t n, room;
    bool failed;
} Text;

void nn_text_print(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void nn_text_add(Text *t, const char *s, size_t n);
void nn_text_free(Text *t);
const char *nn_text(const Text *t); /* "" while nothing has been printed */

/* As JSON and as CSV: quoted and escaped, so that the text cannot break out of its place. */
void nn_text_json(Text *t, const char *s, size_t n);
void nn_text_escape(Text *t, const char *s, size_t n); /* the same without the quotes */
void nn_text_csv(Text *t, const char *s);
/* The shortest decimal that reads back as the same double (or, for floats, the same float); inf, -inf, nan. */
void nn_text_number(Text *t, double x);
void nn_text_float(Text *t, float x);

/* "3x32x32"; "scalar" for rank 0. Returns to, which has room for NN_SHAPE_TEXT bytes. */
enum { NN_SHAPE_TEXT = 200 };
const char *nn_shape_text(char *to, int rank, const int64_t *shape);
int64_t nn_shape_size(int rank, const int64_t *shape);
bool nn_shape_equal(int rank, const int64_t *shape, int other_rank, const int64_t *other);

/* The word most like `word`, for "did you mean": NULL where none is near. */
const char *nn_nearest(const char *word, const char *const *words, int n);

double nn_seconds(void); /* a clock that never goes back */
/* "20 ms", "0.8 s", "4:05", "1:02:03". */
const char *nn_duration_text(char to[32], double seconds);
/* "61,706". */
const char *nn_count_text(char to[32], int64_t n);
/* "3.4 MB". */
const char *nn_bytes_text(char to[32], double bytes);

#endif
