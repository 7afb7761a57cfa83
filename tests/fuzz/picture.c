/* picture.c -- any bytes as a PNG or JPEG file: refused with a sentence that names the file, or all of its pixels.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iruntime tests/fuzz/picture.c \
 *         runtime/images/png.c runtime/images/jpeg.c runtime/images/picture.c runtime/file.c runtime/data_stream.c \
 *         runtime/support.c -lpng -ljpeg -lz -lm
 *
 * The first byte chooses the size that is asked for; the seeds are the files of tests/unit/images.h. */
#include "picture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t pixels[3 * 64 * 64];
    static char path[64];
    static int fd = -1;
    PictureSize size, is;
    Fault f = {0}, g = {0};
    bool read, measured;

    if (fd < 0) {
        fd = memfd_create("picture", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (n < 1 || ftruncate(fd, 0) != 0 || pwrite(fd, data + 1, n - 1, 0) != (ssize_t)n - 1)
        return 0;
    size = (PictureSize){data[0] & 1 ? 3 : 1, 1 + (data[0] >> 1) % 64, 1 + data[0] % 61};
    measured = nn_picture_size(path, &is, &g);
    read = nn_picture_read(path, &size, pixels, &f);
    if (read != (f.status == 0) || (!read && strstr(f.text, path) == NULL && f.status != EXIT_MEMORY))
        abort();
    if (read && (!measured || is.height < 1 || is.width < 1))
        abort();
    return 0;
}
