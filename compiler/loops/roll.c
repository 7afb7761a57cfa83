/* roll.c -- statements that repeat with other numbers become a loop, which the C compiler unrolls again.
 *
 * A transform along one axis of a small square is the same few additions for each of its rows. Expressions know nothing
 * of that, so their statements come row after row:
 *
 *     const nn_v t3 = a + b; ...  const nn_v t8 = c + d; ...   ->   nn_v t3[2]; NN_TILE(row, 2) { t3[row] = ...; }
 *
 * where a row's statements use nothing of another row. */
#include "loops/nest.h"

#include "loops/form.h"

#include <ctype.h>

enum { FEWEST_LETTERS = 2000, FEWEST_LINES = 12 /* that are saved */ };

/* What one line is, but for its numbers: names are replaced by how many lines before they were declared. */
typedef struct Line {
    int token;    /* its first one */
    uint64_t hash;
    int reach;    /* of the name that was declared first */
} Line;

typedef struct Declared {
    const Token *token;
    int line;
} Declared;

typedef struct Roll {
    Scope *s;
    Arena *arena;
    Form all;                /* the statements outside of the tile */
    LIST(Line) lines;
    int first, length, rows; /* lines from `first`, so many a row */
    Form *row;               /* in the order in which their numbers grow */
} Roll;

static uint64_t mixed(uint64_t hash, const char *s, int n)
{
    for (int i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)s[i]) * 1099511628211u;
    return hash;
}

static bool same_token(const Token *x, const Token *y) { return x->n == y->n && memcmp(x->s, y->s, (size_t)x->n) == 0; }

/* The line in which the name was declared last. */
static int declared_in(const Declared *names, int n, const Token *t)
{
    while (n-- > 0)
        if (same_token(names[n].token, t))
            return names[n].line;
    return -1;
}

static void read_lines(Roll *r)
{
    const Token *t = r->all.tokens.at;
    int names = 0;
    Declared *name = NEW_ARRAY(r->arena, Declared, r->all.tokens.n);
    Line x = {0};

    for (int i = 0; i < r->all.tokens.n; i++) {
        int now = r->lines.n;
        if (t[i].kind == TOKEN_NAME) {
            if (i >= 2 && token_is_blank(&t[i - 1]) && token_is_type(&t[i - 2]))
                name[names++] = (Declared){&t[i], now};
            int distance = now - declared_in(name, names, &t[i]);
            x.reach = distance > x.reach ? distance : x.reach;
            x.hash = mixed(x.hash, (const char *)&distance, sizeof distance);
        } else if (t[i].kind == TOKEN_TEXT) {
            x.hash = mixed(x.hash, t[i].s, t[i].n);
        }
        x.hash = mixed(x.hash, "", 1);
        if (*t[i].s == '\n') {
            PUSH(r->arena, r->lines, x);
            x = (Line){.token = i + 1};
        }
    }
}

/* No line of the row reaches to what is before it. */
static bool is_closed(const Roll *r, int first, int length)
{
    for (int i = 0; i < length; i++)
        if (r->lines.at[first + i].reach > i)
            return false;
    return true;
}

static int count_rows(const Roll *r, int first, int length)
{
    const Line *l = r->lines.at;
    int rows = 1, i = first + length;

    for (; i < r->lines.n && l[i].hash == l[i - length].hash; i++)
        rows += (i + 1 - first) % length == 0;
    return rows;
}

/* The rows that save most lines. */
static bool find_rows(Roll *r)
{
    int most = FEWEST_LINES - 1;

    for (int first = 0; first < r->lines.n; first++)
        for (int length = 4; first + 2 * length <= r->lines.n; length++) {
            if (r->lines.at[first].hash != r->lines.at[first + length].hash)
                continue;
            int rows = count_rows(r, first, length);
            if ((rows - 1) * length > most && is_closed(r, first, length)) {
                most = (rows - 1) * length;
                r->first = first;
                r->length = length;
                r->rows = rows;
            }
        }
    return most >= FEWEST_LINES;
}

/* --- the numbers of the rows --- */

static const char *lines_text(const Roll *r, int from, int to)
{
    const Token *t = r->all.tokens.at;
    const char *begin = t[r->lines.at[from].token].s;
    const char *end = to < r->lines.n ? t[r->lines.at[to].token].s : begin + strlen(begin);

    return arena_print(r->arena, "%.*s", (int)(end - begin), begin);
}

/* Which row comes first does not matter: they are put into the order of the first number that differs. */
static void sort_rows(Roll *r, Form **forms, const Columns *c)
{
    const int64_t *at = c->list.at[0].at;

    for (int i = 0; i < r->rows; i++) {
        int before = 0;
        for (int k = 0; k < r->rows; k++)
            before += at[k] < at[i] || (at[k] == at[i] && k < i);
        forms[before] = &r->row[i];
    }
}

/* The text of a row as it depends on its number, or NULL. */
static const char *row_text(Roll *r, Form **forms, const char *step)
{
    Columns c;
    int64_t *number = NEW_ARRAY(r->arena, int64_t, r->rows);

    for (int i = 0; i < r->rows; i++) {
        forms[i] = &r->row[i];
        form_read(r->arena, forms[i], lines_text(r, r->first + i * r->length, r->first + (i + 1) * r->length), false);
        if (!form_same(forms[0], forms[i]))
            return NULL;
        number[i] = i;
    }
    columns_make(&c, r->arena, forms, r->rows, INT64_MAX);
    if (c.list.n == 0)
        return NULL;
    sort_rows(r, forms, &c);
    columns_make(&c, r->arena, forms, r->rows, INT64_MAX);
    return columns_follow(&c, number, step) ? columns_text(&c, forms) : NULL;
}

/* --- names that are used behind the rows --- */

/* `as` stands for it there. */
typedef struct Renamed {
    Token name;
    const char *as;
} Renamed;

typedef LIST(Renamed) Renames;

static const Renamed *renamed(const Renames *list, const Token *t)
{
    for (int i = 0; i < list->n; i++)
        if (same_token(&list->at[i].name, t))
            return &list->at[i];
    return NULL;
}

static const char *rename_all(Arena *a, const Renames *list, const char *text)
{
    Form f = {0};
    Text t = {.arena = a};

    form_read(a, &f, text, false);
    for (int i = 0; i < f.tokens.n; i++) {
        const Renamed *x = f.tokens.at[i].kind == TOKEN_NUMBER ? NULL : renamed(list, &f.tokens.at[i]);
        if (x)
            text_print(&t, "%s", x->as);
        else
            text_add(&t, f.tokens.at[i].s, (size_t)f.tokens.at[i].n);
    }
    return t.n ? t.s : "";
}

static bool is_used(const Form *behind, const Token *name)
{
    for (int i = 0; i < behind->tokens.n; i++)
        if (behind->tokens.at[i].kind != TOKEN_NUMBER && same_token(&behind->tokens.at[i], name))
            return true;
    return false;
}

/* Declared names of the first row that are used behind the rows become arrays: `here` inside the loop, `there` behind it. */
static void name_arrays(Roll *r, Form *const *forms, const Form *behind, const char *step, Renames *here, Renames *there)
{
    for (int k = 0; k < forms[0]->tokens.n; k++) {
        const Token *name = &forms[0]->tokens.at[k];
        bool used = false;
        if (name->kind != TOKEN_NAME || renamed(here, name))
            continue;
        for (int i = 0; i < r->rows; i++)
            used = used || is_used(behind, &forms[i]->tokens.at[k]);
        if (!used)
            continue;
        PUSH(r->arena, *here, ((Renamed){*name, arena_print(r->arena, "%.*s[%s]", name->n, name->s, step)}));
        for (int i = 0; i < r->rows; i++)
            PUSH(r->arena, *there, ((Renamed){forms[i]->tokens.at[k], arena_print(r->arena, "%.*s[%d]", name->n, name->s, i)}));
    }
}

/* The loop: "const nn_v t3 = " becomes "t3[row] = " and an array. */
static const char *loop_text(const Roll *r, const char *row, const Renames *here, const char *step)
{
    Text arrays = {.arena = r->arena}, inside = {.arena = r->arena};
    int depth = r->s->depth;

    for (const char *s = row, *end; *s; s = end) {
        Form f = {0};
        int k = 0;
        end = strchr(s, '\n') + 1;
        form_read(r->arena, &f, arena_print(r->arena, "%.*s", (int)(end - s), s), false);
        while (k < f.tokens.n && f.tokens.at[k].kind != TOKEN_NAME)
            k++;
        bool moved = k < f.tokens.n && k >= 2 && token_is_type(&f.tokens.at[k - 2]) && renamed(here, &f.tokens.at[k]);
        if (moved)
            line(&arrays, depth, "%.*s %.*s[%d];", f.tokens.at[k - 2].n, f.tokens.at[k - 2].s, f.tokens.at[k].n, f.tokens.at[k].s, r->rows);
        const char *from = moved ? f.tokens.at[k].s : s + strspn(s, " ");
        int deeper = moved ? 0 : (int)strspn(s, " ") / 2 - depth;
        const char *text = rename_all(r->arena, here, arena_print(r->arena, "%.*s", (int)(strchr(from, '\n') - from), from));
        line(&inside, depth + 1 + deeper, "%s", text);
    }
    return arena_print(r->arena, "%s%*sNN_TILE(%s, %d) {\n%s%*s}\n", arrays.n ? arrays.s : "", 2 * depth, "", step, r->rows, inside.s, 2 * depth, "");
}

/* --- the place at the beginning --- */

static bool ends_in_number(const char *from, const char *to)
{
    const char *s = to;

    while (s > from && isdigit((unsigned char)s[-1]))
        s--;
    return s < to && s - from > 3 && strncmp(s - 3, " + ", 3) == 0;
}

/* What ends the place that begins at s: the bracket that closes it, or a comma. */
static const char *place_end(const char *s)
{
    for (int deep = 1; *s; s++) {
        deep += *s == '(' || *s == '[';
        deep -= *s == ')' || *s == ']';
        if (deep == 0 || (deep == 1 && *s == ','))
            return s;
    }
    return NULL;
}

static bool is_behind(const char *text, const char *at, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(at - text) >= n && strncmp(at - n, word, n) == 0;
}

static bool is_load(const char *text, const char *at) { return is_behind(text, at, "nn_load(") || is_behind(text, at, "nn_load_ahead("); }

/* Places are sums with a number behind them, but for the first one: now that has a zero. */
static const char *with_zeros(Arena *a, const char *text)
{
    const char *s = text;
    Text t = {.arena = a};

    for (const char *at; (at = strpbrk(s, "([")); s = at) {
        const char *end = place_end(++at);
        text_add(&t, s, (size_t)(at - s));
        s = at;
        bool place = at[-1] == '[' || is_load(text, at);
        if (!place || !end || !memchr(at, '+', (size_t)(end - at)) || ends_in_number(at, end))
            continue;
        text_add(&t, at, (size_t)(end - at));
        text_print(&t, " + 0");
        at = end;
    }
    text_print(&t, "%s", s);
    return t.s;
}

static const char *without_zeros(Arena *a, const char *s)
{
    Text t = {.arena = a};

    for (const char *zero; (zero = strstr(s, " + 0")); s = zero + 4)
        text_add(&t, s, (size_t)(zero - s) + (zero[4] && strchr(")],", zero[4]) ? 0 : 4));
    text_print(&t, "%s", s);
    return t.s;
}

/* --- the door --- */

static void put_loop(Roll *r, const char **last)
{
    Scope *s = r->s;
    Form **forms = NEW_ARRAY(r->arena, Form *, r->rows), behind = {0};
    const char *step = nest_fresh_name(s->n, "row"), *row;
    const char *before = r->first > 0 ? lines_text(r, 0, r->first) : "";
    int end = r->first + r->rows * r->length;
    const char *after = end < r->lines.n ? lines_text(r, end, r->lines.n) : "";
    Renames here = {0}, there = {0};
    Text all = {.arena = r->arena};

    r->row = NEW_ARRAY(r->arena, Form, r->rows);
    row = row_text(r, forms, step);
    if (!row)
        return;
    text_print(&all, "%s", after);
    for (int d = 1; d <= s->n->c->ntiles; d++)
        text_print(&all, "%s", s->level[d].n ? s->level[d].s : "");
    text_print(&all, "%s", *last);
    form_read(r->arena, &behind, all.s, false);
    name_arrays(r, forms, &behind, step, &here, &there);
    s->level[0].n = 0;
    text_print(&s->level[0], "%s%s%s", without_zeros(r->arena, before), loop_text(r, row, &here, step),
               without_zeros(r->arena, rename_all(r->arena, &there, after)));
    for (int d = 1; d <= s->n->c->ntiles; d++) {
        const char *text = rename_all(r->arena, &there, s->level[d].n ? s->level[d].s : "");
        s->level[d].n = 0;
        text_print(&s->level[d], "%s", text);
    }
    *last = arena_print(s->n->b->arena, "%s", rename_all(r->arena, &there, *last));
}

void scope_roll(Scope *s, const char **last)
{
    if (s->level[0].n < FEWEST_LETTERS)
        return;
    Roll r = {.s = s, .arena = arena_new()};
    form_read(r.arena, &r.all, with_zeros(r.arena, s->level[0].s), false);
    read_lines(&r);
    if (find_rows(&r))
        put_loop(&r, last);
    arena_free(r.arena);
}
