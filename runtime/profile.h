/* profile.h -- in which kernels the time of a step goes. */
#ifndef NN_PROFILE_H
#define NN_PROFILE_H

#include "nn.h"
#include "support.h"

/* From start to stop, some thousand times a second, the kernel is noted in which the calling thread is. One profile at a
 * time. False, with or without a fault, where that cannot be done. */
bool nn_profile_start(const nn_program *p, Fault *f);
void nn_profile_stop(void);
/* A line for each kernel that took a hundredth of the time or more: microseconds a step, its share, how near it came to the
 * peak of `threads` processors, its line. `rate` is samples a second. */
void nn_profile_print(const nn_program *p, int threads, double rate);
void nn_profile_free(void);

#endif
