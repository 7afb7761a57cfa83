/* augment.h -- training samples, changed at random each time they are seen: augment = pad(4) -> random_crop(32) -> ...
 *
 * The steps are applied from left to right to the samples of the training split, as the reader delivers them, before
 * the transforms of the data section, which belong to the model. What is drawn is a pure function of seed, epoch, sample
 * and step (nn_random.h): not of threads, batches, or of where a training was stopped and resumed.
 *
 *     pad(n)             n rows and columns of zeros on each side
 *     random_crop(h, w)  h x w pixels from anywhere (w = h where it is not given)
 *     random_flip(p)     mirrored, left to right, with probability p (1/2)
 *     rotate(deg)        turned about the centre by an angle uniform in [-deg, deg]
 *     scale(a, b)        larger about the centre by a factor uniform in [a, b]
 *     shift(n)           moved along each side by a whole number of pixels uniform in -n..n
 *     cutout(n)          a square of n x n pixels set to 0, its centre uniform over the picture, which may cut it off
 *     jitter(s)          brightness, contrast, saturation, in this order, each by a factor uniform in [1 - s, 1 + s]:
 *                        x b;  m + (x - m) c, m the mean of the picture's grey;  g + (x - g) t, g the pixel's grey (three
 *                        channels only). Bytes stay within 0 and 255.
 *     noise(s)           s times a standard normal number added to each element; of bytes, 255 s times
 *     mixup(a)           l x + (1 - l) y, l from Beta(a + 1, a), y any training sample, changed by the steps before this
 *
 * Rotated and scaled pictures are sampled bilinearly, with 0 outside; class numbers of pixels by the nearest pixel.
 *
 * Which fields: everything whose last two axes are those of the first input of rank 3 keeps its place in the picture:
 * inputs and labels change alike, a mask stays on its object. cutout, jitter and noise change inputs alone, and jitter
 * only pictures of 1 or 3 channels. mixup mixes all numbers, labels that are numbers among them; a class stays that of
 * x. For a loss that is linear in the label, as cross_entropy is, the expected loss and gradient are then those of mixup
 * as published (Zhang et al., 2018), where l is from Beta(a, a) and the loss is l loss(x's label) + (1 - l) loss(y's): as
 * x and y may change places, taking x's label with odds l to 1 - l is the same as drawing l from Beta(a + 1, a).
 *
 * Samples that are not augmented are cut to the size that augmented ones get, from the middle. */
#ifndef NN_AUGMENT_H
#define NN_AUGMENT_H

#include "data.h"

enum { NN_MAX_STEPS = 32 };

typedef struct Augment {
    int nsteps;
    struct AugmentStep { int kind; double a, b; } steps[NN_MAX_STEPS];
    int height, width;    /* of the pictures before; 0: there are none */
    const int64_t *train; /* the samples that mixup takes from */
    int64_t ntrain;
    int64_t room;         /* floats of the largest field in its largest size */
} Augment;

/* What the setting `augment` of the data section says, if anything, of these columns (of each field; < 0: none). */
bool nn_augment_open(const nn_program *p, const Data *data, const int *columns, Augment *a, Fault *f);
/* What the steps cost, about: in copies of the sample. */
int nn_augment_work(const Augment *a);

/* The key of one epoch, and one field of one sample under it: floats, or int32_t where the field has classes. Three rooms
 * of a->room floats each are the caller's. */
uint32_t nn_augment_key(uint64_t seed, int64_t epoch);
bool nn_augment_field(const Augment *a, float *const room[3], uint32_t key, const Data *data, const nn_field *field, int column,
                      int64_t sample, void *to, Fault *f);

#endif
