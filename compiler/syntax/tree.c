/* tree.c -- the tree as text: for people and tests (tree_print), and as the source it came from (tree_source). */
#include "syntax/tree.h"

/* --- tree_print: one item a line where it fits, (kind text children ...), else a child a line --- */

enum { WIDTH = 100 };

/* How a node is written. `word` is what stands after the parenthesis, NULL: the node's text. */
typedef enum { LEAF, LEAF_QUOTED, LEAF_WORD, PAREN, PAREN_NAMED, SQUARE } Shape;

typedef struct Form {
    Shape shape;
    const char *word;
} Form;

static Form form_of(const Node *n)
{
    static const char *const defines[] = {"fn", "layer", "model"};

    switch (n->kind) {
    case NODE_FILE:      return (Form){PAREN, "file"};
    case NODE_IMPORT:    return (Form){PAREN_NAMED, "import"};
    case NODE_OPTION:    return (Form){PAREN, "option"};
    case NODE_CONSTANT:  return (Form){PAREN_NAMED, "constant"};
    case NODE_DEFINE:    return (Form){PAREN_NAMED, defines[n->flag]};
    case NODE_DATA:      return (Form){PAREN_NAMED, "data"};
    case NODE_TRAIN:     return (Form){PAREN_NAMED, "train"};
    case NODE_PARAMS:    return (Form){PAREN, "params"};
    case NODE_PARAM:     return n->child[0] ? (Form){PAREN_NAMED, ""} : (Form){LEAF, NULL};
    case NODE_PORTS:     return (Form){PAREN, "ports"};
    case NODE_PORT:      return n->child[0] || n->child[1] ? (Form){PAREN_NAMED, "port"} : (Form){LEAF, NULL};
    case NODE_BLOCK:     return (Form){PAREN, "block"};
    case NODE_RESULT:    return (Form){PAREN, "result"};
    case NODE_ASSIGN:    return (Form){PAREN, n->flag ? "+=" : "="};
    case NODE_DRAW:      return (Form){PAREN, n->flag ? (n->number != 0 ? "state ~" : "state =")
                                                      : (n->number != 0 ? "param ~" : "param =")};
    case NODE_ASSERT:    return (Form){PAREN, "assert"};
    case NODE_BRANCH:    return (Form){PAREN, "branch"};
    case NODE_SETTINGS:  return (Form){PAREN, "settings"};
    case NODE_SETTING:   return (Form){PAREN_NAMED, "set"};
    case NODE_GROUP:     return (Form){PAREN_NAMED, "group"};
    case NODE_NAME:
    case NODE_NUMBER:    return (Form){LEAF, NULL};
    case NODE_DIMS:
    case NODE_PERCENT:
    case NODE_DURATION:
    case NODE_BOOL:      return (Form){LEAF_WORD, NULL};
    case NODE_STRING:    return (Form){LEAF_QUOTED, NULL};
    case NODE_LIST:      return (Form){SQUARE, NULL};
    case NODE_TUPLE:     return (Form){PAREN, "tuple"};
    case NODE_ELLIPSIS:  return (Form){LEAF_WORD, NULL};
    case NODE_PIPE:
    case NODE_SHAPE:     return (Form){PAREN, "pipe"};
    case NODE_RANGE:
    case NODE_BINARY:
    case NODE_UNARY:     return (Form){PAREN, n->text};
    case NODE_CHOOSE:    return (Form){PAREN, "if"};
    case NODE_REDUCE:    return (Form){PAREN, n->text};
    case NODE_REDUCED:   return n->child[0] ? (Form){PAREN_NAMED, "in"} : (Form){LEAF, NULL};
    case NODE_CALL:      return (Form){PAREN, "call"};
    case NODE_ARG:       return (Form){PAREN_NAMED, "arg"};
    case NODE_SUBSCRIPT: return (Form){PAREN, n->flag ? "at?" : "at"};
    case NODE_MEMBER:    return (Form){PAREN_NAMED, "member"};
    case NODE_NEXT:      return (Form){PAREN_NAMED, "next"};
    case NODE_GRAD:      return (Form){PAREN_NAMED, "grad"};
    case NODE_FOR:       return (Form){PAREN_NAMED, "for"};
    }
    bug("a node of kind %d", (int)n->kind);
}

static void quote(Text *t, const char *s)
{
    text_print(t, "\"");
    for (; *s; s++) {
        if (*s == '\n')
            text_print(t, "\\n");
        else if (*s == '\t')
            text_print(t, "\\t");
        else
            text_print(t, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
    }
    text_print(t, "\"");
}

/* 1x28x28, 20%, 5 epochs, true, ... : as in the source, in any kind of text. */
static void word_print(Text *t, const Node *n)
{
    switch (n->kind) {
    case NODE_DIMS:
        for (int i = 0; i < n->n; i++)
            text_print(t, "%s%s", i ? "x" : "", n->child[i]->text);
        break;
    case NODE_PERCENT: text_print(t, "%.15g%%", n->number); break;
    case NODE_DURATION: text_print(t, "%.15g %s", n->number, n->text); break;
    case NODE_BOOL: text_print(t, n->number != 0 ? "true" : "false"); break;
    case NODE_ELLIPSIS: text_print(t, "..."); break;
    default: bug("word_print met a node of kind %d", (int)n->kind);
    }
}

/* Prints up to the children; true when children and a closing bracket follow. */
static bool head_print(Text *t, const Node *n)
{
    Form f = form_of(n);

    switch (f.shape) {
    case LEAF: text_print(t, "%s", n->text); return false;
    case LEAF_QUOTED: quote(t, n->text); return false;
    case LEAF_WORD: word_print(t, n); return false;
    case PAREN: text_print(t, "(%s", f.word); return true;
    case PAREN_NAMED: text_print(t, "(%s%s%s", f.word, *f.word ? " " : "", n->text); return true;
    case SQUARE: text_print(t, "["); return true;
    }
    return false;
}

static void doc_print(Text *t, const Node *n)
{
    if (!n->doc)
        return;
    text_print(t, " ");
    quote(t, n->doc);
}

static bool is_chain(const Node *n) { return n->kind == NODE_PIPE || n->kind == NODE_SHAPE; }

/* Parts of a node between its brackets: its children, each with the sign that stands before it. The parts of a chain
 * a -> f : s -> g are a, f, s and g. */
typedef struct Part {
    const char *sign;
    const Node *node;
} Part;

static int parts_of(const Node *n, Part **parts, Arena *a)
{
    int count = n->n;

    if (is_chain(n)) {
        const Node *first = n;
        for (count = 1; is_chain(first); first = first->child[0])
            count++;
        *parts = NEW_ARRAY(a, Part, count);
        for (int i = count; --i > 0; n = n->child[0])
            (*parts)[i] = (Part){n->text, n->child[1]};
        (*parts)[0] = (Part){"", n};
        return count;
    }
    *parts = NEW_ARRAY(a, Part, count);
    for (int i = 0; i < count; i++)
        (*parts)[i] = (Part){"", n->child[i]};
    return count;
}

/* All on one line; stops, false, when more than `room` characters would be needed. */
static bool print_flat(Text *t, const Node *n, size_t room)
{
    size_t limit = t->n + room;

    if (!n) {
        text_print(t, "_");
        return t->n <= limit;
    }
    if (head_print(t, n)) {
        bool square = n->kind == NODE_LIST;
        Part *part;
        int count = parts_of(n, &part, t->arena);
        doc_print(t, n);
        for (int i = 0; i < count; i++) {
            text_print(t, "%s%s%s", square && !i ? "" : " ", part[i].sign, *part[i].sign ? " " : "");
            if (t->n > limit || !print_flat(t, part[i].node, limit - t->n))
                return false;
        }
        text_print(t, square ? "]" : ")");
    }
    return t->n <= limit;
}

static void print_at(Text *t, const Node *n, int indent)
{
    size_t before = t->n;
    Part *part;

    if ((n == NULL || n->kind != NODE_FILE) && print_flat(t, n, (size_t)(indent < WIDTH - 20 ? WIDTH - indent : 20)))
        return;
    t->n = before;
    t->s[before] = '\0';
    head_print(t, n);
    doc_print(t, n);
    int count = parts_of(n, &part, t->arena);
    for (int i = 0; i < count; i++) {
        int deeper = indent + 2 + (*part[i].sign ? (int)strlen(part[i].sign) + 1 : 0);
        if (i == 0 && part[0].node && part[0].node->kind == NODE_NAME)
            text_print(t, " ");
        else
            text_print(t, "\n%*s%s%s", indent + 2, "", part[i].sign, *part[i].sign ? " " : "");
        print_at(t, part[i].node, deeper);
    }
    text_print(t, n->kind == NODE_LIST ? "]" : ")");
}

void tree_print(Text *t, const Node *n)
{
    text_print(t, "%s", ""); /* there is text to go back to */
    print_at(t, n, 0);
    text_print(t, "\n");
}

/* --- tree_source --- */

/* How tightly an expression holds together, loosest first; see parse.y. */
enum { LOOSE, PIPE, OR, AND, NOT, COMPARE, SUM, TERM, PRODUCT, UNARY, POWER, POSTFIX, PRIMARY };

static bool is_op(const Node *n, const char *list)
{
    const char *found = strstr(list, n->text);

    return found && (found == list || found[-1] == ' ') && strchr(" ", found[strlen(n->text)]);
}

/* 2 * sum[c] ... and -sum[c] ...: what ends in a reduction holds less tightly than a product. */
static bool ends_in_reduction(const Node *n)
{
    return n->kind == NODE_UNARY ? n->child[0]->kind == NODE_REDUCE
                                 : is_op(n, "* /") && n->child[1]->kind == NODE_REDUCE;
}

static int level(const Node *n)
{
    switch (n->kind) {
    case NODE_CHOOSE:
    case NODE_RANGE: return LOOSE;
    case NODE_PIPE:
    case NODE_SHAPE: return PIPE;
    case NODE_REDUCE: return TERM;
    case NODE_UNARY: return is_op(n, "not") ? NOT : ends_in_reduction(n) ? TERM : UNARY;
    case NODE_BINARY:
        if (is_op(n, "or")) return OR;
        if (is_op(n, "and")) return AND;
        if (is_op(n, "== != < <= > >=")) return COMPARE;
        if (is_op(n, "+ -")) return SUM;
        if (is_op(n, "^")) return POWER;
        return ends_in_reduction(n) ? TERM : PRODUCT;
    case NODE_CALL:
    case NODE_SUBSCRIPT:
    case NODE_MEMBER: return POSTFIX;
    default: return PRIMARY;
    }
}

static void source_at(Text *t, const Node *n, int least);

static void source_list(Text *t, const char *open, Node *const *item, int n, const char *close)
{
    text_print(t, "%s", open);
    for (int i = 0; i < n; i++) {
        if (i)
            text_print(t, ", ");
        source_at(t, item[i], LOOSE);
    }
    text_print(t, "%s", close);
}

static void source_binary(Text *t, const Node *n)
{
    static const struct { int left, right; } operands[] = {
        [LOOSE] = {PIPE, PIPE}, [PIPE] = {PIPE, PRODUCT}, [OR] = {OR, AND},         [AND] = {AND, NOT},
        [COMPARE] = {SUM, SUM}, [SUM] = {SUM, TERM},      [TERM] = {PRODUCT, TERM}, [PRODUCT] = {PRODUCT, UNARY},
        [POWER] = {POSTFIX, UNARY},
    };
    int l = level(n);
    bool tight = n->kind == NODE_RANGE || l == POWER;

    source_at(t, n->child[0], operands[l].left);
    text_print(t, tight ? "%s" : " %s ", n->text);
    source_at(t, n->child[1], operands[l].right);
}

static void source_bare(Text *t, const Node *n)
{
    switch (n->kind) {
    case NODE_NAME:
    case NODE_NUMBER: text_print(t, "%s", n->text); break;
    case NODE_DIMS:
    case NODE_PERCENT:
    case NODE_DURATION:
    case NODE_BOOL:
    case NODE_ELLIPSIS: word_print(t, n); break;
    case NODE_STRING: quote(t, n->text); break;
    case NODE_LIST: source_list(t, "[", n->child, n->n, "]"); break;
    case NODE_TUPLE: source_list(t, "(", n->child, n->n, ")"); break;
    case NODE_PIPE:
    case NODE_SHAPE:
    case NODE_RANGE:
    case NODE_BINARY: source_binary(t, n); break;
    case NODE_UNARY: {
        bool no = is_op(n, "not");
        text_print(t, no ? "not " : "-");
        source_at(t, n->child[0], no ? NOT : ends_in_reduction(n) ? TERM : UNARY);
        break;
    }
    case NODE_CHOOSE:
        text_print(t, "if ");
        source_at(t, n->child[0], LOOSE);
        text_print(t, " then ");
        source_at(t, n->child[1], LOOSE);
        text_print(t, " else ");
        source_at(t, n->child[2], LOOSE);
        break;
    case NODE_REDUCE:
        text_print(t, "%s", n->text);
        source_at(t, n->child[0], PRIMARY);
        text_print(t, " ");
        source_at(t, n->child[1], TERM);
        break;
    case NODE_REDUCED:
        text_print(t, "%s", n->text);
        if (n->child[0]) {
            text_print(t, " in ");
            source_at(t, n->child[0], LOOSE);
        }
        break;
    case NODE_CALL:
        source_at(t, n->child[0], POSTFIX);
        source_list(t, "(", n->child + 1, n->n - 1, ")");
        break;
    case NODE_SUBSCRIPT:
        source_at(t, n->child[0], POSTFIX);
        source_list(t, n->flag ? "?[" : "[", n->child + 1, n->n - 1, "]");
        break;
    case NODE_ARG:
        text_print(t, "%s = ", n->text);
        source_at(t, n->child[0], LOOSE);
        break;
    case NODE_MEMBER:
        source_at(t, n->child[0], POSTFIX);
        text_print(t, ".%s", n->text);
        break;
    case NODE_NEXT: text_print(t, "next %s", n->text); break;
    case NODE_GRAD: text_print(t, "grad %s", n->text); break;
    case NODE_FOR:
        text_print(t, "for %s in ", n->text);
        source_at(t, n->child[0], LOOSE);
        text_print(t, " { ... }");
        break;
    case NODE_RESULT: source_list(t, "", n->child, n->n, ""); break;
    case NODE_BLOCK: text_print(t, "{ ... }"); break;
    default: bug("tree_source met a node of kind %d", (int)n->kind);
    }
}

static void source_at(Text *t, const Node *n, int least)
{
    bool wrap = level(n) < least;

    if (wrap)
        text_print(t, "(");
    source_bare(t, n);
    if (wrap)
        text_print(t, ")");
}

void tree_source(Text *t, const Node *n) { source_at(t, n, LOOSE); }
