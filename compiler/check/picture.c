/* picture.c -- pictures in a data section: the size that a folder of them is brought to, and how they are augmented.
 *
 *     data photos = folder("photos/", size = 256x256) {
 *         augment = random_crop(224) -> random_flip -> jitter(0.2)
 *     }
 *
 * The trainer carries this out; here it is checked, and it is found out of what size the model gets them. */
#include "check/value.h"

#include <math.h>

/* What can be done to samples. A number of a row lies from `least` to `most`; parts that may be left out come last. */
static const struct {
    const char *name;
    int needed, most_parts;
    const char *parts[2];
    double least, most;
    bool whole;
    const char *help;
} steps[] = {
    {"random_flip", 0, 1, {"p"}, 0, 1, false, "random_flip mirrors every other picture, random_flip(0.1) every tenth"},
    {"random_crop", 1, 2, {"height", "width"}, 1, 65500, true, "random_crop(32) cuts 32 x 32 pixels out, random_crop(24, 32) 24 rows of 32"},
    {"pad", 1, 1, {"n"}, 0, 65500, true, "pad(4) adds 4 rows and columns of zeros on each side"},
    {"rotate", 1, 1, {"degrees"}, 0, 180, false, "rotate(15) turns by up to 15 degrees, either way"},
    {"shift", 1, 1, {"n"}, 0, 65500, true, "shift(2) moves by up to 2 pixels, along both sides"},
    {"scale", 2, 2, {"from", "to"}, 0.01, 100, false, "scale(0.8, 1.2) makes smaller or larger by up to a fifth"},
    {"jitter", 1, 1, {"s"}, 0, 1, false, "jitter(0.2) changes brightness, contrast and saturation by up to a fifth"},
    {"noise", 1, 1, {"s"}, 0, 1e6, false, "noise(0.1) adds normal noise of this deviation; of bytes, 1 is the whole range"},
    {"cutout", 1, 1, {"n"}, 1, 65500, true, "cutout(8) sets a square of 8 x 8 pixels to zero"},
    {"mixup", 1, 1, {"a"}, 0.001, 100, false, "mixup(0.2) mixes each sample with another one"},
};
enum { STEPS = sizeof steps / sizeof *steps, CROP = 1, PAD = 2, MIXUP = 9 };

static bool unknown_step(Checker *c, Span at, const char *name)
{
    const char *names[STEPS];

    for (int i = 0; i < STEPS; i++)
        names[i] = steps[i].name;
    error_at(at, "there is no augmentation '%s'", name);
    if (!suggest_among(c, "augment", name, STEPS, names))
        help("there are %s", names_text(c->arena, STEPS, names));
    return false;
}

static bool wrong_part(int step, Span at, const char *what)
{
    error_at(at, "%s%s", steps[step].name, what);
    help("%s", steps[step].help);
    return false;
}

/* random_crop(24x32) is random_crop(24, 32). */
static void spread(Value *v)
{
    if (v->n == 1 && v->parts[0].kind == VALUE_LIST && v->parts[0].n == 2) {
        v->names = v->parts[0].names;
        v->n = 2;
        v->parts = v->parts[0].parts;
    }
}

/* Named parts take their places, in which the trainer expects them. */
static bool order_parts(Checker *c, int step, Value *v)
{
    Value *in_order = NEW_ARRAY(c->arena, Value, 3);
    bool given[3] = {0};

    for (int i = 0, next = 0; i < v->n; i++) {
        int at = v->names && v->names[i] ? 0 : next++;
        while (v->names && v->names[i] && at < steps[step].most_parts && strcmp(steps[step].parts[at], v->names[i]) != 0)
            at++;
        if (at >= steps[step].most_parts)
            return wrong_part(step, v->parts[i].where, v->names && v->names[i] ? " has no such setting" : " does not take so many numbers");
        if (given[at])
            return wrong_part(step, v->parts[i].where, " is given this twice");
        given[at] = true;
        in_order[at] = v->parts[i];
    }
    if (v->n < steps[step].needed || (v->n > 0 && !given[0]))
        return wrong_part(step, v->where, steps[step].needed == 2 ? " wants two numbers" : " wants a number");
    v->parts = in_order;
    v->names = NULL;
    return true;
}

static bool check_step(Checker *c, Value *v, int *step)
{
    *step = 0;
    while (*step < STEPS && strcmp(steps[*step].name, v->text) != 0)
        ++*step;
    if (*step == STEPS)
        return unknown_step(c, v->where, v->text);
    spread(v);
    if (!order_parts(c, *step, v))
        return false;
    for (int i = 0; i < v->n; i++) {
        Value *x = &v->parts[i];
        if (x->kind == VALUE_PERCENT)
            *x = (Value){.kind = VALUE_NUMBER, .number = x->number / 100, .where = x->where};
        if (x->kind != VALUE_NUMBER)
            return wrong_part(*step, x->where, " wants numbers");
        if (!(x->number >= steps[*step].least && x->number <= steps[*step].most) ||
            (steps[*step].whole && x->number != floor(x->number)))
            return wrong_part(*step, x->where,
                              arena_print(c->arena, " wants %s from %g to %g", steps[*step].whole ? "whole numbers" : "numbers",
                                          steps[*step].least, steps[*step].most));
    }
    if (v->n == 2 && steps[*step].least < 1 && v->parts[0].number > v->parts[1].number)
        return wrong_part(*step, v->where, ": the second number is smaller than the first");
    return true;
}

/* Left to right; `if`s on options choose, and `none` is nothing. */
static bool collect(Checker *c, Frame *f, const Node *n, Value *list, int most)
{
    bool yes;

    if (n->kind == NODE_CHOOSE)
        return eval_condition(c, f, n->child[0], &yes) && collect(c, f, n->child[yes ? 1 : 2], list, most);
    if (n->kind == NODE_PIPE)
        return collect(c, f, n->child[0], list, most) && collect(c, f, n->child[1], list, most);
    if (n->kind == NODE_NAME && strcmp(n->text, "none") == 0)
        return true;
    if (n->kind != NODE_NAME && (n->kind != NODE_CALL || n->child[0]->kind != NODE_NAME)) {
        error_at(n->span, "expected an augmentation such as random_flip, or several joined by ->");
        return false;
    }
    if (list->n == most) {
        error_at(n->span, "more than %d augmentations", most);
        return false;
    }
    Value v = n->kind == NODE_CALL ? setting_value(c, f, n) : (Value){.kind = VALUE_CALL, .text = n->text, .where = n->span};
    list->parts[list->n++] = v;
    return true;
}

Value augment_value(Checker *c, Frame *f, const Node *n)
{
    enum { MOST = 32 };
    Value list = {.kind = VALUE_LIST, .where = n->span, .parts = NEW_ARRAY(c->arena, Value, MOST + 1)};
    const Value *mixed = NULL;
    int step;

    if (!collect(c, f, n, &list, MOST))
        list.n = 0;
    for (int i = 0; i < list.n; i++) {
        if (!check_step(c, &list.parts[i], &step) || step != MIXUP)
            continue;
        if (mixed) {
            error_at(list.parts[i].where, "samples can be mixed only once");
            note_at(mixed->where, "already here");
        }
        mixed = &list.parts[i];
    }
    return list;
}

/* What becomes of height and width. The trainer cuts the samples that are not augmented to the same size, so it may
 * become smaller, never larger. */
static void follow(const Value *steps_of, int64_t *height, int64_t *width)
{
    int64_t h = *height, w = *width;
    const Value *last = NULL;

    for (int i = 0; i < steps_of->n; i++) {
        const Value *v = &steps_of->parts[i];
        if (strcmp(v->text, steps[PAD].name) == 0 && v->n == 1) {
            h += 2 * (int64_t)v->parts[0].number;
            w += 2 * (int64_t)v->parts[0].number;
        } else if (strcmp(v->text, steps[CROP].name) == 0 && v->n >= 1) {
            int64_t ch = (int64_t)v->parts[0].number, cw = (int64_t)v->parts[v->n - 1].number;
            if (ch > h || cw > w) {
                error_at(v->where, "%lld x %lld pixels cannot be cut out of %lld x %lld", (long long)ch, (long long)cw,
                         (long long)h, (long long)w);
                help("pad before: pad(4) -> random_crop(...)");
                return;
            }
            h = ch;
            w = cw;
        } else {
            continue;
        }
        last = v;
    }
    if (h > *height || w > *width) {
        error_at(last->where, "the pictures are %lld x %lld, but %lld x %lld after this", (long long)*height, (long long)*width,
                 (long long)h, (long long)w);
        help("follow it by random_crop(%lld%s)", (long long)*height, *height == *width ? "" : ", ...");
        return;
    }
    *height = h;
    *width = w;
}

/* Rows of numbers have no sides. */
static void want_pictures(const Value *list)
{
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->parts[i].text, "noise") != 0 && strcmp(list->parts[i].text, "mixup") != 0) {
            error_at(list->parts[i].where, "%s is for pictures, and this data has none", list->parts[i].text);
            help("noise(s) and mixup(a) are for numbers, too");
            return;
        }
}

void pictures_augment(Checker *c, Frame *f, const Node *augment)
{
    int before = error_count();
    Value v = augment_value(c, f, augment);
    bool pictures = false;

    for (int i = 0; i < c->raws.n && error_count() == before; i++) {
        Raw *r = c->raws.at[i];
        pictures |= r->rank == 3 || r->rank < 0;
        if (r->rank == 3)
            follow(&v, &r->size[1], &r->size[2]);
    }
    if (!pictures && error_count() == before)
        want_pictures(&v);
}

/* An argument of the reader by its name or its place; NULL where it is not given. */
static const Node *argument(const Node *call, const char *name, int place)
{
    for (int i = 1; call->kind == NODE_CALL && i < call->n; i++) {
        const Node *a = call->child[i];
        if (a->kind == NODE_ARG ? strcmp(a->text, name) == 0 : i == place)
            return a->kind == NODE_ARG ? a->child[0] : a;
    }
    return NULL;
}

int picture_size(Checker *c, Frame *f, const Node *source, int64_t size[3])
{
    const Node *given = argument(source, "size", 2), *channels = argument(source, "channels", 3);
    Value v = given ? setting_value(c, f, given) : (Value){.kind = VALUE_WORD}, n;

    if (!given)
        return -1;
    size[0] = 3;
    if (v.kind == VALUE_NUMBER) {
        size[1] = size[2] = (int64_t)v.number;
    } else if (v.kind == VALUE_LIST && (v.n == 2 || v.n == 3)) {
        for (int i = 0; i < v.n; i++)
            size[3 - v.n + i] = (int64_t)v.parts[i].number;
    } else {
        error_at(given->span, "the size of pictures is HEIGHTxWIDTH, as in 224x224");
        return -1;
    }
    if (channels && (n = setting_value(c, f, channels)).kind == VALUE_NUMBER)
        size[0] = (int64_t)n.number;
    if (size[0] != 1 && size[0] != 3)
        error_at(channels ? channels->span : given->span, "pictures have 1 channel (grey) or 3 (red, green, blue)");
    else if (size[1] < 1 || size[2] < 1 || size[1] > 65500 || size[2] > 65500)
        error_at(given->span, "the size of pictures is HEIGHTxWIDTH, as in 224x224, and each from 1 to 65500");
    else
        return 3;
    return -1;
}
