/* diag.h -- sources, places in them, and news for the user about them.
 *
 * An error goes out as
 *
 *     model.nn:3:9: error: no layer named 'tahn'
 *         3 |     x -> tahn -> dense(10)
 *           |          ^~~~
 *       note: in block(4)        model.nn:9:5
 *       help: did you mean 'tanh'?
 *
 * News is collected and shown in the order of the lines; the compiler goes on and finds the next one.
 * After MAX_ERRORS it says so and stays silent. The state is one per process: nnc compiles one model. */
#ifndef NNC_DIAG_H
#define NNC_DIAG_H

#include "base/base.h"

enum { MAX_ERRORS = 20 };

/* Bytes start..end (end not included) of source number file; file < 0 is nowhere. */
typedef struct Span {
    int file, start, end;
} Span;

#define NOWHERE ((Span){-1, 0, 0})

typedef struct Source {
    const char *path; /* as the user wrote it; "lang/layers.nn" for the library */
    const char *text; /* ends in NUL, which is not counted in size */
    int size;
    bool library;
} Source;

/* Adds a source that is already in memory, or reads it from a file (-1, with the reason in errno).
 * Text and path are copied. Sources live until the process ends. */
int source_add(const char *path, const char *text, size_t size, bool library);
int source_read(const char *path);
const Source *source_get(int file);
int source_count(void);
/* Line and column count from 1; a column counts code points. */
void source_place(Span s, int *line, int *column);
/* "model.nn:3:9", in the arena; "" for NOWHERE. */
const char *span_text(Arena *a, Span s);
/* The same without the folders of a file that is not the library's: for what is read elsewhere. */
const char *span_text_short(Arena *a, Span s);
Span span_join(Span a, Span b);

/* Where else the same news points: a span with what to write under it. */
typedef struct Mark {
    Span span;
    const char *label;
} Mark;

void error_at(Span at, const char *format, ...) PRINTF_LIKE(2, 3);
/* marks: further spans to underline with ~~~ and, below, their labels (two shapes that disagree). */
void error_marks(Span at, const Mark *marks, int nmarks, const char *format, ...) PRINTF_LIKE(4, 5);
void warning_at(Span at, const char *format, ...) PRINTF_LIKE(2, 3);
/* A note or a help belongs to the error or warning before it, and is dropped with it. */
void note_at(Span at, const char *format, ...) PRINTF_LIKE(2, 3);
void help(const char *format, ...) PRINTF_LIKE(1, 2);
/* What would be said next is kept quiet: notes and helps up to the next error or warning are dropped. */
void news_drop(void);

/* All that is collected: when there will be no more for a while; at the end of the process it happens by itself. */
void news_show(void);

int error_count(void);
/* Standard error by default; tests may collect instead. Colour only on a terminal without NO_COLOR. */
void diag_to(Text *t);
void diag_reset(void); /* forget the counts (tests) */

/* The name nearest to `wrong` by edit distance among n, or NULL when none is near enough. */
const char *nearest(const char *wrong, const char *const *names, int n);

#endif
