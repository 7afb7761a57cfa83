/* evaluate.c -- the command eval: loss and metrics of trained weights over a split. */
#include "finish.h"
#include "trainer.h"

#include <stdio.h>
#include <string.h>

static bool choose_split(const Trainer *t, Split *split, Fault *f)
{
    const char *wanted = t->options.split;
    const int64_t *n = t->samples.split.n;

    *split = n[SPLIT_TEST] > 0 ? SPLIT_TEST : n[SPLIT_VALID] > 0 ? SPLIT_VALID : SPLIT_TRAIN;
    if (wanted == NULL)
        return true;
    for (int i = 0; i < NN_SPLITS; i++) {
        if (strcmp(wanted, nn_split_names[i]) != 0)
            continue;
        *split = (Split)i;
        return n[i] > 0 || nn_fail(f, EXIT_USAGE, "there is no %s split: set `%s = ...` in the data section, or --%s",
                                   wanted, wanted, wanted);
    }
    return nn_fail(f, EXIT_USAGE, "--split wants train, valid or test, not '%s'", wanted);
}

bool nn_evaluate(Trainer *t, Fault *f)
{
    Split split;

    if (!nn_trainer_load(t, t->options.nfiles > 0 ? t->options.files[0] : t->options.run, f) ||
        !nn_trainer_open_data(t, false, f) || !choose_split(t, &split, f))
        return false;
    fprintf(stderr, "weights of %s\n", t->path);
    if (!nn_trainer_evaluate(t, split, NULL, f))
        return false;
    nn_print_metrics(t, split, t->options.json);
    return true;
}
