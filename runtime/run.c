/* run.c -- see run.h. */
#include "run.h"

#include "json.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *nn_run_path(const Run *run, const char *file, char to[NN_FILE_PATH])
{
    snprintf(to, NN_FILE_PATH, "%s/%s", run->directory, file);
    return to;
}

static bool holds(const Run *run, const char *file)
{
    char path[NN_FILE_PATH];

    return nn_file_exists(nn_run_path(run, file, path));
}

/* --- a new one --- */

static bool create_named(const char *name, Run *run, Fault *f)
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > 200)
        return nn_fail(f, EXIT_USAGE, "--run wants a plain name, as in --run=first, not '%.200s'", name);
    snprintf(run->directory, sizeof run->directory, "runs/%s", name);
    if (!nn_directory_make(run->directory, f))
        return false;
    if (holds(run, "config.json"))
        return nn_fail(f, EXIT_USAGE, "%s holds a training already: go on with `resume %s`, or choose another name",
                       run->directory, name);
    return true;
}

static bool create_numbered(const nn_program *p, Run *run, Fault *f)
{
    bool made = false;

    if (!nn_directory_make("runs", f))
        return false;
    for (int number = 1; !made; number++) {
        int n = snprintf(run->directory, sizeof run->directory, "runs/");

        for (const char *s = p->name; *s != '\0' && n < 200; s++)
            run->directory[n++] = (char)tolower((unsigned char)*s);
        run->directory[n] = '\0';
        if (number > 1)
            snprintf(run->directory + n, sizeof run->directory - (size_t)n, "-%d", number);
        if (!nn_directory_make_new(run->directory, &made, f))
            return false;
    }
    return true;
}

bool nn_run_lock(Run *run, Fault *f)
{
    run->lock = nn_directory_lock(run->directory, f);
    return run->lock >= 0;
}

bool nn_run_create(const nn_program *p, const char *name, Run *run, Fault *f)
{
    *run = (Run){.lock = -1, .log = -1};
    if (name != NULL ? !create_named(name, run, f) : !create_numbered(p, run, f))
        return false;
    return nn_run_lock(run, f);
}

void nn_run_close(Run *run)
{
    if (run->log >= 0)
        close(run->log);
    if (run->lock >= 0)
        close(run->lock);
    run->log = run->lock = -1;
}

/* --- one that exists --- */

/* The model that the run trained, as config.json says. */
static bool is_of_model(const Run *run, const char *model)
{
    char path[NN_FILE_PATH];
    Fault ignored = {0};
    Bytes bytes;
    JsonDocument *d;
    const Json *name = NULL;
    bool same;

    if (!nn_file_read(nn_run_path(run, "config.json", path), 1 << 24, &bytes, &ignored))
        return false;
    d = nn_json_parse((const char *)bytes.at, bytes.n, &ignored);
    if (d != NULL)
        name = nn_json_find(nn_json_root(d), "model");
    same = name != NULL && name->kind == JSON_TEXT && strcmp(name->text, model) == 0;
    nn_json_free(d);
    free(bytes.at);
    return same;
}

/* When the file was saved, in nanoseconds; -1: there is none. */
static int64_t saved_at(const Run *run, const char *file)
{
    char path[NN_FILE_PATH];
    struct stat st;

    if (stat(nn_run_path(run, file, path), &st) != 0)
        return -1;
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

static bool find_newest(const nn_program *p, const char *file, Run *run, Fault *f)
{
    DIR *d = opendir("runs");
    int64_t newest = -1;
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        Run here = {.lock = -1, .log = -1};
        int64_t at;

        if (e->d_name[0] == '.')
            continue;
        snprintf(here.directory, sizeof here.directory, "runs/%s", e->d_name);
        at = saved_at(&here, file);
        if (at > newest && is_of_model(&here, p->name)) {
            newest = at;
            *run = here;
        }
    }
    if (d != NULL)
        closedir(d);
    if (newest < 0)
        return nn_fail(f, EXIT_FILE, "there is no training of %s in runs/ with a %s: train first", p->name, file);
    return true;
}

bool nn_run_find(const nn_program *p, const char *name, const char *file, Run *run, Fault *f)
{
    size_t n;

    *run = (Run){.lock = -1, .log = -1};
    if (name == NULL)
        return find_newest(p, file, run, f);
    if (strlen(name) > NN_RUN_PATH - 10)
        return nn_fail(f, EXIT_USAGE, "the name of the run is too long");
    snprintf(run->directory, sizeof run->directory, "%s%.900s", strchr(name, '/') != NULL ? "" : "runs/", name);
    n = strlen(run->directory);
    while (n > 1 && run->directory[n - 1] == '/')
        run->directory[--n] = '\0';
    if (!nn_file_exists(run->directory))
        return nn_fail(f, EXIT_FILE, "there is no directory %s", run->directory);
    if (!holds(run, file))
        return nn_fail(f, EXIT_FILE, "there is no %s in %s", file, run->directory);
    return true;
}

/* --- log --- */

/* Where the text ends after `rows` rows below the header; a row that is cut off does not count. */
static size_t end_of_rows(const Bytes *log, int64_t rows)
{
    size_t end = 0;

    for (int64_t lines = rows + 1; lines > 0; lines--) {
        const uint8_t *newline = memchr(log->at + end, '\n', log->n - end);

        if (newline == NULL)
            break;
        end = (size_t)(newline - log->at) + 1;
    }
    return end;
}

bool nn_log_open(Run *run, const char *header, int64_t rows, Fault *f)
{
    char path[NN_FILE_PATH];
    size_t end = 0;
    Bytes old;

    nn_run_path(run, "log.csv", path);
    if (rows > 0 && nn_file_exists(path)) {
        if (!nn_file_read(path, (size_t)1 << 32, &old, f))
            return false;
        end = end_of_rows(&old, rows);
        free(old.at);
    }
    run->log = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0666);
    if (run->log < 0 || ftruncate(run->log, (off_t)end) != 0)
        return nn_fail(f, EXIT_FILE, "cannot write %s: %s", path, strerror(errno));
    if (end == 0) {
        Text t = {0};
        bool fine;

        nn_text_print(&t, "%s\n", header);
        fine = nn_log_row(run, &t, f);
        nn_text_free(&t);
        return fine;
    }
    return true;
}

bool nn_log_row(Run *run, const Text *row, Fault *f)
{
    size_t done = 0;

    while (done < row->n) {
        ssize_t n = write(run->log, row->s + done, row->n - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nn_fail(f, EXIT_FILE, "cannot write %s/log.csv: %s", run->directory, strerror(errno));
        done += (size_t)n;
    }
    return true;
}
