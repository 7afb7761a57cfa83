/* trainer_run.h -- runs commands of the trainer of trainer_model.h, each in a child of its own, in an empty directory:
 * so a test may kill it. */
#ifndef TRAINER_RUN_H
#define TRAINER_RUN_H

#include "trainer_model.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/nn-trainer-XXXXXX";
static char out[200000], err[200000]; /* of the last command */

static size_t read_file(const char *path, char *to, size_t room)
{
    FILE *in = fopen(path, "rb");
    size_t n;

    ck_assert_msg(in != NULL, "no %s", path);
    n = fread(to, 1, room - 1, in);
    to[n] = '\0';
    fclose(in);
    return n;
}

static void write_file(const char *path, const char *text)
{
    FILE *to = fopen(path, "wb");

    ck_assert_ptr_nonnull(to);
    fputs(text, to);
    fclose(to);
}

/* Three clouds of points, by a small generator of our own. */
static void write_points(const char *path, int n)
{
    static const char *const names[] = {"red", "\"green, dark\"", "blue"};
    FILE *to = fopen(path, "wb");
    unsigned r = 1;

    ck_assert_ptr_nonnull(to);
    fprintf(to, "a,b,label\n");
    for (int i = 0; i < n; i++) {
        double noise[2];

        for (int k = 0; k < 2; k++) {
            r = r * 1664525u + 1013904223u;
            noise[k] = (double)(r >> 8) / 16777216 - 0.5;
        }
        fprintf(to, "%.4f,%.3f,%s\n", i % 3 + 2.4 * noise[0], 100 * (i % 3 == 1) + 150 * noise[1], names[i % 3]);
    }
    fclose(to);
}

static void run_child(const nn_program *p, const char *command)
{
    char line[1000], *words[40] = {"tiny"};
    int n = 1;

    snprintf(line, sizeof line, "%s", command);
    for (char *w = strtok(line, " "); w != NULL && n < 39; w = strtok(NULL, " "))
        words[n++] = w;
    if (freopen("out", "wb", stdout) == NULL || freopen("err", "wb", stderr) == NULL ||
        freopen(access("in", R_OK) == 0 ? "in" : "/dev/null", "rb", stdin) == NULL)
        _exit(99);
    n = nn_main(p, n, words);
    fflush(NULL);
    _exit(n);
}

/* The exit status, or 1000 + the number of the signal that killed it. */
static int run_program(const nn_program *p, const char *command)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        run_child(p, command);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    read_file("out", out, sizeof out);
    read_file("err", err, sizeof err);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(const char *command) { return run_program(&tiny, command); }

#define RUN(status, command) ck_assert_msg(run(command) == (status), "%s:\n%s%s", command, out, err)
#define SAYS(text, words) ck_assert_msg(strstr(text, words) != NULL, "'%s' is not in:\n%s", words, text)

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void setup(void)
{
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    write_points("points.csv", 105);
}

static void teardown(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    tiny_fail_at = tiny_signal_at = tiny_signal_at_eval = -1;
    tiny_sign = 1;
}

#endif
