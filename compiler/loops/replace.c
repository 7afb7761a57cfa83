/* replace.c -- whether the next value of a parameter or state may be written over the old one.
 *
 * needs:  the makers and last readers of tensors
 * leaves: nothing: layout.c asks */
#include "loops/build.h"

/* Whether the value of tensor t needs what the kernel of `early` makes: a walk from makers to what they read. */
typedef struct Reach {
    Build *b;
    const Choice *early;
    bool *seen;
} Reach;

static const Choice *leader_of(const Choice *c) { return c->leader ? c->leader : c; }

static bool reaches(Reach *r, const Tensor *t)
{
    const Choice *c = r->b->maker[t->id];

    if (r->seen[t->id] || !c)
        return false;
    if (leader_of(c) == leader_of(r->early))
        return true;
    r->seen[t->id] = true;
    for (int i = 0; i < c->value->n; i++)
        if (reaches(r, c->value->at[i]->tensor))
            return true;
    for (int i = 0; i < c->tail->n; i++)
        if (reaches(r, c->tail->at[i]->tensor))
            return true;
    return false;
}

static bool reads(const Loads *l, const Tensor *t)
{
    for (int i = 0; i < l->n; i++)
        if (l->at[i]->tensor == t)
            return true;
    return false;
}

/* All loads of t are at the place that q writes. */
static bool reads_in_place(const Equation *q, const Loads *l, const Tensor *t)
{
    for (int i = 0; i < l->n; i++) {
        if (l->at[i]->tensor != t)
            continue;
        for (int a = 0; a < t->rank; a++)
            if (!expr_same(l->at[i]->args[a], q->at[a]))
                return false;
    }
    return true;
}

/* The new value may take the place of the old one: its maker reads the old one only where it writes, and whoever else
 * reads the old one can do so before. */
bool replaces_in_place(Build *b, const Tensor *old)
{
    const Choice *maker = b->maker[old->next->id];

    if (!maker || old->next->rank != old->rank || old->next->role != ROLE_TEMP)
        return false;
    /* Who stands before the maker cannot need what it makes. */
    int last = b->last_reader[old->id];
    Reach r = {b, maker, last > maker->number ? NEW_ARRAY(b->arena, bool, b->graph->tensors.n) : NULL};
    for (int i = maker->number + 1; i <= last; i++) {
        const Choice *c = b->choices.at[i];
        if (leader_of(c) != leader_of(maker) && (reads(c->value, old) || reads(c->tail, old)) && reaches(&r, c->q->out))
            return false;
    }
    if (maker->q->how == EQ_MAP)
        return reads_in_place(maker->q, maker->value, old);
    return !reads(maker->value, old) && reads_in_place(maker->q, maker->tail, old);
}
