/* names.c -- numbers by name: open addressing, never more than half full. */
#include "base/base.h"

typedef struct Name {
    const char *name; /* NULL: free */
    int number;
} Name;

static Name *slot_of(const Names *names, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (const char *s = name; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 16777619u;
    unsigned i = hash & (names->room - 1);
    while (names->at[i].name && strcmp(names->at[i].name, name) != 0)
        i = (i + 1) & (names->room - 1);
    return &names->at[i];
}

static void widen(Arena *a, Names *names)
{
    Names wider = {.n = names->n, .room = names->room ? names->room * 2 : 64};

    wider.at = NEW_ARRAY(a, Name, wider.room);
    for (unsigned i = 0; i < names->room; i++)
        if (names->at[i].name)
            *slot_of(&wider, names->at[i].name) = names->at[i];
    *names = wider;
}

int names_find(const Names *names, const char *name)
{
    const Name *slot = names->room ? slot_of(names, name) : NULL;

    return slot && slot->name ? slot->number : -1;
}

void names_add(Arena *a, Names *names, const char *name, int number)
{
    if (names->n * 2 >= names->room)
        widen(a, names);
    Name *slot = slot_of(names, name);
    if (slot->name)
        bug("two things named '%s'", name);
    *slot = (Name){name, number};
    names->n++;
}
