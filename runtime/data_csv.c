/* data_csv.c -- tables as text: csv("iris.csv", separator = ",").
 *
 * The first line names the columns; a character that no name in a .nn file can have becomes an underscore. A column
 * whose first cell is a number holds numbers, and then every cell must be one; any other column holds the names of
 * classes, numbered in the order of their bytes. Quotes as in RFC 4180; CRLF, a byte order mark and empty lines are
 * passed over. An empty cell, NA, nan or inf is an error that says where: nnc does not guess what is missing. */
#include "data_reader.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_CLASSES = 1 << 16, MOST_COLUMNS = 1 << 20 };

/* The texts of one column, numbered as they come; a hash table of numbers + 1. */
typedef struct Classes {
    char **names;
    int n, room;
    uint32_t *slots;
    uint32_t nslots; /* a power of two, at least twice n */
} Classes;

typedef struct Csv {
    const char *path;
    const uint8_t *at, *end;
    const uint8_t *line_start;
    int64_t line;
    char separator;
    /* the cell last read */
    Text cell;
    bool quoted;
    int64_t cell_line, cell_column;
    /* what becomes of the columns */
    int ncolumns;
    Column *columns;
    Classes *classes;
    int64_t rows, room;
} Csv;

static bool csv_fail(const Csv *c, Fault *f, const char *column, const char *format, const char *cell)
{
    char what[200];

    snprintf(what, sizeof what, format, cell);
    return nn_fail(f, EXIT_FILE, "%s:%lld:%lld: %s%s%s%s", c->path, (long long)c->cell_line, (long long)c->cell_column,
                   column ? "column '" : "", column ? column : "", column ? "': " : "", what);
}

/* After a quote: up to its fellow. Two quotes stand for one. */
static bool csv_quoted(Csv *c, Fault *f)
{
    for (;;) {
        if (c->at == c->end)
            return csv_fail(c, f, NULL, "this quote is never closed%s", "");
        if (*c->at == '"') {
            if (c->at + 1 == c->end || c->at[1] != '"')
                break;
            c->at++;
        } else if (*c->at == '\n') {
            c->line++;
            c->line_start = c->at + 1;
        }
        nn_text_add(&c->cell, (const char *)c->at++, 1);
    }
    c->at++;
    while (c->at < c->end && (*c->at == ' ' || (*c->at == '\r' && c->at + 1 < c->end && c->at[1] == '\n')))
        c->at++;
    if (c->at < c->end && *c->at != (uint8_t)c->separator && *c->at != '\n' && *c->at != '\r')
        return csv_fail(c, f, NULL, "after the closing quote of this cell there is more%s", "");
    return true;
}

/* The next cell of the line, without the blanks around it; at then stands on a separator, a newline or the end. */
static bool csv_cell(Csv *c, Fault *f)
{
    const uint8_t *start;

    while (c->at < c->end && (*c->at == ' ' || (*c->at == '\t' && c->separator != '\t')))
        c->at++;
    c->cell_line = c->line;
    c->cell_column = c->at - c->line_start + 1;
    c->cell.n = 0;
    nn_text_add(&c->cell, "", 0);
    c->quoted = c->at < c->end && *c->at == '"';
    start = c->at;
    if (c->quoted) {
        c->at++;
        if (!csv_quoted(c, f))
            return false;
    } else {
        size_t n;

        while (c->at < c->end && *c->at != (uint8_t)c->separator && *c->at != '\n')
            c->at++;
        for (n = (size_t)(c->at - start); n > 0 && (isspace(start[n - 1])); n--)
            ;
        nn_text_add(&c->cell, (const char *)start, n);
    }
    if (c->cell.failed)
        return nn_fail_memory(f, c->path, c->cell.n);
    if (memchr(c->cell.s, 0, c->cell.n) != NULL)
        return csv_fail(c, f, NULL, "there is a byte 0 in this cell: the file is not text%s", "");
    return true;
}

/* Past a separator: true; at the end of the line: false, and past it. */
static bool csv_more(Csv *c)
{
    if (c->at < c->end && *c->at == '\r')
        c->at++;
    if (c->at == c->end)
        return false;
    if (*c->at++ == (uint8_t)c->separator)
        return true;
    c->line++;
    c->line_start = c->at;
    return false;
}

static void csv_skip_empty(Csv *c)
{
    for (;;) {
        const uint8_t *p = c->at;

        while (p < c->end && (*p == ' ' || *p == '\r' || (*p == '\t' && c->separator != '\t')))
            p++;
        if (p == c->end)
            c->at = p;
        if (p == c->end || *p != '\n')
            return;
        c->at = p + 1;
        c->line++;
        c->line_start = c->at;
    }
}

/* A decimal number and nothing else. */
static bool csv_number(const char *s, double *number)
{
    char *end;

    if (*s == '\0' || strspn(s, "+-.0123456789eE") != strlen(s))
        return false;
    *number = strtod(s, &end);
    return *end == '\0';
}

static bool csv_missing(const char *s)
{
    static const char *const words[] = {"", "na", "n/a", "nan", "null", "none", "?", "-", "inf", "-inf", "+inf", "infinity"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* --- the columns --- */

static bool csv_header(Csv *c, Fault *f)
{
    int room = 0;

    do {
        char *name;
        double number;

        if (!csv_cell(c, f))
            return false;
        if (c->cell.n == 0)
            return csv_fail(c, f, NULL, "a column without a name%s", "");
        if (!c->quoted && csv_number(c->cell.s, &number))
            return csv_fail(c, f, NULL, "the first line should name the columns, but has the number %.40s", c->cell.s);
        for (name = c->cell.s; *name; name++)
            if (!isalnum((unsigned char)*name) && *name != '_' && (unsigned char)*name < 128)
                *name = '_';
        for (int i = 0; i < c->ncolumns && c->ncolumns < 10000; i++)
            if (strcmp(c->columns[i].name, c->cell.s) == 0)
                return csv_fail(c, f, NULL, "two columns are called '%.100s'", c->cell.s);
        if (c->ncolumns == MOST_COLUMNS)
            return csv_fail(c, f, NULL, "more than a million columns%s", "");
        if (c->ncolumns == room) {
            Column *more;

            room = room > 0 ? 2 * room : 16;
            more = realloc(c->columns, (size_t)room * sizeof *more);
            if (more == NULL)
                return nn_fail_memory(f, c->path, (size_t)room * sizeof *more);
            c->columns = more;
        }
        c->columns[c->ncolumns] = (Column){.name = strdup(c->cell.s), .size = 1, .type = DATA_F32};
        if (c->columns[c->ncolumns++].name == NULL)
            return nn_fail_memory(f, c->path, c->cell.n);
    } while (csv_more(c));
    c->classes = nn_new(f, c->path, (size_t)c->ncolumns, sizeof *c->classes);
    return c->classes != NULL;
}

/* Room for one more row: twice as much as there are. */
static bool csv_grow(Csv *c, Fault *f)
{
    if (c->rows < c->room)
        return true;
    c->room = c->room > 0 ? 2 * c->room : 1;
    for (int i = 0; i < c->ncolumns; i++) {
        void *more = realloc(c->columns[i].data, (size_t)c->room * 4);

        if (more == NULL)
            return nn_fail_memory(f, c->path, (size_t)c->room * 4);
        c->columns[i].data = more;
    }
    return true;
}

static uint32_t hash(const char *s)
{
    uint32_t h = 2166136261u;

    while (*s)
        h = (h ^ (uint8_t)*s++) * 16777619u;
    return h;
}

static uint32_t *classes_slot(Classes *k, const char *name)
{
    uint32_t i = hash(name) & (k->nslots - 1);

    while (k->slots[i] != 0 && strcmp(k->names[k->slots[i] - 1], name) != 0)
        i = (i + 1) & (k->nslots - 1);
    return &k->slots[i];
}

static bool classes_grow(Classes *k, Fault *f)
{
    int room = k->room > 0 ? 2 * k->room : 8;
    char **names = realloc(k->names, (size_t)room * sizeof *names);
    uint32_t *slots = nn_new(f, "classes", (size_t)room * 2, sizeof *slots);

    if (names != NULL)
        k->names = names;
    if (names == NULL || slots == NULL) {
        free(slots);
        return nn_fail_memory(f, "classes", (size_t)room * sizeof *names);
    }
    free(k->slots);
    k->slots = slots;
    k->nslots = (uint32_t)room * 2;
    k->room = room;
    for (int i = 0; i < k->n; i++)
        *classes_slot(k, k->names[i]) = (uint32_t)i + 1;
    return true;
}

/* The number of a class, a new one if need be; -1 on failure. */
static int classes_number(Classes *k, const char *name, Fault *f)
{
    uint32_t *slot;

    if (k->n == k->room && !classes_grow(k, f))
        return -1;
    slot = classes_slot(k, name);
    if (*slot == 0) {
        k->names[k->n] = strdup(name);
        if (k->names[k->n] == NULL) {
            nn_fail_memory(f, "classes", strlen(name));
            return -1;
        }
        *slot = (uint32_t)++k->n;
    }
    return (int)*slot - 1;
}

static bool csv_value(Csv *c, int i, Fault *f)
{
    Column *column = &c->columns[i];
    double number = 0;
    bool numeric = !c->quoted && csv_number(c->cell.s, &number);

    if (!c->quoted && csv_missing(c->cell.s))
        return csv_fail(c, f, column->name, c->cell.n ? "'%s' is no value: remove the line or fill it in"
                                                      : "the value is missing: remove the line or fill it in%s", c->cell.s);
    if (c->rows == 0)
        column->type = numeric ? DATA_F32 : DATA_I32;
    if (column->type == DATA_I32) {
        int class = classes_number(&c->classes[i], c->cell.s, f);

        if (c->classes[i].n > MOST_CLASSES)
            return csv_fail(c, f, column->name, "more than 65,536 different texts are no classes%s", "");
        ((int32_t *)column->data)[c->rows] = class;
        return class >= 0;
    }
    if (!numeric)
        return csv_fail(c, f, column->name, "'%.80s' is not a number, as the cells above it are", c->cell.s);
    if (!isfinite((float)number))
        return csv_fail(c, f, column->name, "%.80s is too large for a float", c->cell.s);
    ((float *)column->data)[c->rows] = (float)number;
    return true;
}

static bool csv_rows(Csv *c, Fault *f)
{
    for (csv_skip_empty(c); c->at < c->end; csv_skip_empty(c)) {
        int i = 0;
        bool more;

        if (!csv_grow(c, f))
            return false;
        do {
            char what[80];

            if (!csv_cell(c, f))
                return false;
            if (i < c->ncolumns && !csv_value(c, i, f))
                return false;
            more = csv_more(c);
            i++;
            snprintf(what, sizeof what, "the line has %s than the %d cells of the first line", more ? "more" : "fewer", c->ncolumns);
            if (more ? i == c->ncolumns : i < c->ncolumns)
                return csv_fail(c, f, NULL, "%s", what);
        } while (more);
        c->rows++;
    }
    return true;
}

typedef struct Named {
    const char *name;
    int number;
} Named;

static int named_order(const void *a, const void *b)
{
    return strcmp(((const Named *)a)->name, ((const Named *)b)->name);
}

/* Class numbers in the order of the names' bytes: they do not depend on the order of the lines. */
static bool csv_sort_classes(Csv *c, int i, Fault *f)
{
    Classes *k = &c->classes[i];
    Column *column = &c->columns[i];
    Named *sorted = nn_new(f, "classes", (size_t)k->n, sizeof *sorted);
    int32_t *now = nn_new(f, "classes", (size_t)k->n, sizeof *now), *at = column->data;

    for (int j = 0; j < k->n && sorted && now; j++)
        sorted[j] = (Named){k->names[j], j};
    if (sorted && now) {
        qsort(sorted, (size_t)k->n, sizeof *sorted, named_order);
        for (int j = 0; j < k->n; j++)
            now[sorted[j].number] = j;
        for (int64_t r = 0; r < c->rows; r++)
            at[r] = now[at[r]];
        for (int j = 0; j < k->n; j++)
            k->names[j] = (char *)sorted[j].name;
        column->class_names = k->names;
        column->classes = k->n;
        free(k->slots);
        *k = (Classes){0};
    }
    free(sorted);
    free(now);
    return f->status == 0;
}

static void csv_free(Csv *c)
{
    Data rest = {.ncolumns = c->ncolumns, .columns = c->columns};

    for (int i = 0; i < c->ncolumns && c->classes; i++) {
        for (int j = 0; j < c->classes[i].n; j++)
            free(c->classes[i].names[j]);
        free(c->classes[i].names);
        free(c->classes[i].slots);
    }
    free(c->classes);
    nn_text_free(&c->cell);
    nn_data_free(&rest);
}

static bool csv_separator(const Call *call, const char *path, char *separator, Fault *f)
{
    size_t n = strlen(path);
    const char *text;

    if (!nn_call_text(call, 1, "separator", n > 4 && !strcmp(path + n - 4, ".tsv") ? "\t" : ",", &text, f))
        return false;
    if (!strcmp(text, "tab") || !strcmp(text, "\\t"))
        text = "\t";
    *separator = text[0];
    if (strlen(text) == 1 && !isalnum((unsigned char)text[0]) && !strchr("\"\n\r .+-_", text[0]))
        return true;
    return nn_fail(f, EXIT_USAGE, "csv: the separator should be one character like \",\" \";\" \"|\" or \"tab\", not \"%s\"", text);
}

static bool csv_parse(Csv *c, const Bytes *bytes, Fault *f)
{
    c->at = bytes->at;
    c->end = bytes->at + bytes->n;
    if (bytes->n >= 3 && memcmp(c->at, "\xef\xbb\xbf", 3) == 0)
        c->at += 3;
    c->line = 1;
    c->line_start = c->at;
    if (nn_bytes_guess(c->at, (size_t)(c->end - c->at))[0] != '\0')
        return nn_fail(f, EXIT_FILE, "%s is not a table%s", c->path, nn_bytes_guess(c->at, (size_t)(c->end - c->at)));
    csv_skip_empty(c);
    if (c->at == c->end)
        return nn_fail(f, EXIT_FILE, "%s is blank", c->path);
    if (!csv_header(c, f) || !csv_rows(c, f))
        return false;
    if (c->rows == 0)
        return nn_fail(f, EXIT_FILE, "%s has a line with the names of columns, but no samples", c->path);
    for (int i = 0; i < c->ncolumns; i++)
        if (c->columns[i].type == DATA_I32 && !csv_sort_classes(c, i, f))
            return false;
    return true;
}

bool nn_read_csv(const Call *call, Data *data, Fault *f)
{
    Csv c = {0};
    Stream s = {0};
    Bytes bytes = {0};
    const char *path;
    bool done;

    if (!nn_call_text(call, 0, "path", NULL, &path, f) || !csv_separator(call, path, &c.separator, f))
        return false;
    data->origin = nn_call_find(call, 0, path, f);
    if (data->origin == NULL)
        return false;
    c.path = data->origin;
    done = nn_stream_open(c.path, &s, f) && nn_stream_rest(&s, &bytes, f) && csv_parse(&c, &bytes, f);
    nn_stream_close(&s);
    free(bytes.at);
    if (done) {
        data->columns = c.columns;
        data->ncolumns = c.ncolumns;
        c.columns = NULL;
        c.ncolumns = 0;
    }
    data->n = c.rows;
    csv_free(&c);
    return done;
}
