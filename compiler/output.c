/* output.c -- files that appear whole or not at all, and a scratch directory that never stays. */
#include "driver.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What must go at the end, however it comes: plain memory, for a signal handler may read it. */
enum { MOST = 16 };
static char doomed[MOST][PATH_MAX];
static volatile sig_atomic_t ndoomed;

static void clean(void)
{
    for (int i = ndoomed; i-- > 0;)
        if (doomed[i][0] && unlink(doomed[i]) != 0)
            rmdir(doomed[i]);
}

static void clean_and_die(int signal)
{
    clean();
    _exit(128 + signal);
}

static void doom(const char *path)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

    if (ndoomed == 0) {
        atexit(clean);
        for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
            signal(signals[i], clean_and_die);
    }
    if (ndoomed == MOST || strlen(path) >= PATH_MAX)
        bug("too much to remember: %s", path);
    strcpy(doomed[ndoomed], path);
    ndoomed++;
}

static const char standard_output[] = "standard output";

void fail_file(const char *doing, const char *path)
{
    char here[PATH_MAX];
    int reason = errno;

    fprintf(stderr, "nnc: error: cannot %s '%s': %s\n", doing, path, strerror(reason));
    if (*path != '/' && path != standard_output && strncmp(doing, "run", 3) && getcwd(here, sizeof here))
        fprintf(stderr, "  note: in the directory %s\n", here);
    exit(EXIT_FILES);
}

/* A device or a pipe is written to as it is; so is standard output. */
static bool is_special(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

const char *output_begin(Arena *a, const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        fail_file("write", path);
    }
    if (is_special(path))
        return path;
    if (access(path_directory(a, path), W_OK) != 0)
        fail_file("write", path); /* before the C compiler has done its work in vain */
    const char *temporary = arena_print(a, "%s.tmp%ld", path, (long)getpid());
    doom(temporary);
    return temporary;
}

void output_keep(const char *temporary, const char *path)
{
    if (temporary == path)
        return;
    if (rename(temporary, path) != 0)
        fail_file("write", path);
    for (int i = 0; i < ndoomed; i++)
        if (!strcmp(doomed[i], temporary))
            doomed[i][0] = '\0';
}

static void write_all(FILE *f, const char *path, const Text *t)
{
    if (t->n && fwrite(t->s, 1, t->n, f) != t->n)
        fail_file("write", path);
    if (f == stdout ? fflush(f) : fclose(f))
        fail_file("write", path);
}

void output_text(const char *path, const Text *t)
{
    if (!strcmp(path, "-")) {
        write_all(stdout, standard_output, t);
        return;
    }
    const char *temporary = output_begin(t->arena, path);
    FILE *f = fopen(temporary, "wb");
    if (!f)
        fail_file("write", path);
    write_all(f, path, t);
    output_keep(temporary, path);
}

static const char *scratch;

const char *output_scratch(Arena *a)
{
    if (!scratch) {
        const char *base = getenv("TMPDIR");
        char *made = arena_print(a, "%s/nnc-XXXXXX", base && *base ? base : "/tmp");
        if (!mkdtemp(made))
            fail_file("make a directory in", base && *base ? base : "/tmp");
        doom(made);
        scratch = made;
    }
    return scratch;
}

const char *output_scratch_file(Arena *a, const char *name)
{
    const char *path = arena_print(a, "%s/%s", output_scratch(a), name);

    doom(path);
    return path;
}

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

const char *path_stem(Arena *a, const char *path)
{
    const char *name = base_name(path);
    size_t n = strlen(name);

    return arena_copy(a, name, n > 3 && !strcmp(name + n - 3, ".nn") ? n - 3 : n);
}

const char *path_directory(Arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');

    return !slash ? "." : slash == path ? "/" : arena_copy(a, path, (size_t)(slash - path));
}
