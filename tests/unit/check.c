/* check.c -- whatever is parsed, the checker gives a program or says what is wrong with it, and nothing else happens.
 *
 * The examples, the snippets of SPEC.md and the files of tests/errors are changed a little, thousands of times and
 * always in the same way: a token left out, doubled, exchanged with another of the file, a number replaced by an
 * awkward one, a line moved. What compiles goes on through the passes, each followed by the verifier.
 * NNC_SOAK=n in the environment makes n times as many. */
#include "base/embedded.h"
#include "check/check.h"
#include "graph/program.h"

#include <check.h>
#include <ctype.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PER_SOURCE = 60, MADE_UP = 60, MOST_TOKENS = 4096, SECONDS = 20 };

typedef struct Seed {
    const char *name, *text;
} Seed;

static struct {
    Arena *arena;
    LIST(Seed) seeds;
    const char *name, *text; /* under test: shown when the process dies of it */
    int tried, parsed, good;
} all;

/* --- seeds --- */

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    Text t = {.arena = all.arena};
    char part[4096];
    size_t n;

    if (!f)
        return;
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        text_add(&t, part, n);
    fclose(f);
    Seed s = {arena_copy(all.arena, path, strlen(path)), t.s ? t.s : ""};
    if (strlen(s.text) == t.n)
        PUSH(all.arena, all.seeds, s);
}

static void add_files(const char *pattern)
{
    glob_t found;

    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            add_file(found.gl_pathv[i]);
        globfree(&found);
    }
}

/* What stands between ``` in a document. */
static void add_snippets(const char *path)
{
    int first = all.seeds.n;

    add_file(path);
    if (all.seeds.n == first)
        return;
    const char *text = all.seeds.at[first].text;
    all.seeds.n = first;
    for (const char *s = strstr(text, "\n```"); s; s = strstr(s + 4, "\n```")) {
        const char *from = strchr(s + 1, '\n'), *to = from ? strstr(from, "\n```") : NULL;
        if (!to)
            return;
        Seed seed = {path, arena_copy(all.arena, from + 1, (size_t)(to - from))};
        PUSH(all.arena, all.seeds, seed);
        s = to;
    }
}

/* --- mutations --- */

typedef struct Token {
    int start, end;
} Token;

static uint32_t state;

static int below(int n)
{
    state = state * 1664525u + 1013904223u;
    return n > 0 ? (int)((state >> 8) % (uint32_t)n) : 0;
}

static int tokens_of(const char *s, Token *tokens)
{
    int n = 0;

    for (int i = 0; s[i] && n < MOST_TOKENS;) {
        int start = i;
        if (s[i] == '#') {
            while (s[i] && s[i] != '\n')
                i++;
            continue;
        }
        if (isalnum((unsigned char)s[i]) || s[i] == '_')
            while (isalnum((unsigned char)s[i]) || s[i] == '_' || s[i] == '.')
                i++;
        else
            i++;
        if (s[start] != ' ')
            tokens[n++] = (Token){start, i};
    }
    return n;
}

static const char *awkward(void)
{
    static const char *const words[] = {
        "0", "1", "2", "3", "-1", "0.5", "7", "65536", "1000000", "2147483648", "9223372036854775807", "1e18", "1e300", "1/0",
        "x", "y", "c", "i", "...", "same", "true", "inf", "pi", "batch", "training", "steps", "lr", "random[...]", "\"text\"",
        "3x5", "[1, 2]", "0..4", "0..1000000", "5 epochs", "20%", "dense(3)", "conv(4, 3)", "flatten", "softmax",
        "add", "[tanh, relu]", "sgd(lr = 1)", "next", "grad", "sum[c]", "max[i in 3]", "mean[batch]", "mean[...]", "x[c]", "x?[c - 1]",
        "x -> dense(2)", "f", "x.channels", "size(x)", "if training then 1 else 2", "for i in 0..3 { dense(i + 1) }", "param w[3] = 0\n",
        "state s = 0\n", "next s = 1\n", "cross_entropy", "adam", "cosine", "label", "(a, b)", "inf * 0", "2^100", "1e400 - 1",
    };
    return words[below((int)(sizeof words / sizeof *words))];
}

static const char *added(void)
{
    static const char *const words[] = {" + 1", " - 1", " * 3", " / 2", " // 2", " * 1000000", " -> dense(3)", " -> relu", "(2)", "[0]",
                                        "[...]", ", 1", " : 3x4", " ^ 2", " mod 3", "?[0]", ".weight", " == 1", " -> add", " + x"};
    return words[below((int)(sizeof words / sizeof *words))];
}

static void add_token(Text *t, const char *s, Token k) { text_add(t, s + k.start, (size_t)(k.end - k.start)); }

static bool is_word(const char *s, Token k) { return isalnum((unsigned char)s[k.start]); }

/* One change somewhere in the text. */
static const char *mutate(Arena *a, const char *s)
{
    static Token tokens[MOST_TOKENS];
    Text t = {.arena = a};
    int n = tokens_of(s, tokens);

    if (n < 2)
        return s;
    int i = below(n), j = below(n), how = below(6);
    /* mostly a word for a word and a number for a number: that parses */
    for (int k = 0; k < 20 && how != 4 && !is_word(s, tokens[i]); k++)
        i = below(n);
    for (int k = 0; k < 20 && how == 2 && !is_word(s, tokens[j]); k++)
        j = below(n);
    text_add(&t, s, (size_t)tokens[i].start);
    if (how == 1) /* something added */
        add_token(&t, s, tokens[i]);
    if (how == 2) /* another of the file */
        add_token(&t, s, tokens[j]);
    if (how == 1)
        text_print(&t, "%s", added());
    if (how >= 3)
        text_print(&t, " %s ", awkward());
    text_add(&t, s + tokens[i].end, strlen(s + tokens[i].end)); /* 0: left out */
    return t.s;
}

/* --- files made up --- */

static const char *pick(const char *const *words, int n) { return words[below(n)]; }
#define PICK(...) pick((const char *const[]){__VA_ARGS__}, (int)(sizeof(const char *[]){__VA_ARGS__} / sizeof(char *)))

static void expression(Text *t, int depth);

static void list(Text *t, int depth, int n)
{
    for (int i = 0; i < n; i++) {
        text_print(t, "%s", i ? ", " : "");
        expression(t, depth);
    }
}

static void expression(Text *t, int depth)
{
    if (depth <= 0) {
        text_print(t, "%s", PICK("x", "m", "z", "k", "c", "i", "j", "w", "s", "0", "1", "2", "0.5", "D", "f", "g", "tanh", "image", "label",
                                 "true", "same", "n", "training", "batch", "y"));
        return;
    }
    switch (below(14)) {
    case 0:
    case 1: /* arithmetic */
        expression(t, depth - 1);
        text_print(t, " %s ", PICK("+", "-", "*", "/", "//", "mod", "^", "==", "<", "and", "or", "@"));
        expression(t, depth - 1);
        break;
    case 2:
    case 3: /* an element */
        text_print(t, "%s%s", PICK("x", "m", "z", "w", "image", "next s", "grad y", "y", "random"), PICK("[", "[", "?["));
        list(t, depth - 2, 1 + below(3));
        text_print(t, "]");
        break;
    case 4: text_print(t, "%s", PICK("x[...]", "m[i, j]", "x[c]", "z[i, ...]", "image[c, i, j]", "w[k, c]", "m[...]", "random[...]")); break;
    case 5:
        text_print(t, "(%s[%s] ", PICK("sum", "max", "mean", "min", "prod", "argmax", "softmax", "logsumexp", "any"),
                   PICK("c", "i, j", "...", "batch", "k in 3", "k in 0..D", "batch, ...", "k in [1, 2]", "i"));
        expression(t, depth - 1);
        text_print(t, ")");
        break;
    case 6:
    case 7: /* a pipeline */
        expression(t, depth - 2);
        text_print(t, " -> %s", PICK("dense(3)", "tanh", "f", "g", "g(2)", "conv(2, 3)", "flatten", "[f, g]", "add", "concat", "softmax",
                                     "batchnorm", "split(2)", "reshape(2x3)", "h", "permute(1, 0)", "standardize", "dropout(0.5)", "cross_entropy"));
        break;
    case 8:
        text_print(t, "%s(", PICK("f", "g", "exp", "max", "size", "pair", "dense", "h", "conv", "select", "add", "mse", "x", "in_steps"));
        list(t, depth - 1, below(4));
        text_print(t, ")");
        break;
    case 9:
        text_print(t, "(if ");
        expression(t, depth - 1);
        text_print(t, " then ");
        expression(t, depth - 1);
        text_print(t, " else ");
        expression(t, depth - 1);
        text_print(t, ")");
        break;
    case 10:
        text_print(t, "[");
        list(t, depth - 1, 1 + below(3));
        text_print(t, "]");
        break;
    case 11:
        text_print(t, "%s.%s", PICK("x", "image", "p", "m", "q", "label"), PICK("channels", "weight", "rank", "height", "classes", "bias"));
        break;
    case 12:
        expression(t, depth - 1);
        text_print(t, " * %s", PICK("2", "0", "D", "3"));
        break;
    default:
        text_print(t, "-");
        expression(t, depth - 1);
    }
}

static void statement(Text *t)
{
    switch (below(10)) {
    case 0: text_print(t, "    %s = ", PICK("p", "q", "y", "x", "p, q", "next s", "grad x", "next p")); break;
    case 1: text_print(t, "    %s = ", PICK("y[c]", "y[i, j]", "p[c, i, j]", "y[2 * i]", "y[...]", "y[c, ...]", "next s[i]", "grad x[i]", "w[k]")); break;
    case 2: text_print(t, "    y[c] += "); break;
    case 3: text_print(t, "    %s ", PICK("param u[D] ~", "param v =", "state s[3] =", "state o[D, D] ~", "param w[D, x.rank] ~", "param w =")); break;
    case 4: text_print(t, "    assert "); break;
    default: text_print(t, "    %s = ", PICK("p", "q", "y", "k", "r[i]", "y[c]", "y[i]", "z[i, j]"));
    }
    expression(t, 1 + below(4));
    text_print(t, "\n");
}

static const char *made_up(Arena *a)
{
    Text t = {.arena = a};

    text_print(&t, "option D = %s\nfn f%s of x = ", PICK("3", "2", "1", "0", "2.5", "true"), PICK("", "(k = 2)", "(k)"));
    expression(&t, 1 + below(3));
    text_print(&t, "\nlayer g%s of %s {\n", PICK("", "(n = 1)", "(n)"),
               PICK("x[C]", "x[C, ...]", "x", "x[C, H, W]", "x[...] -> y[...]", "x[C] -> y[C]", "x[C], m[C] -> y", "x[A, B] -> y[B, A]"));
    for (int i = below(4); i >= 0; i--)
        statement(&t);
    text_print(&t, "    ");
    expression(&t, 2);
    text_print(&t, "\n}\nlayer h = ");
    expression(&t, 2);
    text_print(&t, "\n%s\nmodel M of %s {\n", PICK("", "data d = mnist(\"data\")", "data d = table(x = [0, 1], label = [1, 0])", "data d = npy(\"x\", \"y\")"),
               PICK("x[4]", "image: 1x28x28", "x[3, 4], m[3, 4]", "x[D]", "image: 2x6x6", "x", "x: class(5)"));
    for (int i = below(5); i > 0; i--)
        statement(&t);
    text_print(&t, "    ");
    expression(&t, 1 + below(3));
    text_print(&t, "\n}\n");
    if (below(2)) {
        text_print(&t, "train M%s {\n    loss = %s\n    optimizer = %s\n    metrics = ", PICK("", " on d"), PICK("mse", "cross_entropy", "g", "f", "mse(output, x)"),
                   PICK("sgd(lr = 0.1)", "adam", "f", "g(2)"));
        expression(&t, below(2));
        text_print(&t, "\n    %s\n}\n", PICK("", "clip = norm(1)", "penalty = l2(0.1)", "schedule = warmup(2) -> f", "batch = 2", "accumulate = 2"));
    }
    return t.s;
}

/* --- the test --- */

static void show_current(void)
{
    if (all.text)
        fprintf(stderr, "\n--- this text, made of %s, is the end of it:\n%s\n---\n", all.name, all.text);
}

static void die(int sig)
{
    show_current();
    all.text = NULL;
    signal(sig, SIG_DFL);
    raise(sig);
}

static void watch(void)
{
    static char stack[1 << 16];
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction act = {.sa_handler = die, .sa_flags = SA_ONSTACK};

    sigaltstack(&s, NULL);
    sigaction(SIGSEGV, &act, NULL);
    sigaction(SIGBUS, &act, NULL);
    sigaction(SIGFPE, &act, NULL);
    sigaction(SIGABRT, &act, NULL);
    sigaction(SIGALRM, &act, NULL);
    atexit(show_current);
}

static void run_passes(Program *p)
{
    Graph *graphs[] = {p->init, p->step, p->eval, p->report, p->predict, p->prepare};

    for (int i = 0; i < 6; i++) {
        if (!graphs[i])
            continue;
        graph_verify(graphs[i], "check");
        graph_gather(graphs[i]);
        graph_verify(graphs[i], "gather");
        graph_simplify(graphs[i]);
        graph_verify(graphs[i], "simplify");
        graph_hoist(graphs[i]);
        graph_fuse(graphs[i]);
        graph_verify(graphs[i], "fuse");
    }
}

static void try_text(const char *name, const char *text)
{
    Arena *a = arena_new();
    Text news = {.arena = a};

    all.name = name;
    all.text = text;
    diag_reset();
    diag_to(&news);
    alarm(SECONDS);
    Node *tree = parse(a, source_add("test.nn", text, strlen(text), false));
    bool parses = error_count() == 0;
    Program *p = parses ? check(a, tree, NULL, 0) : NULL;
    all.tried++;
    all.parsed += parses;
    all.good += p != NULL;
    if (!p)
        ck_assert_msg(error_count() > 0, "no program and no error");
    else
        ck_assert_msg(error_count() == 0, "a program in spite of:\n%s", news.s);
    if (p)
        run_passes(p);
    alarm(0);
    all.text = NULL;
    diag_to(NULL);
    arena_free(a);
}

static void collect_seeds(void)
{
    all.arena = arena_new();
    add_files("examples/[!i]*/*.nn"); /* without imagenet/: the same in large */
    add_files("examples/iris/*.nn");
    add_files("tests/golden/*.nn");
    add_files("tests/errors/[!be]*.nn"); /* without blowup and endless: those take their time */
    add_snippets("SPEC.md");
    int kept = 0;
    for (int i = 0; i < all.seeds.n; i++) {
        int parsed = all.parsed;
        try_text(all.seeds.at[i].name, all.seeds.at[i].text);
        if (all.parsed > parsed)
            all.seeds.at[kept++] = all.seeds.at[i];
    }
    all.seeds.n = kept;
    ck_assert_msg(all.seeds.n > 20, "run from the top of the sources");
}

START_TEST(nothing_else_happens)
{
    const char *soak = getenv("NNC_SOAK");
    int rounds = PER_SOURCE * (soak ? atoi(soak) : 1);
    Arena *a = arena_new();

    watch();
    collect_seeds();
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < all.seeds.n; i++) {
            state = (uint32_t)(r * 7919 + i * 104729 + 1);
            const char *text = mutate(a, all.seeds.at[i].text);
            if (r % 3 == 2)
                text = mutate(a, text);
            try_text(all.seeds.at[i].name, text);
        }
    for (int i = 0; i < rounds * MADE_UP; i++) {
        state = (uint32_t)i * 2654435761u + 12345;
        try_text("nothing", made_up(a));
    }
    if (getenv("NNC_SOAK"))
        printf("%d texts, %d parse, %d compile\n", all.tried, all.parsed, all.good);
    ck_assert_int_gt(all.good, all.tried / 50);
    arena_free(a);
    arena_free(all.arena);
}
END_TEST

/* --- foreign.txt --- */

/* A definition `layer` (NULL: any) with the setting `setting` (NULL: whatever it has) is wanted in the library. */
typedef struct Wanted {
    const char *layer, *setting;
    bool found;
} Wanted;

static void look(void *data, const char *space, const Node *d)
{
    Wanted *w = data;
    const Node *params = d->child[0];

    (void)space;
    if (w->layer && strcmp(d->text, w->layer) != 0)
        return;
    w->found |= !w->setting;
    for (int i = 0; params && i < params->n && w->setting; i++)
        w->found |= strcmp(params->child[i]->text, w->setting) == 0;
}

/* What it says people mean must be there. */
START_TEST(foreign_names_lead_somewhere)
{
    Arena *a = arena_new();
    const char *text = NULL;
    int lines = 0;

    for (int i = 0; library_files[i].path; i++)
        if (strcmp(library_files[i].path, "lang/foreign.txt") == 0)
            text = library_files[i].text;
    ck_assert_ptr_nonnull(text);
    for (const char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        const char *colon = memchr(text, ':', (size_t)(end - text)), *dot = memchr(text, '.', (size_t)(end - text));
        if (!colon || *text == '#')
            continue;
        bool scoped = dot && dot < colon;
        const char *scope = scoped ? arena_copy(a, text, (size_t)(dot - text)) : NULL;
        const char *target = scoped ? arena_copy(a, dot + 1, (size_t)(colon - dot - 1)) : arena_copy(a, text, (size_t)(colon - text));
        bool section = scope && (!strcmp(scope, "train") || !strcmp(scope, "data") || !strcmp(scope, "reader") ||
                                 !strcmp(scope, "augment") || !strcmp(scope, "shapes"));
        lines++;
        if (section || !strcmp(target, "-") || !strcmp(target, "init"))
            continue;
        Wanted w = {.layer = !scope ? target : *scope == '*' ? NULL : scope, .setting = scope ? target : NULL};
        library_visit(look, &w);
        ck_assert_msg(w.found, "foreign.txt: there is no %.*s", (int)(colon - text), text);
    }
    ck_assert_int_gt(lines, 100);
    arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("check");
    TCase *t = tcase_create("mutations");

    tcase_set_timeout(t, 3600);
    tcase_add_test(t, nothing_else_happens);
    tcase_add_test(t, foreign_names_lead_somewhere);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
