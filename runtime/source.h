/* source.h -- the data that a program was written for, or what --data puts in its place. */
#ifndef NN_SOURCE_H
#define NN_SOURCE_H

#include "data.h"
#include "nn.h"
#include "options.h"

/* "--data=PATH" stands for the first path of the data section, "--data=DATA=PATH" too; "--data=SETTING=PATH" for that one.
 * A folder in place of files is where all of them lie, by the names they have in the data section. */
bool nn_source_open(const nn_program *p, const Options *o, Data *data, Fault *f);

#endif
