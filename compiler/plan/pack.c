/* pack.c -- places buffers in one block, so that no two that live at the same time overlap.
 *
 * First those that wish for a place. Then largest first; each goes into the tightest gap between the buffers already
 * placed whose lives cross its own, or behind them. That is within a few per cent of the lower bound (the fullest
 * moment) on the nets we know, and depends on nothing but sizes, lives, wishes and the order given. */
#include "plan/plan.h"

#include <stdlib.h>

static int64_t rounded(int64_t bytes) { return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN; }

static int larger_first(const void *x, const void *y)
{
    const Buffer *a = *(Buffer *const *)x, *b = *(Buffer *const *)y;

    if (a->wishes != b->wishes)
        return a->wishes ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a < b ? -1 : a > b; /* elements of one array: the order given */
}

static bool lives_cross(const Buffer *a, const Buffer *b) { return a->first <= b->last && b->first <= a->last; }

/* placed[] is sorted by offset. */
static int64_t best_gap(const Buffer *b, Buffer *const *placed, int n)
{
    int64_t end = 0, best = -1, slack = INT64_MAX, need = rounded(b->bytes);

    for (int i = 0; i < n; i++) {
        const Buffer *p = placed[i];
        if (!lives_cross(b, p))
            continue;
        if (p->offset - end >= need && p->offset - end - need < slack) {
            slack = p->offset - end - need;
            best = end;
        }
        if (p->offset + rounded(p->bytes) > end)
            end = p->offset + rounded(p->bytes);
    }
    return best >= 0 ? best : end;
}

static bool is_free(const Buffer *b, Buffer *const *placed, int n)
{
    for (int i = 0; i < n; i++)
        if (lives_cross(b, placed[i]) && b->offset < placed[i]->offset + rounded(placed[i]->bytes) &&
            placed[i]->offset < b->offset + rounded(b->bytes))
            return false;
    return true;
}

int64_t plan_pack(Arena *a, Buffer *buffers, int n)
{
    Buffer **order = NEW_ARRAY(a, Buffer *, n + 1), **placed = NEW_ARRAY(a, Buffer *, n + 1);
    int64_t total = 0;

    for (int i = 0; i < n; i++)
        order[i] = &buffers[i];
    qsort(order, (size_t)n, sizeof *order, larger_first);
    for (int i = 0; i < n; i++) {
        Buffer *b = order[i];
        int at = i;
        if (!b->wishes || !is_free(b, placed, i))
            b->offset = best_gap(b, placed, i);
        for (; at > 0 && placed[at - 1]->offset > b->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = b;
        if (b->offset + rounded(b->bytes) > total)
            total = b->offset + rounded(b->bytes);
    }
    return total;
}
