/* inputs.h -- new samples for a model of several inputs: a file for each of them. */
#ifndef NN_INPUTS_H
#define NN_INPUTS_H

#include "data.h"

/* sources[i] is where input i of the program comes from; labels need none. Of each source the column is taken that has the
 * input's name, else the only one of its size; it gets that name. All have equally many samples. */
bool nn_inputs_open(const nn_program *p, const nn_value *sources, Data *data, Fault *f);

#endif
