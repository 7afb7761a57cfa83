/* file.c -- see file.h. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail_errno(Fault *f, const char *verb, const char *path)
{
    return nn_fail(f, EXIT_FILE, "cannot %s %s: %s", verb, path, strerror(errno));
}

static int open_again(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static bool read_all(int fd, const char *path, Bytes *bytes, Fault *f)
{
    size_t done = 0;

    while (done < bytes->n) {
        ssize_t n = read(fd, bytes->at + done, bytes->n - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(f, "read", path);
        if (n == 0)
            return nn_fail(f, EXIT_FILE, "%s became shorter while it was read", path);
        done += (size_t)n;
    }
    return true;
}

/* cut: of a file with more than `most` bytes the first ones. */
static bool read_file(const char *path, size_t most, bool cut, Bytes *bytes, Fault *f)
{
    struct stat st;
    char here[PATH_MAX];
    int fd = open_again(path, O_RDONLY | O_NONBLOCK); /* a FIFO must not hang us */

    *bytes = (Bytes){0};
    if (fd < 0 && errno == ENOENT && path[0] != '/' && getcwd(here, sizeof here) != NULL)
        return nn_fail(f, EXIT_FILE, "cannot open %s: there is no such file in %s", path, here);
    if (fd < 0)
        return fail_errno(f, "open", path);
    if (fstat(fd, &st) != 0) {
        fail_errno(f, "read", path);
    } else if (!S_ISREG(st.st_mode)) {
        nn_fail(f, EXIT_FILE, "%s is %s, not a file", path, S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
    } else if ((uintmax_t)st.st_size > most && !cut) {
        nn_fail(f, EXIT_FILE, "%s is too large: %jd bytes", path, (intmax_t)st.st_size);
    } else {
        bytes->n = (uintmax_t)st.st_size > most ? most : (size_t)st.st_size;
        bytes->at = malloc(bytes->n + 1);
        if (bytes->at == NULL)
            nn_fail_memory(f, path, bytes->n);
        else
            bytes->at[bytes->n] = 0;
    }
    if (f->status == 0)
        read_all(fd, path, bytes, f);
    close(fd);
    if (f->status != 0) {
        free(bytes->at);
        *bytes = (Bytes){0};
    }
    return f->status == 0;
}

bool nn_file_read(const char *path, size_t most, Bytes *bytes, Fault *f)
{
    return read_file(path, most, false, bytes, f);
}

bool nn_file_read_begin(const char *path, size_t most, Bytes *bytes, Fault *f)
{
    return read_file(path, most, true, bytes, f);
}

static bool write_all(int fd, const uint8_t *at, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, at, n < (size_t)1 << 30 ? n : (size_t)1 << 30);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool sync_fd(int fd)
{
    int r;

    do
        r = fsync(fd);
    while (r != 0 && errno == EINTR);
    return r == 0;
}

/* Without this the rename itself may be lost with the power. */
static bool sync_directory_of(const char *path, Fault *f)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    bool fine;
    int fd;

    snprintf(directory, sizeof directory, "%.*s", slash != NULL ? (int)(slash - path) : 1,
             slash == path ? "/" : slash != NULL ? path : ".");
    fd = open_again(directory[0] != '\0' ? directory : "/", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fail_errno(f, "sync", directory);
    fine = sync_fd(fd) || errno == EINVAL; /* some file systems cannot sync a directory */
    if (!fine)
        fail_errno(f, "sync", directory);
    close(fd);
    return fine;
}

bool nn_file_save(const char *path, const void *bytes, size_t n, Fault *f)
{
    char temporary[PATH_MAX];
    bool fine;
    int fd, error;

    if (snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)getpid()) >= (int)sizeof temporary)
        return nn_fail(f, EXIT_FILE, "the path %s is too long", path);
    fd = open_again(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0)
        return fail_errno(f, "write", path);
    fine = write_all(fd, bytes, n) && sync_fd(fd);
    error = errno;
    if (close(fd) != 0 && fine && errno != EINTR) {
        fine = false;
        error = errno;
    }
    if (fine && rename(temporary, path) != 0) {
        fine = false;
        error = errno;
    }
    if (!fine) {
        unlink(temporary);
        errno = error;
        return fail_errno(f, "write", path);
    }
    return sync_directory_of(path, f);
}

bool nn_directory_make_new(const char *path, bool *made, Fault *f)
{
    struct stat st;

    *made = mkdir(path, 0777) == 0;
    if (*made || (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return true;
    if (errno == EEXIST)
        errno = ENOTDIR;
    return fail_errno(f, "make the directory", path);
}

bool nn_directory_make(const char *path, Fault *f)
{
    char part[PATH_MAX];
    bool made;

    if (strlen(path) >= sizeof part)
        return nn_fail(f, EXIT_FILE, "the path %s is too long", path);
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (!nn_directory_make_new(part, &made, f))
            return false;
    }
    return nn_directory_make_new(path, &made, f);
}

bool nn_file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

bool nn_folder_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void remove_stale(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL) {
        const char *tmp = strstr(e->d_name, ".tmp.");

        if (tmp != NULL && tmp[5] != '\0' && strspn(tmp + 5, "0123456789") == strlen(tmp + 5))
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

int nn_directory_lock(const char *path, Fault *f)
{
    int fd = open_again(path, O_RDONLY | O_DIRECTORY);

    if (fd < 0) {
        fail_errno(f, "open", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            nn_fail(f, EXIT_FILE, "another process is training in %s", path);
        else
            fail_errno(f, "lock", path);
        close(fd);
        return -1;
    }
    remove_stale(path);
    return fd;
}
