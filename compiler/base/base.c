/* base.c -- arenas, growing text, growing lists. */
#include "base/base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#if defined __linux__
#include <sys/mman.h>
#endif

/* An arena is a chain of blocks, each twice as large as the one before up to a limit; a request that is larger still gets
 * a block of its own. */
typedef struct Block {
    struct Block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
} Block;

struct Arena {
    Block *block;
};

enum { FIRST_BYTES = 1 << 16, MOST_BYTES = 1 << 25, HUGE_BYTES = 1 << 21 };

void *no_memory(void)
{
    fputs("nnc: error: out of memory\n", stderr);
    exit(EXIT_FILES);
}

/* Of a large block the system may give out large pages: a fault for 2 MB instead of one for 4 KB. It is advice only. */
static void large_pages(unsigned char *bytes, size_t size)
{
#if defined MADV_HUGEPAGE
    size_t skip = -(uintptr_t)bytes % HUGE_BYTES;

    if (size >= skip + HUGE_BYTES)
        madvise(bytes + skip, (size - skip) / HUGE_BYTES * HUGE_BYTES, MADV_HUGEPAGE);
#else
    (void)bytes, (void)size;
#endif
}

static Block *block_new(size_t size, Block *next)
{
    Block *b = calloc(1, sizeof(Block) + size);

    if (!b)
        return no_memory();
    b->next = next;
    b->size = size;
    large_pages(b->bytes, size);
    return b;
}

Arena *arena_new(void)
{
    Arena *a = malloc(sizeof *a);

    if (!a)
        return no_memory();
    a->block = block_new(FIRST_BYTES, NULL);
    return a;
}

void arena_free(Arena *a)
{
    for (Block *b = a->block, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > a->block->size - a->block->used) {
        size_t size = a->block->size < MOST_BYTES ? 2 * a->block->size : MOST_BYTES;
        a->block = block_new(bytes > size ? bytes : size, a->block);
    }
    void *p = a->block->bytes + a->block->used;
    a->block->used += bytes;
    return p;
}

char *arena_copy(Arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1);

    memcpy(copy, s, n);
    return copy;
}

char *arena_print(Arena *a, const char *format, ...)
{
    Text t = {.arena = a};
    va_list args;

    va_start(args, format);
    text_vprint(&t, format, args);
    va_end(args);
    return t.s;
}

void *list_grow(Arena *a, void *at, int *room, size_t each)
{
    int wider = *room ? *room * 2 : 8;
    void *p = arena_alloc(a, (size_t)wider * each);

    if (*room)
        memcpy(p, at, (size_t)*room * each);
    *room = wider;
    return p;
}

static void text_room(Text *t, size_t more)
{
    if (t->n + more + 1 <= t->room)
        return;
    size_t room = t->room ? t->room * 2 : 64;
    while (room < t->n + more + 1)
        room *= 2;
    char *s = arena_alloc(t->arena, room);
    if (t->n)
        memcpy(s, t->s, t->n);
    t->s = s;
    t->room = room;
}

void text_vprint(Text *t, const char *format, va_list args)
{
    va_list again;

    va_copy(again, args);
    text_room(t, 16); /* most prints fit into what is there: one go */
    size_t room = t->room - t->n;
    int n = vsnprintf(t->s + t->n, room, format, args);
    if (n < 0)
        bug("cannot print with \"%s\"", format);
    if ((size_t)n >= room) {
        text_room(t, (size_t)n);
        vsnprintf(t->s + t->n, (size_t)n + 1, format, again);
    }
    va_end(again);
    t->n += (size_t)n;
}

void text_print(Text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vprint(t, format, args);
    va_end(args);
}

void text_add(Text *t, const char *s, size_t n)
{
    text_room(t, n);
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = '\0';
}

const char *number_text(Arena *a, double x)
{
    char s[40];

    if (isnan(x))
        return "nan";
    if (isinf(x))
        return x > 0 ? "inf" : "-inf";
    if (x == floor(x) && fabs(x) < 1e15) {
        snprintf(s, sizeof s, "%.0f", x == 0 ? 0.0 : x);
        return arena_copy(a, s, strlen(s));
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    return arena_copy(a, s, strlen(s));
}

void bug_at(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "nnc: bug at %s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\nnnc: this is our mistake, not yours; please report it with the .nn file\n", stderr);
    exit(EXIT_BUG);
}
