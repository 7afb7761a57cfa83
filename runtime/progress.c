/* progress.c -- see progress.h. */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void nn_display_start(Display *d)
{
    const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");

    *d = (Display){.terminal = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0};
    d->colours = d->terminal && (plain == NULL || plain[0] == '\0');
}

bool nn_display_due(Display *d)
{
    double now;

    if (!d->terminal)
        return false;
    now = nn_seconds();
    if (now - d->last < 0.15)
        return false;
    d->last = now;
    return true;
}

static int terminal_width(void)
{
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

void nn_display_move(Display *d, const char *what, double done, double total, const char *figures, double left)
{
    enum { BAR = 16 };
    char bar[BAR + 1], line[400], time[32];
    double part = total > 0 ? done / total : 1;
    int full = (int)(part * (double)BAR), width = terminal_width() - 1;

    if (!d->terminal)
        return;
    for (int i = 0; i < BAR; i++)
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[BAR] = '\0';
    snprintf(line, sizeof line, "%s [%s] %3.0f%%  %s  %s left", what, bar, 100 * part, figures,
             nn_duration_text(time, left));
    fprintf(stderr, "\r%s%.*s%s\033[K", d->colours ? "\033[36m" : "", width, line, d->colours ? "\033[0m" : "");
    fflush(stderr);
    d->shown = true;
}

void nn_display_clear(Display *d)
{
    if (!d->shown)
        return;
    fprintf(stderr, "\r\033[K");
    d->shown = false;
}

void nn_display_line(Display *d, const char *line)
{
    nn_display_clear(d);
    fprintf(stderr, "%s\n", line);
}
