/* reader.c -- where the data comes from: which readers there are, and whether their settings are what they want. */
#include "check/value.h"

enum { MOST_SETTINGS = 4 };

/* As the trainer's table has them: settings in the order of positional ones, how many of them are texts, and how many
 * must be given. */
static const struct {
    const char *name;
    const char *settings[MOST_SETTINGS];
    int texts, needed;
} readers[] = {
    {"mnist", {"folder"}, 1, 1},
    {"fashion_mnist", {"folder"}, 1, 0},
    {"cifar10", {"folder"}, 1, 1},
    {"cifar100", {"folder"}, 1, 1},
    {"folder", {"path", "size", "channels"}, 1, 1},
    {"idx", {"images", "labels", "test_images", "test_labels"}, 4, 2},
    {"npy", {"x", "y", "test_x", "test_y"}, 4, 1},
    {"csv", {"path", "separator"}, 2, 1},
    {"table", {NULL}, 0, 0},
    {"points.spiral", {"n", "noise", "seed"}, 0, 0},
    {"points.circle", {"n", "noise", "seed"}, 0, 0},
    {"points.xor", {"n", "noise", "seed"}, 0, 0},
    {"points.gauss", {"n", "noise", "seed"}, 0, 0},
    {"points.moons", {"n", "noise", "seed"}, 0, 0},
    {"shapes", {"n", "size", "noise", "seed"}, 0, 0},
    {"pairs", {"reader", "seed"}, 0, 1},
    {"triplets", {"reader", "seed"}, 0, 1},
};
enum { READERS = sizeof readers / sizeof *readers };

/* The reader's call, after `if`s on options; NULL after an error. */
const Node *data_source(Checker *c, Frame *f, const Node *data)
{
    const Node *source = data->child[0];
    bool yes;

    while (source->kind == NODE_CHOOSE) {
        if (!eval_condition(c, f, source->child[0], &yes))
            return NULL;
        source = source->child[yes ? 1 : 2];
    }
    return source;
}

const Node *reader_name(const Node *source)
{
    const Node *name = source->kind == NODE_CALL ? source->child[0] : source;

    return name->kind == NODE_MEMBER ? name->child[0] : name;
}

bool is_pairs(const char *reader) { return strcmp(reader, "pairs") == 0 || strcmp(reader, "triplets") == 0; }

/* Columns of a table written in the file: lists of equally many numbers. */
static bool check_table(Checker *c, Frame *f, const Node *source)
{
    const Node *first = NULL;
    int n = 0;

    for (int i = 1; i < source->n; i++) {
        const Node *a = source->child[i];
        Val v = eval(c, f, a->kind == NODE_ARG ? a->child[0] : a);
        if (v.kind == VAL_ERROR)
            return false;
        if (a->kind != NODE_ARG || v.kind != VAL_LIST || !v.n) {
            error_at(a->span, "a column of a table is a list of numbers with a name: x = [0, 1, 2]");
            return false;
        }
        if (!first) {
            first = a;
            n = v.n;
        }
        if (v.n == n)
            continue;
        error_at(a->span, "this column has %d number%s, the first has %d", v.n, v.n == 1 ? "" : "s", n);
        note_at(first->span, "the first column");
        return false;
    }
    if (!first)
        error_at(source->span, "a table has columns: table(x = [0, 1, 2], label = [1, 0, 1])");
    return first != NULL;
}

static int count_settings(int reader)
{
    int n = 0;

    while (n < MOST_SETTINGS && readers[reader].settings[n])
        n++;
    return n;
}

static bool check_text(Checker *c, Frame *f, int reader, int at, const Node *value)
{
    if (at >= readers[reader].texts || setting_value(c, f, value).kind == VALUE_TEXT)
        return true;
    error_at(value->span, "%s: '%s' is a text in quotes", readers[reader].name, readers[reader].settings[at]);
    return false;
}

static bool check_setting(Checker *c, Frame *f, int reader, const Node *a, int *place, const Node **given)
{
    const char *const *settings = readers[reader].settings;
    int known = count_settings(reader), at = 0;

    if (a->kind != NODE_ARG)
        at = (*place)++;
    while (a->kind == NODE_ARG && at < known && strcmp(settings[at], a->text) != 0)
        at++;
    if (at < known && !given[at]) {
        given[at] = a;
        return check_text(c, f, reader, at, a->kind == NODE_ARG ? a->child[0] : a);
    }
    if (at < known)
        error_at(a->span, "%s: '%s' is given twice", readers[reader].name, settings[at]);
    else if (a->kind == NODE_ARG)
        error_at(a->span, "%s has no setting '%s'", readers[reader].name, a->text);
    else
        error_at(a->span, "%s takes at most %d setting%s", readers[reader].name, known, known == 1 ? "" : "s");
    if (at == known && !(a->kind == NODE_ARG && suggest_among(c, "reader", a->text, known, settings)))
        help("its settings are %s", names_text(c->arena, known, settings));
    return false;
}

static bool check_settings_of(Checker *c, Frame *f, int reader, const Node *source)
{
    const Node *given[MOST_SETTINGS] = {NULL};
    bool good = true;

    for (int i = 1, place = 0; source->kind == NODE_CALL && i < source->n; i++)
        good &= check_setting(c, f, reader, source->child[i], &place, given);
    for (int i = 0; good && i < readers[reader].needed; i++)
        if (!given[i]) {
            error_at(source->span, "%s needs the setting '%s'", readers[reader].name, readers[reader].settings[i]);
            return false;
        }
    return good;
}

bool reader_check(Checker *c, Frame *f, const Node *source)
{
    const Node *name = source->kind == NODE_CALL ? source->child[0] : source;
    const char *names[READERS];
    Text text = {.arena = c->arena};
    int k = 0;

    if (name->kind != NODE_NAME && name->kind != NODE_MEMBER) {
        error_at(source->span, "expected a reader such as csv(\"file.csv\")");
        return false;
    }
    tree_source(&text, name);
    while (k < READERS && strcmp(readers[k].name, text.s) != 0)
        k++;
    for (int i = 0; i < READERS; i++)
        names[i] = readers[i].name;
    if (k == READERS) {
        error_at(name->span, "there is no reader '%s'", text.s);
        if (!suggest_among(c, "reader", text.s, READERS, names))
            help("readers are %s", names_text(c->arena, READERS, names));
        return false;
    }
    if (strcmp(text.s, "table") == 0)
        return check_table(c, f, source);
    if (is_pairs(text.s)) {
        if (source->kind == NODE_CALL && source->n > 1 && source->child[1]->kind != NODE_ARG)
            return check_settings_of(c, f, k, source) && reader_check(c, f, source->child[1]);
        error_at(source->span, "%s wants a reader: %s(mnist(\"folder\"))", text.s, text.s);
        return false;
    }
    return check_settings_of(c, f, k, source);
}

void data_check(Checker *c, Frame *f, const Node *data)
{
    const Node *source = data_source(c, f, data);

    if (source)
        reader_check(c, f, source);
}
