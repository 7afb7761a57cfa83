/* options.c -- the command line. One table: what is read is what --help shows. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum {
    OPT_OUTPUT, OPT_SOURCE, OPT_OBJECT, OPT_DEFINE, OPT_TARGET, OPT_CC, OPT_DEPEND,
    OPT_EMIT, OPT_AFTER, OPT_SKIP, OPT_TIME, OPT_VERIFY, OPT_VERBOSE, OPT_HELP, OPT_VERSION,
} Which;

/* clang-format off */
static const struct { Which which; const char *name, *argument, *help; } table[] = {
    {OPT_OUTPUT,  "-o",           "FILE",       "write to FILE; - is standard output"},
    {OPT_SOURCE,  "-S",           NULL,         "write C to embed: model.c and model.h"},
    {OPT_OBJECT,  "-c",           NULL,         "write an object and its header: model.o and model.h"},
    {OPT_DEFINE,  "-D",           "NAME=VALUE", "give an option of the model another value"},
    {OPT_TARGET,  "--target-cpu", "CPU",        "native (the default), x86-64-v3, x86-64-v4 or generic"},
    {OPT_CC,      "--cc",         "COMPILER",   "the C compiler; else clang, or gcc where there is no clang"},
    {OPT_DEPEND,  "-MD",          NULL,         "also write what the output depends on, for make: OUTPUT.d"},
    {OPT_EMIT,    "--emit",       "FORM",       "only show: tree, graph, loops, plan, c, h or main"},
    {OPT_AFTER,   "--after",      "PASS",       "stop after a pass and show what it left"},
    {OPT_SKIP,    "--skip",       "PASS",       "leave a pass out"},
    {OPT_TIME,    "--time",       NULL,         "say how long each pass takes"},
    {OPT_VERIFY,  "--verify",     NULL,         "check the equations after every pass"},
    {OPT_VERBOSE, "-v",           NULL,         "show the commands that are run"},
    {OPT_HELP,    "--help",       NULL,         "this text"},
    {OPT_VERSION, "--version",    NULL,         "the version"},
};
/* clang-format on */
enum { NOPTIONS = sizeof table / sizeof *table };

static const char *const forms[] = {
    [SHOW_TREE] = "tree", [SHOW_GRAPH] = "graph", [SHOW_LOOPS] = "loops", [SHOW_PLAN] = "plan",
    [SHOW_C] = "c",       [SHOW_H] = "h",         [SHOW_MAIN] = "main",
};
enum { NFORMS = sizeof forms / sizeof *forms };

int usage(const char *format, ...)
{
    va_list args;

    fputs("nnc: error: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* The end of a complaint about a name that is not known. */
static int unknown(const char *what, const char *word, const char *const *names, int n)
{
    const char *near = nearest(word, names, n);

    usage("%s '%s'", what, word);
    if (near)
        fprintf(stderr, "  help: did you mean '%s'?\n", near);
    else
        fputs("  help: nnc --help lists them\n", stderr);
    return EXIT_USAGE;
}

static void show_help(void)
{
    puts("nnc compiles a neural network, written in a .nn file, to a program that trains it.\n\n"
         "  nnc model.nn [-o trainer]     a program: ./trainer trains, ./trainer --help tells the rest\n"
         "  nnc model.nn -S               C to embed: model.c and model.h\n"
         "  nnc doc [NAME]                the library, or the text of one definition\n"
         "  nnc check-gradients model.nn  compares derived gradients with differences of the loss\n");
    for (int i = 0; i < NOPTIONS; i++) {
        char head[40];
        const char *argument = table[i].argument;
        snprintf(head, sizeof head, "%s%s%s", table[i].name, argument ? (table[i].name[1] == '-' ? "=" : " ") : "",
                 argument ? argument : "");
        printf("  %-24s %s\n", head, table[i].help);
    }
    puts("\npasses, in their order (* may be skipped):");
    for (int i = 0; i < npasses; i++)
        printf("  %-10s%s %-6s %s\n", passes[i].name, passes[i].skippable ? "*" : " ", forms[passes[i].shows],
               passes[i].help);
    puts("\nexit status: 0 built, 1 mistakes in the .nn file, 2 in the command line, 3 a file cannot be read or\n"
         "written or the C compiler not be run, 4 a mistake of ours");
}

static int read_pass(const char *name, bool skip, const Pass **out)
{
    const char *names[32];

    *out = pass_find(name);
    if (*out && skip && !(*out)->skippable)
        return usage("the pass '%s' cannot be skipped", name);
    for (int i = 0; i < npasses; i++)
        names[i] = passes[i].name;
    return *out ? -1 : unknown("no pass is called", name, names, npasses);
}

static int read_define(Options *o, Arena *a, const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || !equals[1])
        return usage("-D wants NAME=VALUE, as in -D depth=56, and not '%s'", text);
    PUSH(a, o->defines, ((Define){arena_copy(a, text, (size_t)(equals - text)), equals + 1, false}));
    return -1;
}

static int set(Options *o, Arena *a, Which which, const char *value)
{
    const Pass *pass;
    int status;

    switch (which) {
    case OPT_OUTPUT: o->output = value; break;
    case OPT_SOURCE: o->source = true; break;
    case OPT_OBJECT: o->object = true; break;
    case OPT_DEFINE: return read_define(o, a, value);
    case OPT_TARGET: o->target = value; break;
    case OPT_CC: o->cc = value; break;
    case OPT_DEPEND: o->depend = true; break;
    case OPT_EMIT:
        for (int i = SHOW_TREE; i < NFORMS; i++)
            if (!strcmp(forms[i], value)) {
                o->emit = (Show)i;
                return -1;
            }
        return unknown("--emit knows no form", value, forms + 1, NFORMS - 1);
    case OPT_AFTER: return read_pass(value, false, &o->after);
    case OPT_SKIP:
        status = read_pass(value, true, &pass);
        if (status < 0)
            PUSH(a, o->skip, pass);
        return status;
    case OPT_TIME: o->time = true; break;
    case OPT_VERIFY: o->verify = true; break;
    case OPT_VERBOSE: o->verbose = true; break;
    case OPT_HELP: show_help(); return EXIT_BUILT;
    case OPT_VERSION: puts("nnc " NNC_VERSION); return EXIT_BUILT;
    }
    return -1;
}

/* Which row an argument is, and where its value starts: --name=value, -oFILE; NULL: in the next argument. */
static int row_of(const char *arg, const char **value)
{
    for (int i = 0; i < NOPTIONS; i++) {
        const char *name = table[i].name;
        size_t n = strlen(name);
        *value = NULL;
        if (!strcmp(arg, name) || (!strcmp(arg, "-h") && table[i].which == OPT_HELP))
            return i;
        if (strncmp(arg, name, n) || !table[i].argument)
            continue;
        if (name[1] == '-' ? arg[n] == '=' : arg[n]) {
            *value = arg + n + (name[1] == '-');
            return i;
        }
    }
    return -1;
}

static int read_option(Options *o, Arena *a, int argc, char **argv, int *i)
{
    const char *names[NOPTIONS], *value, *arg = argv[*i];
    int row = row_of(arg, &value);

    for (int k = 0; k < NOPTIONS; k++)
        names[k] = table[k].name;
    if (row < 0)
        return unknown("unknown option", arena_copy(a, arg, strcspn(arg, "=")), names, NOPTIONS);
    if (table[row].argument && !value) {
        if (*i + 1 >= argc)
            return usage("%s wants %s: %s", table[row].name, table[row].argument, table[row].help);
        value = argv[++*i];
    }
    return set(o, a, table[row].which, value);
}

/* What fits together, and what does not. */
static int check_options(Options *o, Arena *a)
{
    if (!o->file)
        return usage("which model? nnc MODEL.nn compiles one; nnc --help tells more");
    if (o->source && o->object)
        return usage("-S writes C, -c an object: choose one");
    if (o->emit && (o->source || o->object))
        return usage("--emit only shows; it does not go with %s", o->source ? "-S" : "-c");
    if (o->after && o->emit > o->after->shows)
        return usage("--emit=%s shows what passes after '%s' make", forms[o->emit], o->after->name);
    if (!target_find(a, o->target))
        return unknown("unknown processor", o->target, target_names, ntargets);
    if (o->output && !*o->output)
        return usage("-o wants the name of a file");
    if (o->output && !strcmp(o->output, "-") && !o->source && !o->emit && !o->after)
        return usage("a program does not go to standard output; -S and --emit do");
    return -1;
}

int options_read(Options *o, Arena *a, int argc, char **argv)
{
    bool only_words = false;
    int status = -1;

    *o = (Options){.target = "native"};
    if (argc > 1 && !strcmp(argv[1], "doc"))
        o->command = COMMAND_DOC;
    else if (argc > 1 && !strcmp(argv[1], "check-gradients"))
        o->command = COMMAND_CHECK_GRADIENTS;
    for (int i = 1 + (o->command != COMMAND_COMPILE); i < argc && status < 0; i++) {
        if (!only_words && !strcmp(argv[i], "--"))
            only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1])
            status = read_option(o, a, argc, argv, &i);
        else
            PUSH(a, o->words, argv[i]);
    }
    if (status >= 0 || o->command == COMMAND_DOC)
        return status;
    if (o->words.n > 1)
        return usage("one model at a time: '%s' and '%s' are two", o->words.at[0], o->words.at[1]);
    o->file = o->words.n ? o->words.at[0] : NULL;
    return check_options(o, a);
}
