/* nearest.c -- did you mean: the name that is nearest to a wrong one. */
#include "base/diag.h"

#include <ctype.h>

enum { LONGEST = 64 };

/* Letters to insert, remove, change or swap with their neighbour; capitals count as small letters. */
static int edit_distance(const char *s, const char *t)
{
    int m = (int)strlen(s), n = (int)strlen(t);
    int row[3][LONGEST + 1];

    if (m > LONGEST || n > LONGEST)
        return LONGEST;
    for (int i = 0; i <= m; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= n; j++) {
            if (i == 0) {
                now[j] = j;
                continue;
            }
            bool same = tolower((unsigned char)s[i - 1]) == tolower((unsigned char)t[j - 1]);
            int d = before[j - 1] + !same;
            if (before[j] + 1 < d)
                d = before[j] + 1;
            if (now[j - 1] + 1 < d)
                d = now[j - 1] + 1;
            if (i > 1 && j > 1 && s[i - 1] == t[j - 2] && s[i - 2] == t[j - 1] && earlier[j - 2] + 1 < d)
                d = earlier[j - 2] + 1;
            now[j] = d;
        }
    }
    return row[m % 3][n];
}

const char *nearest(const char *wrong, const char *const *names, int n)
{
    const char *best = NULL;
    int length = (int)strlen(wrong), least = (length + 2) / 3 + 1;

    if (least > length)
        least = length; /* nothing of the word would be left */
    for (int i = 0; i < n; i++) {
        int d = edit_distance(wrong, names[i]);
        if (d < least && strcmp(wrong, names[i]) != 0)
            best = names[i], least = d;
    }
    return best;
}
