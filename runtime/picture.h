/* picture.h -- PNG and JPEG files as bytes of one size. It is in libnn_images.a, with which nnc links only the trainers
 * whose samples are pictures: libnn.a itself needs neither libpng nor libjpeg.
 *
 * What comes of a file, exactly:
 *
 *     colours   Three channels are red, green, blue; grey is repeated. One channel is grey: of colours the luma
 *               (19595 R + 38470 G + 7471 B + 32768) / 65536. Palettes are looked up, 16 bits are scaled to 8, CMYK is
 *               taken as Adobe writes it (inverted). Transparency is dropped: the colour stored beneath it counts. An
 *               orientation noted in EXIF is not applied, nor is a colour profile or gamma.
 *     size      The picture is made smaller or larger, keeping its proportions, until it just covers height x width:
 *               one side fits exactly, the other is rounded down; then the centre is cut out, an odd pixel by rounding
 *               half to even. Resampling is bilinear with antialiasing: a triangle as wide as two pixels of the coarser
 *               of both grids, weights in 22 bits after the point, first along the rows, then along the columns, each
 *               rounded to bytes. A picture that has the size already stays as it is.
 *
 * This is, bit for bit, torchvision's Resize and CenterCrop of a PIL picture converted to RGB (or L), but for two cases: a
 * JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that leaves twice the wanted sides or more, which takes a fraction
 * of the time; and Pillow 13 takes the columns of some pictures first, which moves a byte by one here and there. */
#ifndef NN_PICTURE_H
#define NN_PICTURE_H

#include "support.h"

typedef struct PictureSize {
    int channels; /* 1 or 3 */
    int height, width;
} PictureSize;

/* The largest side a picture may have or be asked for. */
enum { NN_MAX_SIDE = 65500 };

/* Height and width of a file, from its header; channels is 1 for grey, else 3. */
bool nn_picture_size(const char *path, PictureSize *size, Fault *f);

/* The picture as channels x height x width bytes. */
bool nn_picture_read(const char *path, const PictureSize *want, uint8_t *to, Fault *f);

#endif
