/* embedded.h -- text files that are part of the compiler: the library lang/ and the C every model carries.
 * The tables are made by the Makefile and end with a NULL path. */
#ifndef NNC_EMBEDDED_H
#define NNC_EMBEDDED_H

typedef struct Embedded {
    const char *path; /* "lang/layers.nn" */
    const char *text;
} Embedded;

extern const Embedded library_files[]; /* the files of lang/ */
extern const Embedded prelude_files[]; /* runtime/nn_vec.h, nn_math.h, nn_random.h, nn_image.h */

#endif
