/* diag.c -- prints news: the place, the source line, what is meant in it, and what to do about it. */
#include "base/diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WIDEST = 100,     /* columns of a source line that are shown */
    TAB = 4,          /* tabs are shown as spaces, so that what stands below stays below */
    NOTE_COLUMN = 36, /* where the place of a note begins */
};

/* An error or a warning with its notes. */
typedef struct Item {
    int file, line;
    int number; /* in the order in which they were found */
    Text text;
} Item;

static struct {
    Text *to; /* NULL: standard error */
    int errors, warnings;
    bool silent;             /* the news before is not shown: neither are its notes */
    Arena *arena;            /* of what follows */
    LIST(Item) items;        /* not shown yet */
    LIST(const char *) said; /* news told so far, to say each only once */
} news;

/* --- colour: a letter names a style, and is nothing when nobody looks --- */

static bool colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return !news.to && !(no && *no) && !(term && !strcmp(term, "dumb")) && isatty(2);
}

static const char *style(const char *code) { return colour() ? code : ""; }

#define BOLD    style("\033[1m")
#define RED     style("\033[1;31m")
#define MAGENTA style("\033[1;35m")
#define CYAN    style("\033[1;36m")
#define GREEN   style("\033[1;32m")
#define PLAIN   style("\033[0m")

/* --- a source line as it is shown --- */

/* Reads one code point; an invalid byte is U+FFFD and one byte long. */
static int code_point(const char *s, const char *end, int *length)
{
    const unsigned char *u = (const unsigned char *)s;
    static const int least[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = *u < 0x80 ? 1 : *u >> 5 == 6 ? 2 : *u >> 4 == 14 ? 3 : *u >> 3 == 30 ? 4 : 0;
    int c = n == 1 ? *u : *u & (0x7F >> n);

    *length = 1;
    if (n == 0 || n > end - s)
        return 0xFFFD;
    for (int i = 1; i < n; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0xFFFD;
        c = c << 6 | (u[i] & 0x3F);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0xFFFD;
    *length = n;
    return c;
}

/* Controls could play tricks on a terminal, and text that runs backwards on the reader. */
static bool is_tricky(int c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF;
}

/* Columns a code point takes on a terminal. */
static int code_width(int c)
{
    static const struct { int first, last, width; } table[] = {
        {0x300, 0x36F, 0},     {0x1100, 0x115F, 2},   {0x20D0, 0x20FF, 0},   {0x2E80, 0xA4CF, 2},
        {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},   {0xFE00, 0xFE0F, 0},   {0xFE30, 0xFE6F, 2},
        {0xFF00, 0xFF60, 2},   {0xFFE0, 0xFFE6, 2},   {0x1F300, 0x1FAFF, 2}, {0x20000, 0x3FFFD, 2},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (c >= table[i].first && c <= table[i].last)
            return table[i].width;
    return 1;
}

/* Appends s..end to t, if there is one, made harmless; a tab ends at the next multiple of TAB counted from `column`.
 * Returns the column after it. */
static int show(Text *t, const char *s, const char *end, int column)
{
    for (int n; s < end; s += n) {
        int c = code_point(s, end, &n), w = code_width(c);
        if (c == '\t') {
            w = TAB - column % TAB;
            if (t)
                text_print(t, "%*s", w, "");
        } else if (is_tricky(c) || c == 0xFFFD) {
            w = 1;
            if (t)
                text_print(t, "\xEF\xBF\xBD");
        } else if (t) {
            text_add(t, s, (size_t)n);
        }
        column += w;
    }
    return column;
}

/* The line of a source in which a byte stands. */
typedef struct Line {
    int file, number, start, end;
    int from, to; /* the columns of it that are shown, to not included */
} Line;

static int column_of(const Line *l, int byte)
{
    const char *text = source_get(l->file)->text;

    if (byte > l->end)
        byte = l->end;
    return show(NULL, text + l->start, text + byte, 0);
}

static Line line_at(Span s)
{
    const Source *source = source_get(s.file);
    Line l = {.file = s.file};
    int column;

    source_place(s, &l.number, &column);
    l.start = l.end = s.start < source->size ? s.start : source->size;
    while (l.start > 0 && source->text[l.start - 1] != '\n')
        l.start--;
    while (l.end < source->size && source->text[l.end] != '\n')
        l.end++;
    while (l.end > l.start && source->text[l.end - 1] == '\r')
        l.end--;
    if (l.start == 0 && !strncmp(source->text, "\xEF\xBB\xBF", 3))
        l.start = 3;

    /* A long line is shown from some way before the place. */
    int at = column_of(&l, s.start), all = column_of(&l, l.end);
    l.to = all;
    if (all > WIDEST) {
        l.from = at > WIDEST * 2 / 3 ? at - WIDEST / 2 : 0;
        if (l.from + WIDEST > all)
            l.from = all - WIDEST;
        l.to = l.from + WIDEST;
    }
    return l;
}

/* Appends the columns l->from..l->to of the line, with "..." in place of what is cut off. */
static void line_show(Text *t, const Line *l)
{
    const char *text = source_get(l->file)->text, *s = text + l->start, *end = text + l->end;
    int column = 0, length = column_of(l, l->end);

    for (int n, next; s < end && column <= l->to; s += n, column = next) {
        code_point(s, end, &n);
        next = show(NULL, s, s + n, column);
        bool cut = (next <= l->from + 3 && l->from > 0) || (next > l->to - 3 && l->to < length);
        if (next > l->from && next <= l->to && cut)
            text_print(t, ".");
        else if (next > l->from && next <= l->to)
            show(t, s, s + n, column);
    }
}

static void spaces_to(Text *t, int *column, int to)
{
    if (to > *column)
        text_print(t, "%*s", to - *column, "");
    if (to > *column)
        *column = to;
}

/* Columns under which a span of this line stands; false when it cannot be seen. */
static bool under(const Line *l, Span s, int *from, int *to)
{
    if (s.file != l->file || s.start < l->start || s.start > l->end)
        return false;
    *from = column_of(l, s.start);
    *to = column_of(l, s.end > s.start ? s.end : s.start);
    if (*to > l->to)
        *to = l->to;
    if (*to <= *from)
        *to = *from + 1;
    if (*from < l->from || *from > l->to)
        return false;
    *from -= l->from;
    *to -= l->from;
    return true;
}

static void gutter(Text *t) { text_print(t, "\n      | "); }

/* The line, the row of ^~~~ and ~~~ below it, and rows of labels, as many as do not run into each other. */
static void snippet(Text *t, const Line *l, Span at, const Mark *marks, int nmarks, const char *hue)
{
    char row[2 * WIDEST + 8];
    int from, to, end = 0;

    text_print(t, "%5d |%s", l->number, l->end > l->start ? " " : "");
    line_show(t, l);
    memset(row, ' ', sizeof row);
    for (int i = nmarks; i >= 0; i--) { /* the place itself comes last: it wins */
        if (!under(l, i ? marks[i - 1].span : at, &from, &to))
            continue;
        memset(row + from, '~', (size_t)(to - from));
        if (i == 0)
            row[from] = '^';
        end = to > end ? to : end;
    }
    gutter(t);
    text_print(t, "%s%.*s%s", hue, end, row, PLAIN);

    bool *done = NEW_ARRAY(t->arena, bool, nmarks + 1);
    for (bool more = true; more;) {
        int column = 0, next = 0;
        more = false;
        for (;;) { /* leftmost first */
            int best = -1, best_from = 0;
            for (int i = 0; i < nmarks; i++)
                if (!done[i] && marks[i].label && under(l, marks[i].span, &from, &to) &&
                    from >= next && (best < 0 || from < best_from))
                    best = i, best_from = from;
            if (best < 0)
                break;
            if (!more)
                gutter(t);
            more = done[best] = true;
            spaces_to(t, &column, best_from);
            const char *label = marks[best].label;
            column = show(t, label, label + strlen(label), column);
            next = column + 1;
        }
    }
    text_print(t, "\n");
}

/* --- news --- */

static const char *formatted(Arena *a, const char *format, va_list args)
{
    Text raw = {.arena = a}, clean = {.arena = a};

    text_vprint(&raw, format, args);
    text_print(&clean, "%s", "");
    show(&clean, raw.s, raw.s + raw.n, 0);
    return clean.s;
}

static void place_print(Text *t, Span at)
{
    if (at.file < 0)
        text_print(t, "nnc");
    else
        text_print(t, "%s", span_text(t->arena, at));
}

static void note_print(Text *t, const char *hue, const char *kind, Span at, const char *message)
{
    int column = 4 + (int)strlen(kind);

    text_print(t, "  %s%s:%s ", hue, kind, PLAIN);
    column = show(t, message, message + strlen(message), column);
    if (at.file >= 0) {
        spaces_to(t, &column, column + 2 > NOTE_COLUMN ? column + 2 : NOTE_COLUMN);
        text_print(t, "%s", span_text(t->arena, at));
    }
    text_print(t, "\n");
}

/* Snippets in the order of the file, each line once, then the marks that none of them shows. */
static void snippets(Text *t, Span at, const Mark *marks, int nmarks, const char *hue)
{
    LIST(Line) lines = {0};
    int from, to;

    PUSH(t->arena, lines, line_at(at));
    for (int i = 0; i < nmarks; i++) {
        if (marks[i].span.file != at.file)
            continue;
        Line l = line_at(marks[i].span);
        int j = lines.n;
        for (int k = 0; k < lines.n; k++)
            if (lines.at[k].number == l.number)
                j = -1;
        if (j < 0)
            continue;
        PUSH(t->arena, lines, l);
        for (; j > 0 && lines.at[j - 1].number > l.number; j--)
            lines.at[j] = lines.at[j - 1];
        lines.at[j] = l;
    }
    for (int i = 0; i < lines.n; i++) {
        if (i && lines.at[i].number > lines.at[i - 1].number + 1)
            text_print(t, "  ...\n");
        bool here = under(&lines.at[i], at, &from, &to);
        snippet(t, &lines.at[i], here ? at : NOWHERE, marks, nmarks, hue);
    }
    for (int i = 0; i < nmarks; i++) {
        bool shown = false;
        for (int j = 0; j < lines.n; j++)
            shown |= under(&lines.at[j], marks[i].span, &from, &to);
        if (!shown && marks[i].label)
            note_print(t, CYAN, "note", marks[i].span, marks[i].label);
    }
}

static Text *new_item(Span at)
{
    int line = 0, column;

    if (at.file >= 0)
        source_place(at, &line, &column);
    PUSH(news.arena, news.items, ((Item){at.file, line, news.items.n, {.arena = news.arena}}));
    return &news.items.at[news.items.n - 1].text;
}

/* Says each thing once, and not more than MAX_ERRORS things of a kind. */
static bool worth_saying(const char *message, Span at, int *count, const char *kind)
{
    const char *key =
        arena_print(news.arena, "%d:%d:%d:%s:%s", at.file, at.start, at.end, kind, message);
    for (int i = 0; i < news.said.n; i++)
        if (!strcmp(news.said.at[i], key))
            return false;
    if (++*count > MAX_ERRORS) {
        if (*count == MAX_ERRORS + 1)
            text_print(new_item(NOWHERE), "nnc: more %ss are not shown\n", kind);
        return false;
    }
    PUSH(news.arena, news.said, key);
    return true;
}

static void tell(bool is_error, Span at, const Mark *marks, int nmarks, const char *format, va_list args)
{
    const char *kind = is_error ? "error" : "warning", *hue = is_error ? RED : MAGENTA;

    if (!news.arena) {
        news.arena = arena_new();
        atexit(news_show);
    }
    const char *message = formatted(news.arena, format, args);
    news.silent = !worth_saying(message, at, is_error ? &news.errors : &news.warnings, kind);
    if (news.silent)
        return;
    Text *t = new_item(at);
    text_print(t, "%s", BOLD);
    place_print(t, at);
    text_print(t, ": %s%s:%s %s%s%s\n", hue, kind, PLAIN, BOLD, message, PLAIN);
    if (at.file >= 0)
        snippets(t, at, marks, nmarks, hue);
}

/* Line by line, as a reader goes through the file; in a line the cause before what follows from it. What has no place comes
 * last. */
static int compare(const void *p, const void *q)
{
    const Item *x = p, *y = q;

    if ((x->file < 0) != (y->file < 0))
        return x->file < 0 ? 1 : -1;
    if (x->file != y->file)
        return x->file - y->file;
    return x->line != y->line ? x->line - y->line : x->number - y->number;
}

void news_show(void)
{
    if (news.items.n > 0)
        qsort(news.items.at, (size_t)news.items.n, sizeof *news.items.at, compare);
    for (int i = 0; i < news.items.n; i++) {
        const Text *t = &news.items.at[i].text;
        if (news.to)
            text_add(news.to, t->s, t->n);
        else
            fwrite(t->s, 1, t->n, stderr);
    }
    news.items.n = 0;
}

void error_at(Span at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(true, at, NULL, 0, format, args);
    va_end(args);
}

void error_marks(Span at, const Mark *marks, int nmarks, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(true, at, marks, nmarks, format, args);
    va_end(args);
}

void warning_at(Span at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(false, at, NULL, 0, format, args);
    va_end(args);
}

static void add_note(const char *hue, const char *kind, Span at, const char *format, va_list args)
{
    if (!news.silent && news.items.n > 0)
        note_print(&news.items.at[news.items.n - 1].text, hue, kind, at, formatted(news.arena, format, args));
}

void note_at(Span at, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_note(CYAN, "note", at, format, args);
    va_end(args);
}

void help(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_note(GREEN, "help", NOWHERE, format, args);
    va_end(args);
}

void news_drop(void) { news.silent = true; }

int error_count(void) { return news.errors; }

void diag_to(Text *t)
{
    news_show();
    news.to = t;
}

void diag_reset(void)
{
    news.errors = news.warnings = 0;
    news.said.n = 0;
    news.items.n = 0;
    news.silent = false;
}
