/* syntax.c -- the parser: what tree a text becomes, what it says when it does not fit, and that garbage does no harm. */
#include "syntax/tree.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* Parses a text; the tree, or the diagnostics when there are some. */
static const char *answer(Arena *a, const char *text, size_t size)
{
    Text news = {.arena = a}, tree = {.arena = a};

    diag_reset();
    diag_to(&news);
    Node *n = parse(a, source_add("t.nn", text, size, false));
    tree_print(&tree, n);
    diag_to(NULL);
    return error_count() ? news.s : tree.s;
}

/* An expression alone: what stands after "(file (constant e " in its tree. */
static const char *expression(Arena *a, const char *text)
{
    const char *source = arena_print(a, "e = %s\n", text), *tree = answer(a, source, strlen(source));
    const char *start = strstr(tree, "(constant e");

    if (!start)
        return tree;
    start += strlen("(constant e ");
    return arena_copy(a, start, strlen(start) - strlen("))\n"));
}

static const struct { const char *source, *tree; } expressions[] = {
    /* how tightly the operators hold */
    {"a + b * c ^ d", "(+ a (* b (^ c d)))"},
    {"a - b - c", "(- (- a b) c)"},
    {"a / b * c", "(* (/ a b) c)"},
    {"2 ^ 3 ^ 4", "(^ 2 (^ 3 4))"},
    {"-a ^ 2", "(- (^ a 2))"},
    {"2 ^ -a", "(^ 2 (- a))"},
    {"-a * b", "(* (- a) b)"},
    {"a // b mod c", "(mod (// a b) c)"},
    {"not a and b or c", "(or (and (not a) b) c)"},
    {"a + 1 < b * 2", "(< (+ a 1) (* b 2))"},
    {"0..n - 1", "(.. 0 (- n 1))"},
    {"x -> f -> g * 3", "(pipe x -> f -> (* g 3))"},
    {"x -> f : 6x14x14 -> g", "(pipe x -> f : 6x14x14 -> g)"},
    {"x + y -> f", "(pipe (+ x y) -> f)"},
    {"if a then b else c -> d", "(if a b (pipe c -> d))"},
    {"(if a then b else c) -> d", "(pipe (if a b c) -> d)"},
    /* a reduction: looser than *, tighter than + */
    {"b + sum[c] w * x + d", "(+ (+ b (sum [c] (* w x))) d)"},
    {"2 * sum[c] x / 3", "(* 2 (sum [c] (/ x 3)))"},
    {"-sum[i] x * y", "(- (sum [i] (* x y)))"},
    {"max[p in K, q in 2*K] x", "(max [(in p K) (in q (* 2 K))] x)"},
    {"mean[batch, ...] x[c, ...]", "(mean [batch ...] (at x c ...))"},
    {"sum[i] sum[j] x", "(sum [i] (sum [j] x))"},
    {"max(a, b) + max [i] a", "(+ (call max a b) (max [i] a))"},
    {"sum [c] x", "(sum [c] x)"},
    /* what hangs on a name */
    {"f(1, k = 3)(x)[i].y", "(member y (at (call (call f 1 (arg k 3)) x) i))"},
    {"x?[i + p - 1]", "(at? x (- (+ i p) 1))"},
    {"f()", "(call f)"},
    {"f(a, b,)", "(call f a b)"},
    {"[f, g,] -> add", "(pipe [f g] -> add)"},
    {"(a, b)", "(tuple a b)"},
    {"token.weight", "(member weight token)"},
    /* words of their own */
    {"1x28x28", "1x28x28"},
    {"1_000x2", "1_000x2"},
    {"20%", "20%"},
    {"12.5%", "12.5%"},
    {"5 epochs", "5 epochs"},
    {"1 step", "1 steps"},
    {"30 min", "30 minutes"},
    {"1.5 hours", "1.5 hours"},
    {"2 seconds", "2 seconds"},
    {"5 stepsize", NULL},
    {"61_706", "61_706"},
    {"1e-3 + .5 + 2.5e+7", "(+ (+ 1e-3 .5) 2.5e+7)"},
    {"\"a\\n\\\"b\\\\\"", "\"a\\n\\\"b\\\\\""},
    {"true and not false", "(and true (not false))"},
    {"for i in 0..4 { conv(2^i, 3) -> relu }",
     "(for i (.. 0 4) (block (result (pipe (call conv (^ 2 i) 3) -> relu))))"},
    /* keywords are names where no keyword can stand */
    {"data + model * train", "(+ data (* model train))"},
    {"f(state = carry, of = in)", "(call f (arg state carry) (arg of in))"},
    /* lines */
    {"a\n    -> b", "(pipe a -> b)"},
    {"a   # comment\n\n  # another\n    -> b", "(pipe a -> b)"},
    {"a +\n b", "(+ a b)"},
    {"if a\n then b\n else c", "(if a b c)"},
    {"a\n and b\n or c", "(or (and a b) c)"},
    {"f(a,\n\n b\n)", "(call f a b)"},
    {"[\n  a,\n  b,\n]\n  -> concat", "(pipe [a b] -> concat)"},
};

START_TEST(test_expressions)
{
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        const char *got = expression(a, expressions[i].source);
        if (expressions[i].tree)
            ck_assert_msg(!strcmp(got, expressions[i].tree), "%s\n  gives  %s\n  wanted %s", expressions[i].source, got,
                          expressions[i].tree);
        else
            ck_assert_msg(strstr(got, "error: ") != NULL, "%s gives %s", expressions[i].source, got);
    }
    arena_free(a);
}
END_TEST

static const struct { const char *source, *tree; } files[] = {
    {"", "(file)\n"},
    {"\n\n# nothing\n", "(file)\n"},
    {"\xEF\xBB\xBFx = 1", "(file\n  (constant x 1))\n"},
    {"x = 1\r\ny = 2\r\n", "(file\n  (constant x 1)\n  (constant y 2))\n"},
    {"import \"a.nn\"\noption d = 1, s = true", "(file\n  (import a.nn)\n  (option (set d 1) (set s true)))\n"},
    {"fn f(a, b = 2) of x, t = x", "(file\n  (fn f (params a (b 2)) (ports x t) (ports) x))\n"},
    {"# what it is\n#   and more\nfn f of x = x # not this",
     "(file\n  (fn f \"what it is\\n  and more\" (params) (ports x) (ports) x))\n"},
    {"# far away\n\nfn f of x = \"#\" # near", "(file\n  (fn f \"near\" (params) (ports x) (ports) \"#\"))\n"},
    {"layer l of x[C, ...] -> y[C, ...] { y = x }",
     "(file\n  (layer l (params) (ports (port x [C ...] _)) (ports (port y [C ...] _)) (block (= [y] [x]))))\n"},
    {"model M of t: class(V)[T] = t", "(file\n  (model M (params) (ports (port t _ (at (call class V) T))) (ports) t))\n"},
    {"data d = csv(\"x\")\ndata e = f { valid = 10%\n label = a, b }",
     "(file\n  (data d (call csv \"x\") _)\n  (data e f (settings (set valid 10%) (set label a b))))\n"},
    {"train M { batch = 1 }\ntrain M on d {\n a.b = 1\n head { freeze = x }\n}",
     "(file\n  (train M _ (settings (set batch 1)))\n"
     "  (train M d (settings (set a.b 1) (group head (settings (set freeze x))))))\n"},
    {"data d = f { train = 80%\n state = carry }", "(file\n  (data d f (settings (set train 80%) (set state carry))))\n"},
};

/* Statements, as the body of a layer. */
static const struct { const char *source, *tree; } statements[] = {
    {"y = x", "(= [y] [x])"},
    {"y[o] += b[o]", "(+= [(at y o)] [(at b o)])"},
    {"q, k = x -> f", "(= [q k] [(pipe x -> f)])"},
    {"next s[c] = e", "(= [(at (next s) c)] [e])"},
    {"grad z = grad y * 2", "(= [(grad z)] [(* (grad y) 2)])"},
    {"param w[O, C] ~ kaiming", "(param ~ (port w [O C] _) kaiming)"},
    {"param b = 0", "(param = b 0)"},
    {"state m[C] ~ mean(x)", "(state ~ (port m [C] _) (call mean x))"},
    {"state v = 0", "(state = v 0)"},
    {"assert a == 1 or b", "(assert (or (== a 1) b))"},
    {"if a { x } else { y }", "(branch a (block (result x)) (block (result y)))"},
    {"if a { x }\n else if b { y }", "(branch a (block (result x)) (block (branch b (block (result y)) _)))"},
    {"a, b", "(result a b)"},
};

/* The tree in one line, however long. */
static const char *one_line(Arena *a, const char *s)
{
    Text t = {.arena = a};

    while (*s) {
        size_t blank = strspn(s, " \n");
        if (blank && s[blank] && s[blank] != ')')
            text_print(&t, " ");
        if (s[blank])
            text_add(&t, s + blank, 1);
        s += blank + (s[blank] != 0);
    }
    return t.s;
}

START_TEST(test_files)
{
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        ck_assert_str_eq(answer(a, files[i].source, strlen(files[i].source)), files[i].tree);
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        const char *source = arena_print(a, "layer l { %s }", statements[i].source);
        const char *want = arena_print(a, "(file\n  (layer l (params) (ports) (ports) (block %s)))\n", statements[i].tree);
        ck_assert_str_eq(one_line(a, answer(a, source, strlen(source))), one_line(a, want));
    }
    arena_free(a);
}
END_TEST

/* tree_source gives back an expression that parses to the same tree. */
START_TEST(test_source)
{
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        if (!expressions[i].tree || strstr(expressions[i].source, "for "))
            continue;
        const char *line = arena_print(a, "e = %s\n", expressions[i].source);
        diag_reset();
        Node *n = parse(a, source_add("t.nn", line, strlen(line), false));
        Text t = {.arena = a};
        tree_source(&t, n->child[0]->child[0]);
        ck_assert_msg(!strcmp(expression(a, t.s), expressions[i].tree), "%s\n  comes back as %s", expressions[i].source, t.s);
    }
    arena_free(a);
}
END_TEST

static const struct { const char *expression, *source; } canonical[] = {
    {"conv(6,5,pad=2)", "conv(6, 5, pad = 2)"},
    {"((a))*(b+c)", "a * (b + c)"},
    {"a-(b-c)", "a - (b - c)"},
    {"(2*sum[i]x)*3", "(2 * sum[i] x) * 3"},
    {"(x->f)*3->g", "(x -> f) * 3 -> g"},
    {"(if a then b else c)+1", "(if a then b else c) + 1"},
    {"x?[ i+1 , ... ]", "x?[i + 1, ...]"},
    {"(a^b)^c", "(a^b)^c"},
};

START_TEST(test_canonical)
{
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof canonical / sizeof *canonical; i++) {
        const char *line = arena_print(a, "e = %s\n", canonical[i].expression);
        diag_reset();
        Node *n = parse(a, source_add("t.nn", line, strlen(line), false));
        Text t = {.arena = a};
        tree_source(&t, n->child[0]->child[0]);
        ck_assert_str_eq(t.s, canonical[i].source);
    }
    arena_free(a);
}
END_TEST

/* Each row: a text and all that is said about it, but the lines of source. */
static const struct { const char *source, *news; } wrong[] = {
    {"x = 1 2", "t.nn:1:7: error: expected the end of the line or an operator, but found '2'\n"},
    {"x = f(1 2)", "t.nn:1:9: error: expected ',', ')' or an operator, but found '2'\n"},
    {"x = ", "t.nn:1:4: error: expected an expression, but found the end of the file\n"},
    {"x = )", "t.nn:1:5: error: there is no '(' that this ')' could close\n"
              "t.nn:1:4: error: expected an expression, but found the end of the file\n"},
    {"x = (a, b]", "t.nn:1:10: error: expected ')', but found ']'\n"},
    {"x = (a\ny = 2", "t.nn:2:1: error: expected ',', ')' or an operator to close '(' of line 1, but found 'y'\n"},
    {"layer l {\n  x", "t.nn:2:4: error: expected '}' to close '{' of line 1, but found the end of the file\n"},
    {"layer l {\n  x\nlayer m = n", "t.nn:3:1: error: expected '}' to close '{' of line 1, but found a new definition\n"},
    {"layer l = a ->\nlayer m = n", "t.nn:1:15: error: expected an expression, but found the end of the line\n"},
    {"layer l {\n 1 = 2\n f(x) += 3\n}",
     "t.nn:2:2: error: cannot assign to this\n  help: the left side of = is a name, y, or a tensor at indices, y[i, j]\n"
     "t.nn:3:2: error: cannot assign to this\n  help: the left side of += is a name, y, or a tensor at indices, y[i, j]\n"},
    {"layer l {\n x 1\n y = 3\n z 2\n}\nlayer m(a b) {\n  y = 1\n  z\n}\nx = 3 3",
     "t.nn:2:4: error: expected the end of the line, '=', ',' or an operator, but found '1'\n"
     "t.nn:4:4: error: expected the end of the line, '=', ',' or an operator, but found '2'\n"
     "t.nn:6:11: error: expected '=', ',' or ')', but found 'b'\n"
     "t.nn:10:7: error: expected the end of the line or an operator, but found '3'\n"},
    {"layer l {\n y = if a { b } else { c }\n z 2\n}\nmodel",
     "t.nn:2:11: error: expected 'then' or an operator, but found '{'\n"
     "  help: an 'if' that gives a value is written 'if c then a else b'\n"
     "t.nn:3:4: error: expected the end of the line, '=', ',' or an operator, but found '2'\n"
     "t.nn:5:6: error: expected a name, but found the end of the file\n"},
    {"layer l { assert a = b }", "t.nn:1:20: error: expected the end of the line or an operator, but found '='\n  help: equality is written ==\n"},
    {"layer l { return x }", "t.nn:1:18: error: expected the end of the line, '=', ',' or an operator, but found 'x'\n"
                             "  help: the last line of a block is its result; there is no 'return'\n"},
    {"train M {\n epochs\n}", "t.nn:2:8: error: expected '=', '{' or '.', but found the end of the line\n"},
    {"x = \"abc", "t.nn:1:5: error: this text does not end; its closing \" is missing\n"},
    {"x = \"a\\qb\"", "t.nn:1:7: error: a string knows only \\n, \\t, \\\" and \\\\\n  help: a path is written with /\n"},
    {"x = 3abc", "t.nn:1:5: error: '3abc' is neither a number nor a name\n  help: a product is written 3 * abc\n"},
    {"x = 3xsize", "t.nn:1:5: error: '3xsize' is neither a number nor a name\n  help: sizes with names stand in brackets: image[3, height, width]\n"},
    {"x = f(C x D)", "t.nn:1:9: error: expected '=', ',', ')' or an operator, but found 'x'\n"
                     "  help: sizes with names are a list: (C, H * W), or [C, H, W] in a header; a product is written a * b\n"},
    {"layer l of mean[K] = a", "t.nn:1:12: error: expected a name, but found 'mean'\n"
                               "  help: 'mean' before '[' is a reduction: a tensor needs another name\n"},
    {"layer l {\n y = all[t] + 1\n}", "t.nn:2:13: error: expected an expression, but found '+'\n"
                                      "  help: 'all' before '[' is a reduction: a tensor needs another name\n"},
    {"layer l {\n y = max[0]\n}", "t.nn:2:10: error: expected a name or '...', but found '0'\n"
                                   "  help: 'max' before '[' is a reduction: a tensor needs another name\n"},
    {"x = 1e999", "t.nn:1:5: error: this number is too large\n"},
    {"x = a \xE2\x86\x92 b", "t.nn:1:7: error: '\xE2\x86\x92' is not a sign of the language; write ->\n"},
    {"x = \"\xC3\xA9\" 2", "t.nn:1:9: error: expected the end of the line or an operator, but found '2'\n"},
    {"x = a && b", "t.nn:1:7: error: '&&' is not a sign of the language; write and\n"},
    {"x = $", "t.nn:1:5: error: '$' is not a sign of the language\n"
              "t.nn:1:4: error: expected an expression, but found the end of the file\n"},
    {"x = \"\xE9\"", "t.nn:1:6: error: the file is not in UTF-8: the byte 0xE9 begins no character\n"
                     "  help: save it as UTF-8 in your editor, or convert it: iconv -f latin1 -t utf-8\n"},
};

/* The lines without the source and what is drawn below it. */
static const char *headlines(Arena *a, const char *news)
{
    Text t = {.arena = a};

    for (const char *s = news, *end; *s; s = end) {
        end = strchr(s, '\n') + 1;
        if (strncmp(s, "   ", 3) && strncmp(s, "  ...", 5))
            text_add(&t, s, (size_t)(end - s));
    }
    return t.s ? t.s : "";
}

START_TEST(test_errors)
{
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_str_eq(headlines(a, answer(a, wrong[i].source, strlen(wrong[i].source))), wrong[i].news);
    ck_assert_str_eq(answer(a, "x = 1\n  y\0z", 11),
                     "t.nn:2:4: error: this is not a text file: it contains a NUL byte\n"
                     "    2 |   y\xEF\xBF\xBDz\n"
                     "      |    ^\n");
    ck_assert_str_eq(answer(a, "x = (a\n\ty = 2", 13),
                     "t.nn:2:2: error: expected ',', ')' or an operator to close '(' of line 1, but found 'y'\n"
                     "    1 | x = (a\n"
                     "      |     ~\n"
                     "      |     opened here\n"
                     "    2 |     y = 2\n"
                     "      |     ^\n");
    arena_free(a);
}
END_TEST

/* n times `s`, between `before` and `after`. */
static const char *repeated(Arena *a, const char *before, const char *s, int n, const char *after)
{
    Text t = {.arena = a};

    text_print(&t, "%s", before);
    for (int i = 0; i < n; i++)
        text_print(&t, "%s", s);
    text_print(&t, "%s", after);
    return t.s;
}

START_TEST(test_limits)
{
    static const struct { const char *before, *each; int n; const char *after, *news; } rows[] = {
        {"x = ", "(", 300, "1", "t.nn:1:261: error: more than 256 brackets are open here\n"},
        {"x = ", "(", 100000, "1", "t.nn:1:261: error: more than 256 brackets are open here\n"},
        {"x = 1", " + 1", 5000, "", "t.nn:1:5: error: this is nested or chained more than 1024 deep\n  help: give parts of it names\n"},
        {"x = ", "-", 5000, "1", NULL},
        {"x = ", "if a then b else ", 5000, "1", NULL},
        {"x = ", "2^", 5000, "1", NULL},
        {"x = ", "long", 100000, "", ""},
        {"", "\n", 100000, "x = 1", ""},
        {"x = a", "\n", 100000, "-> b", ""},
        {"", "layer l = a -> b\n", 20000, "", ""},
        {"x = [", "a, ", 20000, "]", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Arena *a = arena_new();
        const char *source = repeated(a, rows[i].before, rows[i].each, rows[i].n, rows[i].after);
        const char *got = answer(a, source, strlen(source)), *news = error_count() ? headlines(a, got) : "";
        if (rows[i].news)
            ck_assert_str_eq(news, rows[i].news);
        else
            ck_assert_msg(strstr(news, "more than 1024 deep") != NULL, "%s", news);
        arena_free(a);
    }
    /* 256 brackets are still allowed, and 1,000 stages in a pipeline. */
    Arena *a = arena_new();
    const char *deep = repeated(a, repeated(a, "x = ", "(", 256, "1"), ")", 256, "");
    answer(a, deep, strlen(deep));
    ck_assert_int_eq(error_count(), 0);
    const char *chain = repeated(a, "x = a", "\n  -> b", 1000, "");
    answer(a, chain, strlen(chain));
    ck_assert_int_eq(error_count(), 0);
    arena_free(a);
}
END_TEST

static void check_spans(const Node *n, Span within)
{
    ck_assert_int_eq(n->span.file, within.file);
    ck_assert_int_le(within.start, n->span.start);
    ck_assert_int_le(n->span.start, n->span.end);
    ck_assert_int_le(n->span.end, within.end);
    for (int i = 0; i < n->n; i++)
        if (n->child[i])
            check_spans(n->child[i], n->span);
}

static const char *const programs[] = {
    "data digits = mnist(\"data/mnist\") {\n    image = image / 255 -> standardize   # of the training split\n    valid = 5000\n}\n",
    "layer affine(O, bias = true) of x[C] -> y[O] {\n    param w[O, C] ~ kaiming\n    y[o] = sum[c] w[o, c] * x[c]\n"
    "    if bias {\n        param b[O] = 0\n        y[o] += b[o]\n    } else {\n        assert O > 0\n    }\n}\n",
    "model Net of image: 1x28x28, t: class(V)[T] -> main, aux {\n    f = (dense(8) -> tanh) * 3\n    image\n        -> conv(6, 5, pad = 2)\n"
    "        -> [f, for i in 0..4 { conv(16 * 2^i, 3) -> relu }] -> concat : 6x14x14\n}\n",
    "train Net on digits {\n    optimizer = sgd(lr = 0.05, betas = (0.9, 0.999))\n    schedule = warmup(5 epochs) -> cosine\n    head { stop = patience(30 min) }\n}\n",
    "fn f(s = -1e-3) of x = if x > 0 and not (x < s) then x?[i + p] else next v / grad z\n",
};

/* A number that is the same on every machine. */
static unsigned roll(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void mutate(char *s, size_t *n, size_t room, unsigned *dice)
{
    static const char *const pieces[] = {"(", ")", "[", "]", "{", "}", "\n", "->", "=", ",", "\"", "#", "if ", "layer ", "1x2", "\\",
                                         "...", "sum[", "?[", "else", "\xC3\xA9", "\xFF", "~", "5 epochs", "-", "\r", "in ", "/"};
    size_t at = roll(dice) % (*n + 1);
    const char *piece = pieces[roll(dice) % (sizeof pieces / sizeof *pieces)];
    size_t m = strlen(piece), cut = roll(dice) % 8;

    switch (roll(dice) % 4) {
    case 0: /* insert */
        if (*n + m >= room)
            return;
        memmove(s + at + m, s + at, *n - at);
        memcpy(s + at, piece, m);
        *n += m;
        break;
    case 1: /* remove */
        cut = cut > *n - at ? *n - at : cut;
        memmove(s + at, s + at + cut, *n - at - cut);
        *n -= cut;
        break;
    case 2: /* another byte */
        if (at < *n)
            s[at] = (char)(roll(dice) % 8 ? 32 + roll(dice) % 95 : roll(dice) % 256);
        break;
    default: /* something from elsewhere */
        if (*n > 0 && *n + cut < room && at + cut <= *n) {
            memmove(s + at + cut, s + at, *n - at);
            memmove(s + at, s + roll(dice) % (*n - cut + 1), cut);
            *n += cut;
        }
        break;
    }
}

START_TEST(test_garbage)
{
    unsigned dice = 1;

    for (int i = 0; i < 6000; i++) {
        char s[2048];
        Arena *a = arena_new();
        Text news = {.arena = a}, tree = {.arena = a};
        const char *program = programs[roll(&dice) % (sizeof programs / sizeof *programs)];
        size_t n = strlen(program);
        memcpy(s, program, n);
        for (unsigned k = roll(&dice) % 6; k > 0; k--)
            mutate(s, &n, sizeof s, &dice);

        diag_reset();
        diag_to(&news);
        int file = source_add("t.nn", s, n, false);
        Node *t = parse(a, file);
        diag_to(NULL);
        tree_print(&tree, t);
        if (!error_count()) {
            check_spans(t, (Span){file, 0, (int)n});
        } else {
            int line, column, lines = 1;
            ck_assert_msg(news.s && sscanf(news.s, "t.nn:%d:%d: error: ", &line, &column) == 2, "%.*s", (int)n, s);
            for (size_t k = 0; k < n; k++)
                lines += s[k] == '\n';
            ck_assert_int_ge(line, 1);
            ck_assert_int_le(line, lines + 1);
            ck_assert_int_ge(column, 1);
            ck_assert_int_le(column, (int)n + 1);
        }
        arena_free(a);
    }
}
END_TEST

START_TEST(test_programs)
{
    Arena *a = arena_new();

    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        const char *got = answer(a, programs[i], strlen(programs[i]));
        ck_assert_msg(error_count() == 0, "%s", got);
    }
    arena_free(a);
}
END_TEST

START_TEST(test_nearest)
{
    static const char *const names[] = {"tanh", "dense", "batchnorm", "conv", "avgpool"};
    static const struct { const char *wrong, *near; } rows[] = {
        {"tahn", "tanh"}, {"Dense", "dense"}, {"BatchNorm2d", "batchnorm"}, {"Conv2D", "conv"},
        {"avg_pool", "avgpool"}, {"xyz", NULL}, {"f", NULL}, {"", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *near = nearest(rows[i].wrong, names, 5);
        ck_assert_msg((!near && !rows[i].near) || (near && rows[i].near && !strcmp(near, rows[i].near)), "%s: %s", rows[i].wrong,
                      near ? near : "nothing");
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("syntax");
    TCase *t = tcase_create("syntax");
    SRunner *r = srunner_create(s);

    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_expressions);
    tcase_add_test(t, test_files);
    tcase_add_test(t, test_source);
    tcase_add_test(t, test_canonical);
    tcase_add_test(t, test_errors);
    tcase_add_test(t, test_limits);
    tcase_add_test(t, test_programs);
    tcase_add_test(t, test_garbage);
    tcase_add_test(t, test_nearest);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
