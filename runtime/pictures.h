/* pictures.h -- files of pictures as samples: each is read when it is asked for, by any number of threads at once.
 *
 *     p = nn_pictures_open(paths, n, size, f)       looks at the headers of all
 *     nn_pictures_keep(p, bytes)                    from now on pictures are kept once they are read, as many as fit
 *     at = nn_pictures_at(p, i, room, f)            the bytes of picture i: those that are kept, or in `room`
 *     nn_pictures_free(p)
 *
 * A picture is the same bytes whether it was kept or is read again: a file that has changed since it was opened is a
 * fault. What happens to it on the way to its size says picture.h. */
#ifndef NN_PICTURES_H
#define NN_PICTURES_H

#include "picture.h"

typedef struct Pictures {
    char **paths;
    int64_t n;
    PictureSize size;
    size_t bytes;          /* of a picture */
    uint64_t *stamps;      /* what tells a file from a changed one */
    int64_t nkept;         /* the first so many have a place in memory */
    uint8_t *kept, *state; /* of each of them: nothing, being read, there */
} Pictures;

/* The paths are taken over, whatever happens. A size of height 0 stands for that of the first picture: then all must have
 * it. */
Pictures *nn_pictures_open(char **paths, int64_t n, PictureSize size, Fault *f);
/* Where there is no memory, fewer are kept. */
void nn_pictures_keep(Pictures *p, double bytes);
const uint8_t *nn_pictures_at(Pictures *p, int64_t i, uint8_t *room, Fault *f);
void nn_pictures_free(Pictures *p);

#endif
