/* news.c -- errors of the checker: where the user meets them, by way of which definitions, and what was meant. */
#include "check/value.h"

#include "base/embedded.h"

#include <ctype.h>

bool in_library(Span s) { return s.file >= 0 && source_get(s.file)->library; }

/* --- the chain of definitions --- */

/* A value short enough to stand in a note, or NULL. */
static const char *brief(Checker *c, Val v)
{
    Text t = {.arena = c->arena};

    switch (v.kind) {
    case VAL_NUMBER: return number_text(c->arena, v.number);
    case VAL_BOOL: return v.number != 0 ? "true" : "false";
    case VAL_WORD: return v.text;
    case VAL_LAYER: return v.layer->kind == LAYER_DEF && !v.layer->nargs ? v.layer->name : NULL;
    case VAL_LIST:
        for (int i = 0; i < v.n; i++) {
            const char *item = brief(c, v.items[i]);
            if (!item)
                return NULL;
            text_print(&t, "%s%s", i ? ", " : "(", item);
        }
        text_print(&t, "%s", v.n ? ")" : "()");
        return t.s;
    default: return NULL;
    }
}

/* "basic(32, stride = 2)": the call with the values its settings had; as written where they are no numbers. */
static const char *call_text(Checker *c, const Frame *f)
{
    Text t = {.arena = c->arena}, written = {.arena = c->arena};
    bool plain = f->def && f->ngiven;

    if (plain)
        text_print(&t, "%s(", f->def->name);
    for (int i = 0; i < f->ngiven && plain; i++) {
        const Arg *a = &f->given[i];
        const char *value = brief(c, a->val);
        plain = value != NULL;
        if (plain)
            text_print(&t, "%s%s%s%s", i ? ", " : "", a->name ? a->name : "", a->name ? " = " : "", value);
    }
    tree_source(&written, f->call);
    const char *s = plain ? arena_print(c->arena, "%s)", t.s) : written.s;
    return strlen(s) <= 60 || !f->def ? s : f->def->name;
}

static void notes_in(Checker *c, const Frame *f)
{
    enum { MOST = 8 };
    Span shown[MOST];
    int n = 0;

    for (; f && n < MOST; f = f->caller) {
        if (!f->call || !f->def || in_library(f->call->span))
            continue;
        bool again = false;
        for (int i = 0; i < n; i++)
            again |= shown[i].file == f->call->span.file && shown[i].start == f->call->span.start;
        if (again)
            continue;
        shown[n++] = f->call->span;
        note_at(f->call->span, "in %s", call_text(c, f));
    }
}

/* --- names of other systems --- */

/* Conv2D, conv2d and CONV_2D are one word. */
static bool same_word(const char *a, const char *b, size_t n)
{
    size_t i = 0;

    for (; *a || i < n;) {
        if (*a == '_')
            a++;
        else if (i < n && b[i] == '_')
            i++;
        else if (i == n || tolower((unsigned char)*a++) != tolower((unsigned char)b[i++]))
            return false;
    }
    return true;
}

/* One line of foreign.txt, "SCOPE.TARGET: words -- why": does it speak of `wrong`? */
static bool foreign_line(const char *line, const char *end, const char *scope, const char *wrong)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    const char *dot = colon ? memchr(line, '.', (size_t)(colon - line)) : NULL;

    if (!colon || *line == '#' || (dot != NULL) != (scope != NULL))
        return false;
    if (dot && *line != '*' && (strlen(scope) != (size_t)(dot - line) || strncmp(scope, line, strlen(scope)) != 0))
        return false;
    for (const char *w = colon + 1; w < end;) {
        size_t n = 0;
        while (w < end && *w == ' ')
            w++;
        while (w + n < end && w[n] != ' ')
            n++;
        if (n == 2 && !strncmp(w, "--", 2))
            return false;
        if (n && same_word(wrong, w, n))
            return true;
        w += n;
    }
    return false;
}

static bool foreign(Checker *c, const char *scope, const char *wrong, const char **name, const char **why)
{
    const char *text = NULL;

    for (int i = 0; library_files[i].path; i++)
        if (strcmp(library_files[i].path, "lang/foreign.txt") == 0)
            text = library_files[i].text;
    for (const char *line = text, *end; line && *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        if (!foreign_line(line, end, scope, wrong))
            continue;
        const char *from = scope ? strchr(line, '.') + 1 : line, *dashes = strstr(line, " -- ");
        *name = arena_copy(c->arena, from, strcspn(from, ":"));
        *why = dashes && dashes < end ? arena_copy(c->arena, dashes + 4, (size_t)(end - dashes - 4)) : NULL;
        return true;
    }
    return false;
}

/* --- errors --- */

/* The body that the user called and in which, further down in the library, f stands. */
static const Frame *users_call(const Frame *f)
{
    while (f && !(f->call && f->def && !in_library(f->call->span)))
        f = f->caller;
    return f;
}

/* What the user wrote for the name that stands at `at` in the library: the setting to blame. */
static Span blamed(const Frame *f, Span at)
{
    const Source *s = source_get(at.file);

    for (int i = 0; i < f->binds.n; i++) {
        const Bind *b = &f->binds.at[i];
        size_t n = strlen(b->name);
        if (n == (size_t)(at.end - at.start) && !strncmp(s->text + at.start, b->name, n) && b->span.file >= 0 &&
            !in_library(b->span))
            return b->span;
    }
    return f->call->span;
}

static void tell(Checker *c, const Frame *f, Span at, const Mark *marks, int nmarks, const char *message)
{
    const Frame *call = in_library(at) ? users_call(f) : NULL;
    Span inside = at;

    if (!call) {
        error_marks(at, marks, nmarks, "%s", message);
        notes_in(c, f);
        return;
    }
    if (call == c->failed) {
        news_drop();
        return;
    }
    c->failed = call;
    at = call == f ? blamed(call, at) : call->call->span;
    error_marks(at, marks, nmarks, "%s: %s", call->def->name, message);
    note_at(inside, "here in the library");
    if (call->ninputs && !nmarks) {
        Text t = {.arena = c->arena};
        for (int i = 0; i < call->ninputs; i++)
            if (call->inputs[i].kind == VAL_TENSOR)
                text_print(&t, "%s%s", t.n ? " and " : "", shape_text(c, call->caller, call->inputs[i].tensor));
        if (t.n)
            note_at(NOWHERE, "it is given %s", t.s);
    }
    notes_in(c, call->caller);
}

void error_in(Checker *c, const Frame *f, Span at, const char *format, ...)
{
    Text t = {.arena = c->arena};
    va_list args;

    va_start(args, format);
    text_vprint(&t, format, args);
    va_end(args);
    tell(c, f, at, NULL, 0, t.s);
}

void error_marks_in(Checker *c, const Frame *f, Span at, const Mark *marks, int nmarks, const char *format, ...)
{
    Text t = {.arena = c->arena};
    va_list args;

    va_start(args, format);
    text_vprint(&t, format, args);
    va_end(args);
    tell(c, f, at, marks, nmarks, t.s);
}

static bool overlap(Span a, Span b) { return a.file == b.file && a.start < b.end && b.start < a.end; }

void help_with(Checker *c, const char *key, const char *const *words)
{
    const char *name, *why;
    Text t = {.arena = c->arena};

    if (!foreign(c, "shapes", key, &name, &why) || !why)
        return;
    for (const char *s = why; *s; s++) {
        if (*s == '$' && s[1] >= '1' && s[1] <= '9')
            text_print(&t, "%s", words[*++s - '1']);
        else
            text_add(&t, s, 1);
    }
    help("%s", t.s);
}

void help_shapes(Checker *c, const Frame *body)
{
    const Frame *f = body->caller;
    if (body->ninputs != 2 || body->inputs[1].kind != VAL_TENSOR || body->inputs[1].span.end <= body->inputs[1].span.start)
        return;
    const Tensor *t[2] = {body->inputs[0].tensor, body->inputs[1].tensor};
    const int64_t *size[2] = {sample_size(f, t[0]), sample_size(f, t[1])};
    int rank = sample_rank(f, t[0]), other = sample_rank(f, t[1]), differ = 0;

    if ((rank == 1) != (other == 1) && rank && other && size[0][0] == size[1][0])
        help_with(c, "spread", NULL);
    if (rank && rank != other && elements(rank, size[0]) == elements(other, size[1]))
        help_with(c, "reshape", (const char *[]){shape_text(c, f, t[1])});
    if (rank < 2 || rank != other)
        return;
    for (int i = 0; i < rank; i++)
        differ |= size[0][i] == size[1][i] ? 0 : i ? 2 : 1;
    if (differ > 2)
        return;
    int less = size[0][differ - 1] > size[1][differ - 1];
    Span at = body->inputs[less].span;
    const char *written = arena_copy(c->arena, source_get(at.file)->text + at.start, (size_t)(at.end - at.start));
    const char *words[] = {strlen(written) <= 40 && !strchr(written, '\n') ? written : "the smaller one",
                           number_text(c->arena, (double)size[!less][0]), shape_text(c, f, t[!less])};
    help_with(c, differ == 1 ? "channels" : "places", words);
}

void error_inputs(Checker *c, const Frame *body, const char *format, ...)
{
    const Node *call = body->call;
    Span at = call ? call->span : body->def->node->name;
    Mark *marks = NEW_ARRAY(c->arena, Mark, body->ninputs);
    Text t = {.arena = c->arena};
    va_list args;
    int n = 0;

    va_start(args, format);
    text_vprint(&t, format, args);
    va_end(args);
    if (call && call->kind == NODE_CALL && body->ninputs && overlap(body->inputs[0].span, at))
        at = call->child[0]->span; /* add(x, y): the inputs stand within the call */
    for (int i = 0; i < body->ninputs; i++) {
        Val v = body->inputs[i];
        if (v.kind == VAL_TENSOR && v.span.file == at.file && v.span.end > v.span.start && !overlap(v.span, at))
            marks[n++] = (Mark){v.span, shape_text(c, body->caller, v.tensor)};
    }
    tell(c, body->caller, at, marks, n, arena_print(c->arena, "%s: %s", body->def->name, t.s));
    if (!in_library(body->def->node->span) && call)
        note_at(body->def->node->name, "defined here");
}

/* --- did you mean --- */

const char *names_text(Arena *a, int n, const char *const *names)
{
    Text t = {.arena = a};

    for (int i = 0; i < n; i++)
        text_print(&t, "%s%s", i ? ", " : "", names[i]);
    return t.s ? t.s : "";
}

bool suggest_among(Checker *c, const char *scope, const char *wrong, int n, const char *const *names)
{
    const char *name, *why;

    if (foreign(c, scope, wrong, &name, &why)) {
        if (strcmp(name, "-") == 0)
            help("%s", why ? why : "leave it out");
        else
            help("did you mean '%s'?%s%s", name, why ? " " : "", why ? why : "");
        return true;
    }
    const char *near = nearest(wrong, names, n);
    if (near)
        help("did you mean '%s'?", near);
    return near != NULL;
}

/* A name of the library that has its meaning elsewhere: a loss among layers. */
static bool elsewhere(Checker *c, const char *name)
{
    static const struct { const char *space, *place; } places[] = {
        {"losses", "loss = %s in train"},         {"metrics", "metrics = %s in train"},
        {"optimizers", "optimizer = %s in train"}, {"schedules", "schedule = %s in train"},
        {"clips", "clip = %s in train"},           {"penalties", "penalty = %s in train"},
        {"inits", "param w[O, C] ~ %s"}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (int k = 0; k < c->defs.n; k++) {
            const Def *d = c->defs.at[k];
            if (strcmp(d->space, places[i].space) != 0 || strcmp(d->name, name) != 0)
                continue;
            const char *before = strchr(places[i].place, '%');
            help("'%s' is one of the %s; it stands in %.*s%s%s", name, d->space, (int)(before - places[i].place),
                 places[i].place, name, before + 2);
            return true;
        }
    return false;
}

void suggest(Checker *c, Frame *f, const char *wrong)
{
    LIST(const char *) names = {0};
    const char *name, *why;
    Def **defs;

    for (int i = 0; i < c->defs.n && c->space; i++) /* of two that are equally near the first is taken */
        if (strcmp(c->defs.at[i]->space, c->space) == 0)
            PUSH(c->arena, names, c->defs.at[i]->name);
    for (Frame *g = f; g; g = g->outer)
        for (int i = 0; i < g->binds.n; i++)
            PUSH(c->arena, names, g->binds.at[i].name);
    for (int i = 0; i < c->globals.n; i++)
        PUSH(c->arena, names, c->globals.at[i].name);
    for (int i = 0; i < c->defs.n; i++)
        if (def_visible(c->space, c->defs.at[i]))
            PUSH(c->arena, names, c->defs.at[i]->name);
    for (int i = 0; op_at(i); i++)
        PUSH(c->arena, names, op_at(i)->name);
    for (int i = 0; word_at(i); i++)
        PUSH(c->arena, names, word_at(i));
    for (int i = 0; c->data && i < c->ncolumns; i++)
        PUSH(c->arena, names, c->columns[i]);
    for (int i = 0; c->data && i < c->raws.n; i++)
        PUSH(c->arena, names, c->raws.at[i]->name);
    if (elsewhere(c, wrong))
        return;
    if (foreign(c, NULL, wrong, &name, &why) && strcmp(name, "-") != 0 && !defs_find(c, c->space, name, &defs) &&
        elsewhere(c, name))
        return;
    if (suggest_among(c, NULL, wrong, names.n, names.at) || !c->transform)
        return;
    LIST(const char *) fields = {0};
    for (int i = 0; i < c->raws.n; i++)
        PUSH(c->arena, fields, c->raws.at[i]->name);
    for (int i = 0; i < c->ncolumns; i++)
        PUSH(c->arena, fields, c->columns[i]);
    if (fields.n)
        help("the data has %s", names_text(c->arena, fields.n, fields.at));
}
