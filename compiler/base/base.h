/* base.h -- memory, text and lists for the whole compiler.
 *
 * Everything the compiler builds is born in an arena and dies with it: there is no
 * ownership to follow and nothing to free by hand. */
#ifndef NNC_BASE_H
#define NNC_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __GNUC__
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NO_RETURN __attribute__((noreturn))
#else
#define PRINTF_LIKE(fmt, args)
#define NO_RETURN
#endif

/* What nnc returns to the shell. */
enum { EXIT_BUILT = 0, EXIT_DIAGNOSTICS = 1, EXIT_USAGE = 2, EXIT_FILES = 3, EXIT_BUG = 4 };

typedef struct Arena Arena;

Arena *arena_new(void);
/* Says so and ends the program; of a type that fits where a pointer is returned. */
void *no_memory(void);
void arena_free(Arena *a);
/* Zeroed memory, aligned for any type. Never NULL: when there is none left, the compiler says so
 * and ends with EXIT_FILES. */
void *arena_alloc(Arena *a, size_t bytes);
char *arena_copy(Arena *a, const char *s, size_t n);
char *arena_print(Arena *a, const char *format, ...) PRINTF_LIKE(2, 3);

#define NEW(arena, T) ((T *)arena_alloc((arena), sizeof(T)))
#define NEW_ARRAY(arena, T, n) ((T *)arena_alloc((arena), sizeof(T) * (size_t)(n)))

/* A list grows in an arena: `LIST(Tensor *) tensors;` then PUSH(arena, tensors, t), tensors.at[i]. */
#define LIST(T)        \
    struct {           \
        T *at;         \
        int n, room;   \
    }
#define PUSH(arena, list, x)                                                              \
    do {                                                                                  \
        if ((list).n == (list).room)                                                      \
            (list).at = list_grow((arena), (list).at, &(list).room, sizeof *(list).at);   \
        (list).at[(list).n++] = (x);                                                      \
    } while (0)
void *list_grow(Arena *a, void *at, int *room, size_t each);

/* A number for each of many names; all zero is empty. The names stay the caller's. */
typedef struct Names {
    struct Name *at;
    unsigned n, room; /* a power of two, or 0 */
} Names;

int names_find(const Names *names, const char *name); /* -1: it is not there */
void names_add(Arena *a, Names *names, const char *name, int number); /* which is not there yet */

/* Text that grows as it is printed to; it lives in its arena. */
typedef struct Text {
    Arena *arena;
    char *s; /* always ends in NUL once printed to */
    size_t n, room;
} Text;

void text_print(Text *t, const char *format, ...) PRINTF_LIKE(2, 3);
void text_vprint(Text *t, const char *format, va_list args);
void text_add(Text *t, const char *s, size_t n);

/* The shortest decimal that reads back as the same double; "inf", "-inf", "nan"; same in any locale. */
const char *number_text(Arena *a, double x);

/* A mistake of ours, not of the user's: says where and ends with EXIT_BUG. */
void bug_at(const char *file, int line, const char *format, ...) NO_RETURN PRINTF_LIKE(3, 4);
#define bug(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

#endif
