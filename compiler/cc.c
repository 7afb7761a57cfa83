/* cc.c -- the C compiler: finds it, and runs it with a vector of arguments, never through a shell. */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* --- targets --- */

const char *const target_names[] = {"native", "x86-64-v3", "x86-64-v4", "generic"};
const int ntargets = sizeof target_names / sizeof *target_names;

static const char v3[] = "avx avx2 bmi bmi2 fma popcnt", v4[] = "avx avx2 bmi bmi2 fma popcnt avx512f avx512cd avx512bw avx512dq avx512vl";

/* What this machine has of what a program built for it may use. */
static const Target *native(Arena *a)
{
    Target *t = NEW(a, Target);

    *t = (Target){"native", "-march=native", "", "generic"};
#if defined(__x86_64__)
    Text has = {.arena = a};
    text_print(&has, "%s", "");
#define HAS(feature)                                                   \
    if (__builtin_cpu_supports(feature))                               \
        text_print(&has, "%s%s", has.n ? " " : "", feature)
    HAS("avx");
    HAS("avx2");
    HAS("bmi");
    HAS("bmi2");
    HAS("fma");
    HAS("popcnt");
    HAS("avx512f");
    HAS("avx512cd");
    HAS("avx512bw");
    HAS("avx512dq");
    HAS("avx512vl");
    t->features = has.s;
    t->machine = strstr(has.s, "avx512vl") ? "x86-64-v4" : strstr(has.s, "avx2") ? "x86-64-v3" : "generic";
#endif
    return t;
}

const Target *target_find(Arena *a, const char *name)
{
    static const Target others[] = {
        {"x86-64-v3", "-march=x86-64-v3", v3, "x86-64-v3"},
        {"x86-64-v4", "-march=x86-64-v4", v4, "x86-64-v4"},
        {"generic", "", "", "generic"},
    };

    if (!strcmp(name, "native"))
        return native(a);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(others[i].name, name))
            return &others[i];
    return NULL;
}

/* --- running a command --- */

typedef struct Command {
    Arena *arena;
    LIST(const char *) arg; /* the last is NULL once it runs */
} Command;

static void put(Command *c, const char *arg)
{
    if (*arg)
        PUSH(c->arena, c->arg, arg);
}

/* As one could type it. */
static void command_show(const Command *c)
{
    for (int i = 0; i < c->arg.n && c->arg.at[i]; i++) {
        const char *s = c->arg.at[i];
        bool plain = s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%")] == '\0';
        fputs(i ? " " : "", stderr);
        if (plain) {
            fputs(s, stderr);
            continue;
        }
        fputc('\'', stderr);
        for (; *s; s++)
            fputs(*s == '\'' ? "'\\''" : (char[]){*s, '\0'}, stderr);
        fputc('\'', stderr);
    }
    fputc('\n', stderr);
}

/* Starts it; a quiet one says nothing. Returns the process, or -1 with errno. */
static pid_t command_start(Job *j, Command *c, bool quiet)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;

    PUSH(c->arena, c->arg, NULL);
    if (j->options->verbose)
        command_show(c);
    posix_spawn_file_actions_init(&actions);
    for (int fd = 1; quiet && fd <= 2; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_WRONLY, 0);
    errno = posix_spawnp(&pid, c->arg.at[0], &actions, NULL, (char *const *)c->arg.at, environ);
    posix_spawn_file_actions_destroy(&actions);
    return errno ? -1 : pid;
}

static bool command_ends_well(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void put_all(Command *c, const char *const *args)
{
    for (; *args; args++)
        put(c, *args);
}

static pid_t start_or_fail(Job *j, Command *c)
{
    pid_t pid = command_start(j, c, false);

    if (pid < 0)
        fail_file("run", c->arg.at[0]);
    return pid;
}

/* --- the compiler --- */

typedef struct Compiler {
    const char *name;
    const char *openmp; /* "-fopenmp", or "" where it has none */
} Compiler;

typedef enum { NOT_THERE, REFUSES, COMPILES } Trial;

/* Compiles a file that holds nothing. */
static Trial compiler_compiles(Job *j, const char *name, const char *const *flags)
{
    Command c = {.arena = j->arena};

    put(&c, name);
    put_all(&c, flags);
    put_all(&c, (const char *[]){"-shared", "-fPIC", "-x", "c", "/dev/null", "-o",
                                 output_scratch_file(j->arena, arena_print(j->arena, "probe-%s.so", base_name(name))), NULL});
    pid_t pid = command_start(j, &c, true);
    return pid < 0 ? NOT_THERE : command_ends_well(pid) ? COMPILES : REFUSES;
}

/* Whether a compiler can be run, and if so, whether it has all of OpenMP: the header and the library. */
static Trial compiler_try(Job *j, const char *name, Compiler *out)
{
    Trial all = compiler_compiles(j, name, (const char *[]){"-fopenmp", "-include", "omp.h", NULL});

    *out = (Compiler){name, all == COMPILES ? "-fopenmp" : ""};
    return all == REFUSES ? compiler_compiles(j, name, (const char *[]){NULL}) : all;
}

/* --cc=NAME: that one, or nothing. */
static Compiler compiler_named(Job *j, const char *name)
{
    Compiler c;
    Trial trial = compiler_try(j, name, &c);

    if (trial == NOT_THERE)
        fail_file("run the C compiler", name);
    if (trial == COMPILES)
        return c;
    fprintf(stderr, "nnc: error: '%s' does not work as a C compiler: it fails on an empty file\n", name);
    exit(EXIT_FILES);
}

static Compiler compiler_find(Job *j)
{
    static const char *const usual[] = {"clang", "gcc", "cc"};
    Compiler c = {NULL, ""};

    bool found = j->options->cc != NULL;
    if (found)
        c = compiler_named(j, j->options->cc);
    for (size_t i = 0; !found && i < sizeof usual / sizeof *usual; i++) {
        found = compiler_try(j, usual[i], &c) == COMPILES;
        if (found && i)
            fprintf(stderr, "nnc: there is no clang here, so %s compiles the program; with clang and libomp-dev it is faster\n",
                    c.name);
    }
    if (!found) {
        fputs("nnc: error: there is no C compiler: neither clang nor gcc can be run\n"
              "  help: on Debian: apt-get install clang libomp-dev; or name another with --cc=\n", stderr);
        exit(EXIT_FILES);
    }
    if (!*c.openmp)
        fprintf(stderr, "nnc: %s has no OpenMP here, so the program will use one thread; on Debian libomp-dev brings it\n", c.name);
    return c;
}

static void compile_model(Job *j, Command *c, const Compiler *cc, const char *include, const char *source, const char *object)
{
    /* What is to be unrolled says so: more takes time and gains nothing. */
    static const char *const always[] = {"-std=c11", "-O2", "-fno-unroll-loops", "-ffp-contract=off", "-Wno-psabi", "-fno-math-errno",
                                         "-fno-trapping-math", NULL};
    /* gcc moves sixteen floats through the stack, sixteen bytes at a time, where registers hold eight: 2.2 times slower */
    static const char *const moves[] = {"-mmove-max=256", "-mstore-max=256", NULL};
    const Target *target = target_find(j->arena, j->options->target);

    put(c, cc->name);
    put_all(c, always);
    put(c, target->march);
    if (*target->march)
        put(c, "-mprefer-vector-width=512");
    if (!strcmp(target->machine, "x86-64-v3") && compiler_compiles(j, cc->name, moves) == COMPILES)
        put_all(c, moves);
    put(c, cc->openmp);
    put(c, include);
    put_all(c, (const char *[]){"-c", source, "-o", object, NULL});
}

/* The C that nnc wrote must compile; what it is linked with may be missing. */
static void failed(const Command *c, bool linking) NO_RETURN;
static void failed(const Command *c, bool linking)
{
    fputs("nnc: error: the C compiler failed; it was run as\n  ", stderr);
    command_show(c);
    if (linking) {
        fputs("  help: a program is linked with zlib, one that reads pictures with libpng and libjpeg, too: on Debian,\n"
              "        apt-get install zlib1g-dev libpng-dev libjpeg62-turbo-dev\n", stderr);
        exit(EXIT_FILES);
    }
    bug("the C that nnc wrote does not compile");
}

/* Where nnc was built, or installed: libnn.a beside it or in ../lib/nnc, nn.h in ../runtime or ../include. What is not
 * needed may be missing: NULL. */
static const char *own_file(Arena *a, const char *const *places, const char *what, bool needed)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        fail_file("read", "/proc/self/exe");
    self[n] = '\0';
    const char *directory = path_directory(a, self);
    for (; *places; places++) {
        const char *path = arena_print(a, "%s/%s", directory, *places);
        if (access(path, R_OK) == 0)
            return path;
    }
    if (!needed)
        return NULL;
    fprintf(stderr, "nnc: error: cannot find %s, which belongs beside %s\n  help: make builds it\n", what, self);
    exit(EXIT_FILES);
}

/* A program that reads pictures is linked with their readers: one that trains on them, and one that takes them, 1 or 3
 * channels of pixels, so that it can predict them. */
static bool link_images(Job *j, Command *link)
{
    static const char *const places[] = {"libnn_images.a", "../lib/nnc/libnn_images.a", "../lib/libnn_images.a", NULL};
    const Program *p = j->program;
    bool needed = p->data.n > 0 && p->data.at[0].value.text && !strcmp(p->data.at[0].value.text, "folder"), taken = needed;

    for (int i = 0; i < p->fields.n; i++) {
        const Field *f = &p->fields.at[i];
        taken |= !f->label && f->rank == 3 && (f->size[0] == 1 || f->size[0] == 3);
    }
    const char *images = taken ? own_file(j->arena, places, "libnn_images.a", needed) : NULL;
    if (images) /* libnn.a asks whether they are there, and does not draw them in */
        put_all(link, (const char *[]){"-Wl,-u,nn_picture_read,-u,nn_picture_size", images, NULL});
    return images != NULL;
}

static void write_scratch(Arena *a, const char *name, const Text *t)
{
    output_text(output_scratch_file(a, name), t);
}

void cc_object(Job *j, const Text *model_c, const Text *model_h, const char *header, const char *out)
{
    Arena *a = j->arena;
    Compiler cc = compiler_find(j);
    Command c = {.arena = a};

    write_scratch(a, header, model_h);
    write_scratch(a, "model.c", model_c);
    const char *temporary = output_begin(a, out);
    compile_model(j, &c, &cc, "", arena_print(a, "%s/model.c", output_scratch(a)), temporary);
    if (!command_ends_well(start_or_fail(j, &c)))
        failed(&c, false);
    output_keep(temporary, out);
}

void cc_program(Job *j, const Text *model_c, const Text *model_h, const Text *main_c, const char *out)
{
    Arena *a = j->arena;
    Compiler cc = compiler_find(j);
    Command model = {.arena = a}, program = {.arena = a}, link = {.arena = a};
    const char *runtime = own_file(a, (const char *[]){"libnn.a", "../lib/nnc/libnn.a", "../lib/libnn.a", NULL}, "libnn.a", true);
    const char *nn_h = own_file(a, (const char *[]){"../runtime/nn.h", "../include/nn.h", "nn.h", NULL}, "nn.h", true);
    const char *temporary = output_begin(a, out);
    double start = now();

    write_scratch(a, "model.h", model_h);
    write_scratch(a, "model.c", model_c);
    write_scratch(a, "main.c", main_c);
    const char *model_o = output_scratch_file(a, "model.o"), *main_o = output_scratch_file(a, "main.o");
    const char *where = output_scratch(a);

    /* main.c is for any processor: it is what says that this one lacks something. */
    const char *include = arena_print(a, "-I%s", path_directory(a, nn_h));
    compile_model(j, &model, &cc, include, arena_print(a, "%s/model.c", where), model_o);
    put_all(&program, (const char *[]){cc.name, "-std=c11", "-O2", include, "-c",
                                       arena_print(a, "%s/main.c", where), "-o", main_o, NULL});
    pid_t first = start_or_fail(j, &model), second = start_or_fail(j, &program);
    bool first_well = command_ends_well(first), second_well = command_ends_well(second);
    if (!first_well || !second_well)
        failed(first_well ? &program : &model, false);

    put_all(&link, (const char *[]){cc.name, main_o, model_o, NULL});
    bool images = link_images(j, &link);
    /* -S: what libnn.a holds for a debugger would make half of a small program */
    put_all(&link, (const char *[]){runtime, cc.openmp, "-Wl,-S", images ? "-lpng" : "", images ? "-ljpeg" : "", "-lz", "-lpthread", "-lm", "-o", temporary, NULL});
    if (!command_ends_well(start_or_fail(j, &link)))
        failed(&link, true);
    output_keep(temporary, out);
    if (j->options->time)
        fprintf(stderr, "%-10s %8.1f ms\n", cc.name, 1e3 * (now() - start));
}
