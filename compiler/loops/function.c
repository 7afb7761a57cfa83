/* function.c -- kernels become C functions; equal ones become one. */
#include "loops/build.h"

#include <ctype.h>

int kernel_arg(Kernel *k, Storage *s, bool writes)
{
    int i = 0;

    while (i < k->nargs && k->arg[i] != s)
        i++;
    if (i == MAX_ARGS)
        bug("a kernel with more than %d pointers", MAX_ARGS);
    if (i == k->nargs)
        k->arg[k->nargs++] = s;
    k->writes[i] = k->writes[i] || writes;
    return i;
}

const char *c_name(Arena *a, const char *name)
{
    Text t = {.arena = a};

    if (isdigit((unsigned char)*name))
        text_add(&t, "_", 1);
    for (; *name; name++) {
        char c = isalnum((unsigned char)*name) ? *name : '_';
        text_add(&t, &c, 1);
    }
    return t.n ? t.s : "_";
}

const char *element_type(const Storage *s)
{
    return s->layout.order == ORDER_DOUBLE ? "double" : s->layout.integer ? "int32_t" : "float";
}

static const char *parameters(Arena *a, const Kernel *k, const char *const *names)
{
    Text t = {.arena = a};

    for (int i = 0; i < k->nargs; i++) {
        const char *type = element_type(k->arg[i]);
        text_print(&t, "%s", i ? ", " : "");
        if (strcmp(type, "float") == 0)
            text_print(&t, "%s %s", k->writes[i] ? "nn_out" : "nn_in", names[i]);
        else
            text_print(&t, "%s%s *restrict %s", k->writes[i] ? "" : "const ", type, names[i]);
    }
    for (int i = 0; i < k->nnumbers; i++)
        text_print(&t, ", uint32_t stream%d", i);
    const char *comma = k->nargs ? ", " : "";
    if (k->takes_n) {
        text_print(&t, "%slong n", comma);
        comma = ", ";
    }
    if (!k->blocked)
        text_print(&t, "%slong first, long end", comma);
    else if (k->takes_block) {
        text_print(&t, "%slong block", comma);
        comma = ", ";
    }
    if (k->strip)
        text_print(&t, "%slong %s", comma, k->strip);
    return t.s;
}

const char *kernel_name(Arena *a, const char *tensor)
{
    enum { PARTS = 2 };
    const char *from = tensor + strlen(tensor);
    bool gradient = strncmp(tensor, "d.", 2) == 0;

    tensor += gradient ? 2 : 0;
    for (int parts = 0; from > tensor; from--)
        if (from[-1] == '.' && ++parts == PARTS)
            break;
    return arena_print(a, gradient ? "d_%s" : "%s", c_name(a, from));
}

/* Where a name begins, all of it but its last letter, and how many letters to skip: of "stage1.basic2.conv1.weight" only
 * "conv1.weight", for equal layers share the function. */
static size_t put_name(Text *t, const char *s, char before)
{
    size_t n = 0, parts = 0, from = 0;
    bool gradient = strncmp(s, "d.", 2) == 0;

    if (!isalpha((unsigned char)*s) || isalnum((unsigned char)before) || before == '_' || before == '.')
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || (s[n] == '.' && isalnum((unsigned char)s[n + 1])))
        n++;
    for (from = n; from > 0 && parts < 2; from--)
        parts += s[from - 1] == '.';
    if (parts == 2 && !(gradient && from == 1)) {
        text_print(t, "%s", gradient ? "d." : "");
        from++;
    } else {
        from = 0;
    }
    text_add(t, s + from, n - from - 1);
    return n - 1;
}

enum { LONG_COMMENT = 120 };

/* Equations in comments: what would end the comment is parted, and a long one is not told to its end. */
static const char *equation_text(Arena *a, const Equation *q)
{
    Text t = {.arena = a}, safe = {.arena = a};

    equation_print(&t, q);
    for (size_t i = 0; i < t.n; i++) {
        if (strncmp(&t.s[i], " where\n", 7) == 0) {
            text_print(&safe, " (t1, t2 ...: parts that several need, computed first)");
            break;
        }
        i += put_name(&safe, &t.s[i], i ? t.s[i - 1] : ' ');
        text_add(&safe, &t.s[i], 1);
        if ((t.s[i] == '*' && t.s[i + 1] == '/') || (t.s[i] == '/' && t.s[i + 1] == '*'))
            text_add(&safe, " ", 1);
        if (t.s[i] == '\n')
            text_add(&safe, " * ", 3);
    }
    while (safe.n && (safe.s[safe.n - 1] == '\n' || safe.s[safe.n - 1] == ' ' || safe.s[safe.n - 1] == '*'))
        safe.s[--safe.n] = '\0';
    if (safe.n > LONG_COMMENT) {
        safe.n = LONG_COMMENT;
        while (safe.s[safe.n - 1] != ' ')
            safe.n--;
        text_print(&safe, "...");
    }
    const char *where = span_text_short(a, q->where);
    if (*where)
        text_print(&safe, "    %s", where);
    return safe.n ? safe.s : "";
}

/* The equations of a group, a line each. */
static const char *comment_text(Arena *a, const Choice *c)
{
    Text t = {.arena = a};

    for (; c; c = c->next)
        text_print(&t, "%s%s", t.n ? "\n * " : "", equation_text(a, c->q));
    return t.s;
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, word)); p += n)
        if ((p == text || (!isalnum((unsigned char)p[-1]) && p[-1] != '_')) && !isalnum((unsigned char)p[n]) && p[n] != '_')
            return true;
    return false;
}

/* FNV-1a. */
static uint32_t hash_text(const char *s)
{
    uint32_t hash = 2166136261u;

    for (; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 16777619u;
    return hash;
}

/* With this body, old or new; a new one has no comment yet. */
static Function *function_with(Build *b, const char *name, const char *body)
{
    Functions *all = b->functions;
    uint32_t hash = hash_text(body);

    for (int i = 0; i < all->list.n; i++) {
        Function *old = all->list.at[i];
        if (old->hash == hash && strcmp(old->body, body) == 0) {
            old->uses++;
            return old;
        }
    }
    Function *f = NEW(all->arena, Function);
    f->hash = hash;
    f->name = name;
    for (int i = 2; names_find(&all->names, f->name) >= 0; i++)
        f->name = arena_print(all->arena, "%s_%d", name, i);
    names_add(all->arena, &all->names, f->name, all->list.n);
    f->body = body;
    f->uses = 1;
    PUSH(all->arena, all->list, f);
    return f;
}

Function *tile_function(Build *b, const char *name, const char *full)
{
    Function *f = function_with(b, arena_print(b->functions->arena, "%s_tile", name), full);

    f->is_tile = true;
    f->text = arena_print(b->functions->arena, "/* A tile of %s. */\n", name);
    return f;
}

void kernel_function(Build *b, Kernel *k, const char *name, const Choice *c, const char *const *names, const char *body,
                     const Tiles *tiles)
{
    Arena *a = b->functions->arena;

    k->takes_block = k->blocked && has_word(body, "block");
    if (k->strip && !has_word(body, k->strip))
        k->strip = NULL;
    Function *f = function_with(b, name, arena_print(a, "(%s)\n{\n%s}\n", parameters(a, k, names), body));
    k->function = f;
    if (f->text)
        return;
    f->text = c ? arena_print(a, "/* %s */\n", comment_text(a, c)) : "";
    f->ntiles = tiles ? tiles->n : 0;
    f->tile = tiles ? tiles->at : NULL;
}

void function_print(Text *t, const Function *f, const char *prefix)
{
    const char *s = f->body;

    text_print(t, "%s%s void %s%s", f->text, f->is_tile ? "NN_INLINE" : "NN_KERNEL", prefix, f->name);
    for (const char *mark; (mark = strchr(s, TILE_MARK)); s = mark + 1) {
        text_add(t, s, (size_t)(mark - s));
        text_print(t, "%s", prefix);
    }
    text_print(t, "%s", s);
}

void kernel_call(Text *t, const Kernel *k, const char *prefix, StoragePointer *pointer, void *user, const char *n,
                 const char *first, const char *end)
{
    const Function *f = k->function;

    text_print(t, "%s%s(", prefix, f->shared ? f->shared->name : f->name);
    for (int i = 0; i < k->nargs; i++) {
        const Storage *s = k->arg[i];
        text_print(t, "%s", i ? ", " : "");
        pointer(t, s, user);
        if (k->at_block[i] && s->phase < 0)
            text_print(t, " + %lld * block", (long long)s->layout.stride[0]);
    }
    for (int i = 0; i < k->nnumbers; i++)
        text_print(t, ", %uu", k->number[i]);
    const char *comma = k->nargs ? ", " : "";
    if (k->takes_n) {
        text_print(t, "%s%s", comma, n);
        comma = ", ";
    }
    if (!k->blocked)
        text_print(t, "%s%s, %s", comma, first, end);
    else if (k->takes_block) {
        text_print(t, "%sblock", comma);
        comma = ", ";
    }
    if (k->strip)
        text_print(t, "%sstrip", comma);
    for (int i = 0; i < f->nsizes; i++)
        text_print(t, ", %lld", (long long)f->size[i]);
    for (int i = 0; i < f->nreals; i++)
        text_print(t, ", %s", f->real[i]);
    text_print(t, ")");
}
