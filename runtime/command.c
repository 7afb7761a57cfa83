/* command.c -- nn_main: reads the command line, runs the command, tells the user how it went. */
#include "trainer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool (*const commands[NN_COMMANDS])(Trainer *, Fault *) = {
    [COMMAND_TRAIN] = nn_train,     [COMMAND_RESUME] = nn_train,
    [COMMAND_EVAL] = nn_evaluate,   [COMMAND_PREDICT] = nn_predict,
    [COMMAND_EXPORT] = nn_export,   [COMMAND_INFO] = nn_info,
    [COMMAND_GRADIENTS] = nn_check_gradients, [COMMAND_BENCH] = nn_bench,
};

static void run_command(Trainer *t, Fault *f)
{
    const Options *o = &t->options;

    if (o->command == COMMAND_TRAIN || o->command == COMMAND_RESUME)
        signal(SIGPIPE, SIG_IGN); /* who stops reading the progress does not stop the training */
    if (o->help)
        nn_options_help(t->p, o);
    else if (nn_settings_resolve(t->p, o, &t->settings, f) && (o->command == COMMAND_INFO || nn_trainer_start(t, f)))
        commands[o->command](t, f);
}

int nn_main(const nn_program *p, int argc, char **argv)
{
    Trainer t = {.p = p, .run = {.lock = -1, .log = -1}};
    Fault f = {0};

    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow any more is a write that fails */
    if (nn_options_read(p, argc, argv, &t.options, &f))
        run_command(&t, &f);
    nn_trainer_end(&t);
    if ((fflush(stdout) != 0 || ferror(stdout)) && f.status == 0)
        nn_fail(&f, EXIT_FILE, "cannot write the result: %s", strerror(errno));
    if (f.status > EXIT_SIGNAL)
        fprintf(stderr, "%s\n", f.text);
    else if (f.status == EXIT_WRONG)
        fprintf(stderr, "%s: %s\n", t.options.program, f.text);
    else if (f.status != 0)
        fprintf(stderr, "%s: error: %s\n", t.options.program, f.text);
    return f.status;
}
