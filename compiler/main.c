/* main.c -- nnc. Reads the command line, runs the passes, writes what they made. */
#include "driver.h"
#include "graph/check_gradients.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Nothing may be written over the model itself. */
static int check_output(const Options *o, const char *out)
{
    struct stat in, st;

    if (strcmp(out, "-") && stat(o->file, &in) == 0 && stat(out, &st) == 0 && in.st_dev == st.st_dev &&
        in.st_ino == st.st_ino)
        return usage("the output '%s' is the model itself; -o names another file", out);
    return -1;
}

/* "dir/x.h" for "dir/x.c", and for whatever else. */
static const char *with_ending(Arena *a, const char *path, const char *old, const char *ending)
{
    size_t n = strlen(path), m = strlen(old);

    if (n > m && !strcmp(path + n - m, old))
        n -= m;
    return arena_print(a, "%.*s%s", (int)n, path, ending);
}

static void make_name(Text *t, const char *path)
{
    for (; *path; path++)
        text_print(t, *path == '$' ? "$$" : strchr(" #\\:", *path) ? "\\%c" : "%c", *path);
}

static void write_depend(Job *j, const char *out)
{
    Text t = {.arena = j->arena};

    make_name(&t, out);
    text_print(&t, ":");
    for (int i = 0; i < source_count(); i++) {
        if (source_get(i)->library)
            continue;
        text_print(&t, " ");
        make_name(&t, source_get(i)->path);
    }
    text_print(&t, "\n");
    output_text(arena_print(j->arena, "%s.d", out), &t);
}

/* -S and -c: two files, the second with the declarations. */
static int write_embedded(Job *j)
{
    Arena *a = j->arena;
    Options *o = j->options;
    const char *ending = o->source ? ".c" : ".o";
    const char *out = o->output ? o->output : arena_print(a, "%s%s", path_stem(a, o->file), ending);
    const char *header = strcmp(out, "-") ? with_ending(a, out, ending, ".h") : "model.h";
    Text c = {.arena = a}, h = {.arena = a};
    int status = check_output(o, out);

    if (status >= 0)
        return status;
    j->trainer.header = base_name(header);
    passes_show(&c, j, SHOW_C);
    passes_show(&h, j, SHOW_H);
    if (o->source)
        output_text(out, &c);
    else
        cc_object(j, &c, &h, j->trainer.header, out);
    if (strcmp(out, "-")) {
        output_text(header, &h);
        if (o->depend)
            write_depend(j, out);
    }
    return EXIT_BUILT;
}

static int write_program(Job *j)
{
    Arena *a = j->arena;
    Options *o = j->options;
    const char *out = o->output ? o->output : path_stem(a, o->file);
    Text c = {.arena = a}, h = {.arena = a}, main_c = {.arena = a};
    int status = check_output(o, out);
    char whole[PATH_MAX];

    if (status >= 0)
        return status;
    if (!j->program->step) {
        error_at(NOWHERE, "%s has no 'train' section, so there is nothing to make a program of", o->file);
        help("nnc -S writes the C of the model, to predict with");
        return EXIT_DIAGNOSTICS;
    }
    if (realpath(j->trainer.directory, whole))
        j->trainer.directory = arena_print(a, "%s", whole);
    j->profile = true;
    passes_show(&c, j, SHOW_C);
    passes_show(&h, j, SHOW_H);
    passes_show(&main_c, j, SHOW_MAIN);
    cc_program(j, &c, &h, &main_c, out);
    if (o->depend)
        write_depend(j, out);
    return EXIT_BUILT;
}

/* The equations as the checker leaves them, gradients by their rules against gradients by differences. */
static int compare_gradients(Job *j)
{
    Text t = {.arena = j->arena};

    if (!j->program->step) {
        error_at(NOWHERE, "%s has no 'train' section, so there is no loss to derive", j->options->file);
        return EXIT_DIAGNOSTICS;
    }
    GradientCheck *c = check_gradients(j->arena, j->program, 0);
    gradient_check_print(&t, c);
    output_text(j->options->output ? j->options->output : "-", &t);
    return c->good ? EXIT_BUILT : EXIT_DIAGNOSTICS;
}

static int compile(Arena *a, Options *o)
{
    const Target *target = target_find(a, o->target);
    Job job = {.arena = a, .options = o}, *j = &job;

    j->trainer = (Trainer){"model.h", path_directory(a, o->file), NNC_VERSION, target->name, target->features};
    loops_machine = machine_find(target->machine);
    j->file = source_read(o->file);
    if (j->file < 0)
        fail_file("read", o->file);
    if (o->command == COMMAND_CHECK_GRADIENTS)
        o->after = pass_find("check");
    bool good = passes_run(j);
    news_show(); /* before the C compiler says something */
    if (!good)
        return EXIT_DIAGNOSTICS;
    if (o->command == COMMAND_CHECK_GRADIENTS)
        return compare_gradients(j);
    if (o->emit) {
        Text t = {.arena = a};
        const char *out = o->output ? o->output : "-";
        int status = check_output(o, out);
        if (status >= 0)
            return status;
        passes_show(&t, j, o->emit);
        output_text(out, &t);
        if (o->depend && strcmp(out, "-"))
            write_depend(j, out);
        return EXIT_BUILT;
    }
    return o->source || o->object ? write_embedded(j) : write_program(j);
}

int main(int argc, char **argv)
{
    Arena *a = arena_new();
    Options o;

    setlocale(LC_ALL, "C"); /* a number is read and written the same everywhere */
    int status = options_read(&o, a, argc, argv);
    if (status < 0)
        status = o.command == COMMAND_DOC ? doc_show(&o, a) : compile(a, &o);
    arena_free(a);
    return status;
}
