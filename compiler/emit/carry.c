/* carry.c -- the C that carries out lists of calls (list.c): what their numbers mean, and the loops over them. */
#include "emit/parts.h"

static const char types[] =
    "/* A graph of many kernels is a table of numbers (--emit=loops shows it with names). Of each phase: how it runs; block by\n"
    " * block then on how many threads at most, and the place of the room that each thread has, counted from 1, or 0; how many\n"
    " * numbers follow. Then each call: its kernel (where it stands in @_kernels), the places of its pointers, its streams of\n"
    " * random numbers. Block by block, before some calls that are made again for every strip: how many strips, and how many\n"
    " * numbers the calls take. A kernel is its case, its sizes, and where its doubles stand in @_reals; unless it runs block by\n"
    " * block, its tasks and how many threads share them at most come before. */\n"
    "enum { @_END, @_BLOCKS, @_TASKS, @_SERIAL, @_FINITE };\n\n"
    "/* Sixteen places: a part of memory, the first place in lines of 64 bytes from its start, how many lines lie from one block\n"
    " * of samples to the next, and how far from the first place each is. Scalars and what is given are counted, not lines. */\n"
    "enum { @_IN_CONTEXT, @_IN_WORK, @_IN_SCALARS, @_IN_ROOM, @_DERIVED, @_GIVEN, @_PARTS = @_GIVEN };\n"
    "typedef struct @_sixteen {\n"
    "    uint32_t part, first, step, from_first[16];\n"
    "} @_sixteen;\n\n"
    "typedef struct @_list {\n"
    "    const uint32_t *calls;\n"
    "    const void *const *given; /* the caller's arrays */\n"
    "    const unsigned char *part[@_PARTS];\n"
    "    long n, blocks, block, strip;\n"
    "    int thread, threads;\n"
    "} @_list;\n\n"
    "static void @_carry_out(@_list *l);\n\n";

static const char pointers[] =
    "static void *@_at(const @_list *l, uint32_t place)\n"
    "{\n"
    "    const @_sixteen *p = &@_places[place / 16];\n"
    "    const size_t at = p->first + p->from_first[place % 16] + p->step * (size_t)l->block;\n\n"
    "    if (p->part == @_GIVEN)\n"
    "        return (void *)l->given[at];\n"
    "    return (void *)(l->part[p->part] + (p->part == @_IN_SCALARS ? 8 : 64) * at);\n"
    "}\n\n";

static const char loops[] =
    "static void @_carry_out(@_list *l)\n"
    "{\n"
    "    for (const uint32_t *c = l->calls, *after; *c != @_END; c = after) {\n"
    "        const uint32_t how = *c, *k;\n\n"
    "        if (c++ != l->calls) {\n"
    "            NN_BARRIER;\n"
    "        }\n"
    "        if (how == @_FINITE) {\n"
    "            after = c + 1;\n"
    "            if (!isfinite(*(const double *)@_at(l, c[0])))\n"
    "                return; /* a loss that is not finite changes nothing */\n"
    "        } else if (how == @_BLOCKS) {\n"
    "            const int most = (int)c[0];\n"
    "            const long end = @_share(l->blocks, l->thread + 1, l->threads, most);\n"
    "            const uint32_t *const calls = c + 3;\n"
    "            after = calls + c[2];\n"
    "            l->block = l->thread;\n"
    "            if (c[1])\n"
    "                l->part[@_IN_ROOM] = @_at(l, c[1] - 1);\n"
    "            for (l->block = @_share(l->blocks, l->thread, l->threads, most); l->block < end; l->block++)\n"
    "                for (const uint32_t *turn = calls, *next; turn < after; turn = next) {\n"
    "                    next = turn + 2 + turn[1];\n"
    "                    for (l->strip = 0; l->strip < (long)turn[0]; l->strip++)\n"
    "                        for (c = turn + 2; c < next;)\n"
    "                            c += 1 + @_call(l, @_kernels + c[0], c + 1, 0, 1);\n"
    "                }\n"
    "            l->block = 0;\n"
    "        } else {\n"
    "            after = c + 1 + c[0];\n"
    "            for (c++; c < after && (how == @_TASKS || l->thread == 0);) {\n"
    "                k = @_kernels + c[0];\n"
    "                if (how == @_TASKS)\n"
    "                    c += 1 + @_call(l, k, c + 1, @_share(k[-2], l->thread, l->threads, (int)k[-1]),\n"
    "                                    @_share(k[-2], l->thread + 1, l->threads, (int)k[-1]));\n"
    "                else\n"
    "                    c += 1 + @_call(l, k, c + 1, 0, k[-2]);\n"
    "            }\n"
    "        }\n"
    "    }\n"
    "}\n\n";

/* The text with the model's name for each @. */
static void print_named(Text *t, const char *s, const Program *p)
{
    const char *prefix = emit_prefix(t->arena, p), *up = upper(t->arena, prefix);

    for (; *s; s++)
        if (*s == '@')
            text_print(t, "%s", s[1] == '_' && s[2] >= 'A' && s[2] <= 'Z' ? up : prefix);
        else
            text_add(t, s, 1);
}

void print_list_types(Text *t, const Program *p) { print_named(t, types, p); }
void print_list_pointers(Text *t, const Program *p) { print_named(t, pointers, p); }
void print_list_loops(Text *t, const Program *p) { print_named(t, loops, p); }
