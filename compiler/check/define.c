/* define.c -- what names mean: the library, imported files, options, constants and definitions. */
#include "check/value.h"

#include "base/embedded.h"

#include <errno.h>
#include <stdlib.h>

static const char *space_of(Arena *a, const char *path)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    return arena_copy(a, base, strcspn(base, "."));
}

/* The library is parsed once a process: its trees never change. */
typedef struct Library {
    const char *space;
    Node *tree;
} Library;

static int library_load(const Library **out)
{
    static struct { Arena *arena; LIST(Library) files; } all;

    if (!all.arena) {
        all.arena = arena_new();
        for (const Embedded *e = library_files; e->path; e++) {
            if (!strstr(e->path, ".nn"))
                continue;
            Library one = {space_of(all.arena, e->path), NULL};
            one.tree = parse(all.arena, source_add(e->path, e->text, strlen(e->text), true));
            PUSH(all.arena, all.files, one);
        }
    }
    *out = all.files.at;
    return all.files.n;
}

void library_visit(DocVisitor *each, void *data)
{
    const Library *lib;
    int n = library_load(&lib);

    for (int i = 0; i < n; i++)
        for (int k = 0; k < lib[i].tree->n; k++)
            if (lib[i].tree->child[k]->kind == NODE_DEFINE)
                each(data, lib[i].space, lib[i].tree->child[k]);
}

/* The sizes of the first input, or NULL: what tells definitions of one name apart. */
static const Node *first_sizes(const Def *d)
{
    const Node *ports = def_part(d, NODE_PORTS, 0);
    return ports && ports->n && ports->child[0]->n ? ports->child[0]->child[0] : NULL;
}

static Def *defs_named(const Checker *c, const char *name)
{
    int first = names_find(&c->def_names, name);

    return first < 0 ? NULL : c->defs.at[first];
}

static void define_add(Checker *c, const char *space, const Node *n)
{
    Def *d = NEW(c->arena, Def), *last = NULL;

    *d = (Def){.name = n->text, .space = space, .node = n};
    for (Def *old = defs_named(c, d->name); old; old = old->namesake) {
        const Node *a = first_sizes(old), *b = first_sizes(d);
        last = old;
        if (*space || *old->space || (a && b && a->n != b->n))
            continue;
        error_at(n->name, "'%s' is defined twice", n->text);
        note_at(old->node->name, "first defined here");
        return;
    }
    if (last)
        last->namesake = d;
    else
        names_add(c->arena, &c->def_names, d->name, c->defs.n);
    PUSH(c->arena, c->defs, d);
}

static const Define *define_given(Checker *c, const char *name)
{
    for (int i = 0; i < c->ndefines; i++)
        if (strcmp(c->defines[i].name, name) == 0) {
            c->defines[i].used = true;
            return &c->defines[i];
        }
    return NULL;
}

static bool defined_twice(Checker *c, const char *name, Span at)
{
    for (int i = 0; i < c->globals.n; i++)
        if (strcmp(c->globals.at[i].name, name) == 0) {
            error_at(at, "'%s' is defined twice", name);
            note_at(c->globals.at[i].span, "first defined here");
            return true;
        }
    return false;
}

/* A value from the command line is parsed like the one it replaces: `x = VALUE` in a file of its own. */
static Val given_value(Checker *c, Frame *f, const Define *d)
{
    const char *text = arena_print(c->arena, "value = %s\n", d->value);
    int file = source_add(arena_print(c->arena, "-D %s=%s", d->name, d->value), text, strlen(text), false);
    int before = error_count();
    Node *tree = parse(c->arena, file);

    if (error_count() > before || tree->n != 1 || tree->child[0]->kind != NODE_CONSTANT)
        return val_error();
    const Node *value = tree->child[0]->child[0];
    /* A bare word that names nothing is a text: -D set=first. */
    if (value->kind == NODE_NAME && !frame_find(f, value->text)) {
        bool found;
        Val v = global_value(c, value, &found);
        if (found)
            return v;
        return (Val){.kind = VAL_TEXT, .text = value->text, .span = value->span};
    }
    return eval(c, f, value);
}

/* The value of an option, by default or given; given it must be of the same kind. */
static Val option_value(Checker *c, Frame *f, const Node *setting, const Define *d)
{
    Val v = eval(c, f, setting->child[0]);

    if (!d)
        return v;
    Val given = given_value(c, f, d);
    bool truth = v.kind == VAL_BOOL && given.kind == VAL_NUMBER && (given.number == 0 || given.number == 1);
    if (given.kind == VAL_ERROR || v.kind == VAL_ERROR || given.kind == v.kind)
        return given;
    if (truth)
        return val_bool(given.number != 0);
    if ((v.kind == VAL_NUMBER || v.kind == VAL_BOOL || v.kind == VAL_TEXT) && given.kind != VAL_LIST) {
        error_at(NOWHERE, "-D %s=%s: '%s' is %s in the file, this is %s", d->name, d->value, d->name, val_kind(c, v), val_kind(c, given));
        note_at(setting->name, "the option");
    }
    return given;
}

static void option_add(Checker *c, Frame *f, const Node *setting)
{
    const Define *d = define_given(c, setting->text);
    Val v = option_value(c, f, setting, d);
    Bind b = {.name = setting->text, .val = v, .span = setting->name};
    Text t = {.arena = c->arena};

    if (defined_twice(c, setting->text, setting->name))
        return;
    b.val.span = setting->name;
    PUSH(c->arena, c->globals, b);
    if (d)
        text_print(&t, "%s", d->value);
    else
        tree_source(&t, setting->child[0]);
    Setting s = {.name = setting->text, .text = t.s, .where = setting->span};
    s.value = setting_value(c, f, setting->child[0]);
    if (v.kind == VAL_NUMBER || v.kind == VAL_BOOL) {
        s.value = (Value){.kind = v.kind == VAL_NUMBER ? VALUE_NUMBER : VALUE_BOOL, .number = v.number};
    } else if (v.kind == VAL_TEXT) {
        s.value = (Value){.kind = VALUE_TEXT, .text = v.text};
    }
    PUSH(c->arena, c->program->options, s);
}

/* -D names that no option has. */
static void unknown_defines(Checker *c)
{
    LIST(const char *) names = {0};

    for (int i = 0; i < c->program->options.n; i++)
        PUSH(c->arena, names, c->program->options.at[i].name);
    for (int i = 0; i < c->ndefines; i++) {
        const Define *d = &c->defines[i];
        if (d->used)
            continue;
        error_at(NOWHERE, "-D %s=%s: %s has no option '%s'", d->name, d->value, c->program->source, d->name);
        if (suggest_among(c, NULL, d->name, names.n, names.at))
            continue;
        help(names.n ? "its options are %s" : "it has no options%s", names_text(c->arena, names.n, names.at));
    }
}

static void import_file(Checker *c, const Node *n, int depth);

static void define_items(Checker *c, const Node *tree, int depth)
{
    Frame *f = frame_new(c, NULL, NULL);

    /* Definitions first: a constant may speak of a layer further down. */
    for (int i = 0; i < tree->n; i++)
        if (tree->child[i]->kind == NODE_DEFINE)
            define_add(c, "", tree->child[i]);
    for (int i = 0; i < tree->n; i++) {
        const Node *n = tree->child[i];
        switch (n->kind) {
        case NODE_IMPORT: import_file(c, n, depth); break;
        case NODE_OPTION:
            for (int k = 0; k < n->n; k++)
                option_add(c, f, n->child[k]);
            break;
        case NODE_CONSTANT: {
            Bind b = {.name = n->text, .val = eval(c, f, n->child[0]), .span = n->name};
            if (b.val.kind == VAL_LAYER && !b.val.layer->bound)
                b.val.layer->bound = n->text;
            if (defined_twice(c, n->text, n->name))
                break;
            PUSH(c->arena, c->globals, b);
            break;
        }
        default: break;
        }
    }
}

static void import_file(Checker *c, const Node *n, int depth)
{
    const Source *from = source_get(n->span.file);
    const char *slash = strrchr(from->path, '/');
    const char *path = n->text;

    if (depth >= 64) {
        error_at(n->span, "imports are nested more than 64 deep");
        return;
    }
    if (*path != '/' && slash)
        path = arena_print(c->arena, "%.*s/%s", (int)(slash - from->path), from->path, n->text);
    for (int i = 0; i < source_count(); i++)
        if (strcmp(source_get(i)->path, path) == 0)
            return; /* each file once, also in a cycle */
    int file = source_read(path);
    if (file < 0) {
        error_at(n->span, "cannot read \"%s\": %s", path, strerror(errno));
        return;
    }
    Node *tree = parse(c->arena, file);
    define_items(c, tree, depth + 1);
}

void define_all(Checker *c, const Node *tree)
{
    const Library *lib;
    int n = library_load(&lib);

    for (int i = 0; i < n; i++)
        for (int k = 0; k < lib[i].tree->n; k++) {
            const Node *item = lib[i].tree->child[k];
            if (item->kind == NODE_DEFINE)
                define_add(c, lib[i].space, item);
        }
    define_items(c, tree, 0);
    unknown_defines(c);
}

int defs_in(Checker *c, const char *space, const char *name, Def ***defs)
{
    LIST(Def *) found = {0};

    for (Def *d = defs_named(c, name); d; d = d->namesake)
        if (strcmp(d->space, space) == 0)
            PUSH(c->arena, found, d);
    *defs = found.at;
    return found.n;
}

static const char *const everywhere[] = {"layers", "activations", "math"};

bool def_visible(const char *first, const Def *d)
{
    bool visible = !*d->space || (first && strcmp(d->space, first) == 0);

    for (int i = 0; i < 3; i++)
        visible |= strcmp(d->space, everywhere[i]) == 0;
    return visible;
}

int defs_find(Checker *c, const char *first, const char *name, Def ***defs)
{
    int n = defs_in(c, "", name, defs);

    if (!n && first)
        n = defs_in(c, first, name, defs);
    for (int i = 0; !n && i < 3; i++)
        n = defs_in(c, everywhere[i], name, defs);
    return n;
}

Val global_value(Checker *c, const Node *name, bool *found)
{
    Def **defs;

    *found = true;
    for (int i = c->globals.n; i-- > 0;) {
        Bind *b = &c->globals.at[i];
        if (strcmp(b->name, name->text) == 0 && (in_library(b->span) || !in_library(name->span))) {
            b->used = true;
            return b->val;
        }
    }
    int n = defs_find(c, c->space, name->text, &defs);
    if (n) {
        LayerVal *l = NEW(c->arena, LayerVal);
        for (int i = 0; i < n; i++)
            defs[i]->used = true;
        *l = (LayerVal){.kind = LAYER_DEF, .name = name->text, .space = defs[0]->space, .node = name};
        return (Val){.kind = VAL_LAYER, .layer = l, .span = name->span};
    }
    *found = false;
    return val_error();
}
