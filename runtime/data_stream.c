/* data_stream.c -- files for the readers: plain or gzip, and never more memory than a file justifies. */
#include "data_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    MOST_EXPANSION = 1032, /* deflate cannot do more */
    CHUNK = 1 << 20,
};
/* A text that unpacks to more is a bomb, whatever its ratio. */
static const uint64_t most_unpacked = (uint64_t)16 << 30;

static bool stream_attach(Stream *s, int fd, Fault *f)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return nn_fail(f, EXIT_FILE, "cannot read %s: %s", s->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return nn_fail(f, EXIT_FILE, "cannot read %s: it is %s, not a file", s->path,
                       S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    if (st.st_size == 0)
        return nn_fail(f, EXIT_FILE, "%s is empty", s->path);
    s->file_size = (uint64_t)st.st_size;
    s->gz = gzdopen(fd, "rb");
    if (s->gz == NULL)
        return nn_fail_memory(f, s->path, 0);
    gzbuffer(s->gz, 1 << 16);
    s->packed = !gzdirect(s->gz);
    return true;
}

bool nn_stream_open(const char *path, Stream *s, Fault *f)
{
    int fd;

    *s = (Stream){.path = strdup(path)};
    if (s->path == NULL)
        return nn_fail_memory(f, path, strlen(path));
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        nn_fail(f, EXIT_FILE, "cannot open %s: %s", path, strerror(errno));
    else if (stream_attach(s, fd, f))
        return true;
    else if (s->gz == NULL)
        close(fd);
    nn_stream_close(s);
    return false;
}

void nn_stream_close(Stream *s)
{
    if (s->gz != NULL)
        gzclose_r(s->gz);
    free(s->path);
    *s = (Stream){0};
}

/* Up to n bytes; fewer only at the end. */
static bool stream_take(Stream *s, void *to, size_t n, size_t *taken, Fault *f)
{
    size_t done = 0;

    while (done < n) {
        unsigned want = n - done < CHUNK ? (unsigned)(n - done) : CHUNK;
        int got = gzread(s->gz, (char *)to + done, want), code;
        const char *why = gzerror(s->gz, &code);

        /* where the packed file is cut short zlib delivers what there is, and leaves this code */
        if (got < 0 || code == Z_BUF_ERROR)
            return nn_fail(f, EXIT_FILE, "cannot read %s: %s, after byte %llu%s", s->path,
                           code == Z_ERRNO ? strerror(errno) : code == Z_BUF_ERROR ? "the gzip file is cut short" : why,
                           (unsigned long long)(s->at + done), s->packed ? " of its unpacked content" : "");
        if (got == 0)
            break;
        done += (size_t)got;
    }
    s->at += done;
    *taken = done;
    return true;
}

bool nn_stream_read(Stream *s, void *to, size_t n, const char *what, Fault *f)
{
    size_t taken;

    if (!stream_take(s, to, n, &taken, f))
        return false;
    if (taken == n)
        return true;
    return nn_fail(f, EXIT_FILE, "%s ends after byte %llu%s, in %s: %llu more are missing", s->path, (unsigned long long)s->at,
                   s->packed ? " of its unpacked content" : "", what, (unsigned long long)(n - taken));
}

bool nn_stream_holds(Stream *s, uint64_t n, const char *what, Fault *f)
{
    uint64_t most = s->packed ? s->file_size > UINT64_MAX / MOST_EXPANSION ? UINT64_MAX : s->file_size * MOST_EXPANSION
                              : s->file_size - s->at;

    if (n <= most)
        return true;
    return nn_fail(f, EXIT_FILE, "%s: its header promises %llu bytes of %s, but the file has %llu bytes%s", s->path,
                   (unsigned long long)n, what, (unsigned long long)(s->packed ? s->file_size : most),
                   s->packed ? ", packed" : " left");
}

bool nn_stream_end(Stream *s, const char *what, Fault *f)
{
    char more;
    size_t taken;

    if (!stream_take(s, &more, 1, &taken, f))
        return false;
    if (taken > 0)
        return nn_fail(f, EXIT_FILE, "%s goes on after %s, at byte %llu", s->path, what, (unsigned long long)(s->at - 1));
    return true;
}

bool nn_stream_rest(Stream *s, Bytes *bytes, Fault *f)
{
    uint64_t most = s->packed ? s->file_size * 1000 + CHUNK : s->file_size - s->at + 1;
    size_t room = s->packed ? CHUNK : (size_t)most, taken;

    *bytes = (Bytes){0};
    if (s->packed && most > most_unpacked)
        most = most_unpacked;
    for (;;) {
        uint8_t *more = realloc(bytes->at, room + 1);

        if (more == NULL) {
            nn_fail_memory(f, s->path, room);
            break;
        }
        bytes->at = more;
        if (!stream_take(s, bytes->at + bytes->n, room - bytes->n, &taken, f))
            break;
        bytes->n += taken;
        bytes->at[bytes->n] = 0;
        if (bytes->n < room)
            return true;
        if (room >= most) {
            nn_fail(f, EXIT_FILE, s->packed ? "%s unpacks to more than %llu bytes: not believed"
                                            : "%s grew beyond %llu bytes while it was read",
                    s->path, (unsigned long long)most);
            break;
        }
        room = room > most / 2 ? (size_t)most : room * 2;
    }
    free(bytes->at);
    *bytes = (Bytes){0};
    return false;
}

static bool begins(const uint8_t *at, size_t n, const char *with)
{
    size_t length = strlen(with);
    return n >= length && memcmp(at, with, length) == 0;
}

const char *nn_bytes_guess(const uint8_t *at, size_t n)
{
    static const struct { const char *begin, *guess; } kinds[] = {
        {"<!", "; it begins like a web page, so the download went wrong"},
        {"<h", "; it begins like a web page, so the download went wrong"},
        {"<?xml", "; it begins like XML"},
        {"version https://git-lfs", "; it is a pointer of Git LFS: the file itself was not fetched"},
        {"\x1f\x8b", "; it is gzip inside gzip: unpack it once"},
        {"PK\x03\x04", "; it is a zip archive: unpack it"},
        {"\x93NUMPY", "; it is a NumPy file: read it with npy(...)"},
        {"\xfd" "7zXZ", "; it is packed with xz: unpack it"},
        {"BZh", "; it is packed with bzip2: unpack it"},
        {"\x89PNG", "; it is a PNG picture"},
        {"\xff\xd8\xff", "; it is a JPEG picture"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(at, n, kinds[i].begin))
            return kinds[i].guess;
    return "";
}
