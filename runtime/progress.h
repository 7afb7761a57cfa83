/* progress.h -- what the user sees while it trains: a line that moves on a terminal, and one line an epoch.
 *
 * All of it goes to standard error: standard output is for results. */
#ifndef NN_PROGRESS_H
#define NN_PROGRESS_H

#include "support.h"

typedef struct Display {
    bool terminal; /* standard error is one, and can move the cursor */
    bool colours;
    bool shown;    /* a moving line is on the screen */
    double last;   /* when it was drawn */
} Display;

void nn_display_start(Display *d);
/* Whether it is time to draw again: a few times a second, on a terminal only. */
bool nn_display_due(Display *d);
/* Draws the moving line: `what`, a bar for done of total, then `figures` and the time left. */
void nn_display_move(Display *d, const char *what, double done, double total, const char *figures, double left);
/* A line that stays. */
void nn_display_line(Display *d, const char *line);
void nn_display_clear(Display *d);

#endif
