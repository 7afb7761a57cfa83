/* source.c -- the texts nnc reads, and places in them as people count: lines and columns. */
#include "base/diag.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

typedef struct Entry {
    Source source;
    int *line; /* byte at which each line starts, ascending; line[0] is 0 */
    int nlines;
} Entry;

/* Sources live until the process ends, so their arena is never freed. */
static struct {
    Arena *arena;
    LIST(Entry) entries;
} all;

enum { LARGEST = INT_MAX / 4 };

static void lines_find(Entry *e)
{
    LIST(int) lines = {0};

    PUSH(all.arena, lines, 0);
    for (const char *p = e->source.text, *end = p + e->source.size;
         (p = memchr(p, '\n', (size_t)(end - p)));)
        PUSH(all.arena, lines, (int)(++p - e->source.text));
    e->line = lines.at;
    e->nlines = lines.n;
}

int source_add(const char *path, const char *text, size_t size, bool library)
{
    if (size > LARGEST) {
        errno = EFBIG;
        return -1;
    }
    if (!all.arena)
        all.arena = arena_new();
    Entry e = {.source = {arena_copy(all.arena, path, strlen(path)),
                          arena_copy(all.arena, text, size), (int)size, library}};
    lines_find(&e);
    PUSH(all.arena, all.entries, e);
    return all.entries.n - 1;
}

int source_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    Text t = {.arena = arena_new()};
    char part[1 << 14];
    size_t n;
    int file = -1;

    if (f) {
        while ((n = fread(part, 1, sizeof part, f)) > 0 && t.n <= LARGEST)
            text_add(&t, part, n);
        if (!ferror(f))
            file = source_add(path, t.s ? t.s : "", t.n, false);
        int reason = errno;
        fclose(f);
        errno = reason;
    }
    arena_free(t.arena);
    return file;
}

const Source *source_get(int file)
{
    if (file < 0 || file >= all.entries.n)
        bug("there is no source %d", file);
    return &all.entries.at[file].source;
}

int source_count(void) { return all.entries.n; }

/* The last line that starts at or before the byte. */
static int line_of(const Entry *e, int byte)
{
    int low = 0, high = e->nlines;

    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (e->line[middle] <= byte)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void source_place(Span s, int *line, int *column)
{
    *line = *column = 1;
    if (s.file < 0)
        return;
    source_get(s.file);
    const Entry *e = &all.entries.at[s.file];
    int l = line_of(e, s.start), from = e->line[l];
    if (from == 0 && !strncmp(e->source.text, "\xEF\xBB\xBF", 3))
        from = 3; /* a byte order mark is no column */
    *line = l + 1;
    for (int i = from; i < s.start && i < e->source.size; i++)
        *column += ((unsigned char)e->source.text[i] & 0xC0) != 0x80; /* not inside a code point */
}

const char *span_text(Arena *a, Span s)
{
    int line, column;

    if (s.file < 0)
        return "";
    source_place(s, &line, &column);
    return arena_print(a, "%s:%d:%d", source_get(s.file)->path, line, column);
}

const char *span_text_short(Arena *a, Span s)
{
    const char *text = span_text(a, s), *folder = s.file < 0 || source_get(s.file)->library ? NULL : strrchr(text, '/');

    return folder ? folder + 1 : text;
}

Span span_join(Span a, Span b)
{
    if (a.file < 0)
        return b;
    if (b.file != a.file)
        return a;
    return (Span){a.file, a.start < b.start ? a.start : b.start, a.end > b.end ? a.end : b.end};
}
