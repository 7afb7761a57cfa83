/* plan.c -- no two buffers that live together overlap, and the totals are what the buffers say. */
#include "plan/plan.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

static uint32_t draw(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

static bool together(const Buffer *a, const Buffer *b)
{
    return a->first <= b->last && b->first <= a->last && a->bytes > 0 && b->bytes > 0;
}

static void check_packed(const Buffer *b, int n, int64_t total)
{
    int64_t end = 0;

    for (int i = 0; i < n; i++) {
        ck_assert_int_ge(b[i].offset, 0);
        ck_assert_int_eq(b[i].offset % PLAN_ALIGN, 0);
        ck_assert_int_le(b[i].offset + b[i].bytes, total);
        if (b[i].offset + b[i].bytes > end)
            end = b[i].offset + b[i].bytes;
        for (int j = 0; j < i; j++)
            if (together(&b[i], &b[j]))
                ck_assert_msg(b[i].offset >= b[j].offset + b[j].bytes || b[j].offset >= b[i].offset + b[i].bytes,
                              "buffers %d and %d overlap", j, i);
    }
    ck_assert_int_lt(total - end, PLAN_ALIGN); /* not a byte more than the last one needs */
}

/* The fullest moment: no plan can be smaller. */
static int64_t floor_of(const Buffer *b, int n)
{
    int64_t floor = 0;

    for (int i = 0; i < n; i++) {
        int64_t sum = 0;
        for (int j = 0; j < n; j++)
            if (b[j].first <= b[i].first && b[i].first <= b[j].last)
                sum += (b[j].bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
        if (sum > floor)
            floor = sum;
    }
    return floor;
}

START_TEST(random_lives)
{
    Arena *a = arena_new();
    uint32_t state = (uint32_t)_i * 2654435761u + 1;
    int n = 1 + (int)draw(&state, 120);
    Buffer *b = NEW_ARRAY(a, Buffer, n), *again = NEW_ARRAY(a, Buffer, n);

    for (int i = 0; i < n; i++) {
        b[i].first = (int)draw(&state, 60);
        b[i].last = draw(&state, 12) ? b[i].first + (int)draw(&state, 15) : INT_MAX;
        b[i].bytes = draw(&state, 10) ? 1 + (int)draw(&state, 5000) : 64 * (int64_t)draw(&state, 4);
    }
    memcpy(again, b, sizeof *b * (size_t)n);
    int64_t total = plan_pack(a, b, n);
    check_packed(b, n, total);
    ck_assert_int_ge(total, floor_of(b, n));
    ck_assert_int_eq(plan_pack(a, again, n), total);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(b[i].offset, again[i].offset);
    arena_free(a);
}
END_TEST

/* A chain, each result read by the next: two buffers are enough, whatever its length. */
START_TEST(chain_needs_two)
{
    Arena *a = arena_new();
    Buffer b[30] = {{0}};

    for (int i = 0; i < 30; i++)
        b[i] = (Buffer){.bytes = 1000, .first = i, .last = i + 1};
    ck_assert_int_eq(plan_pack(a, b, 30), 2 * 1024);
    ck_assert_int_eq(plan_pack(a, b, 0), 0);
    arena_free(a);
}
END_TEST

static Storage *work(Arena *a, Loops *l, const char *name, int64_t n, int first, int last)
{
    Storage *s = NEW(a, Storage);

    *s = (Storage){.name = name, .kind = STORAGE_WORK, .id = l->storages.n, .first = first, .last = last, .phase = -1};
    s->layout = (Layout){.order = ORDER_ROWS, .rank = 1, .size = {n}, .stride = {1}, .count = n};
    PUSH(a, l->storages, s);
    return s;
}

/* What lives in a phase of blocks alone: room for one block of each thread, once more used when its life is over. */
START_TEST(room_of_threads)
{
    Arena *a = arena_new();
    Program p = {.arena = a, .name = "Small", .source = "small.nn", .batch = 64};
    Loops step = {.threads = 3}, *loops[GRAPHS] = {[GRAPH_STEP] = &step};
    Functions none = {.arena = a};

    for (int i = 0; i < 3; i++) { /* 4 blocks of 5 x 16 floats; a chain */
        Storage *s = work(a, &step, "chain", 4 * 5 * 16, i, i + 1);
        s->layout = (Layout){.order = ORDER_LANES, .rank = 2, .size = {64, 5}, .stride = {5 * 16, 16}, .count = 4 * 5 * 16};
        s->phase = 0;
    }
    PUSH(a, step.kernels, NEW(a, Kernel));
    PUSH(a, step.phases, ((Phase){.kind = PHASE_BLOCKS, .count = 1, .threads = 4}));
    work(a, &step, "all", 100, 0, 1);
    Plan *plan = plan_make(a, &p, loops, &none);
    const Work *w = &plan->work[GRAPH_STEP];

    ck_assert_int_eq(w->room[0].bytes, 2 * 320);
    ck_assert_int_eq(w->room[0].threads, 3);
    ck_assert_int_eq(w->buffers[w->room[0].buffer].bytes, 3 * 2 * 320);
    ck_assert_int_eq(w->bytes, 3 * 2 * 320 + 448);
    ck_assert_int_eq(w->buffers[w->buffer[0]].offset, w->buffers[w->buffer[2]].offset);
    arena_free(a);
}
END_TEST

START_TEST(context_in_order)
{
    Arena *a = arena_new();
    Program p = {.arena = a, .name = "Small", .source = "small.nn", .batch = 16};
    const Kept kept[] = {
        {.name = "velocity", .kind = KEPT_OPTIMIZER, .rank = 2, .size = {3, 5}},
        {.name = "weight", .kind = KEPT_PARAM, .rank = 2, .size = {3, 5}},
        {.name = "sum", .kind = KEPT_METRIC},
        {.name = "mean", .kind = KEPT_BUFFER, .rank = 1, .size = {7}},
    };
    for (int i = 0; i < 4; i++) {
        program_keep(&p, kept[i]);
        p.kept.at[i].where = NOWHERE;
    }
    PUSH(a, p.metrics, ((Output){.name = "loss", .tensor = "loss"}));
    PUSH(a, p.metrics, ((Output){.name = "confusion", .tensor = "c", .rank = 2, .size = {2, 2}}));

    Loops step = {0}, predict = {0}, *loops[GRAPHS] = {[GRAPH_STEP] = &step, [GRAPH_PREDICT] = &predict};
    work(a, &step, "h", 100, 0, 3);
    work(a, &step, "z", 100, 2, 4);
    work(a, &step, "d", 100, 4, 5);
    work(a, &predict, "h", 50, 0, 1);
    Functions none = {.arena = a};
    Plan *plan = plan_make(a, &p, loops, &none);

    ck_assert_int_lt(plan->kept[1].offset, plan->kept[3].offset);
    ck_assert_int_ge(plan->kept[1].offset, SCALAR_COUNT * 8);
    ck_assert_int_le(plan->kept[3].offset + plan->kept[3].bytes, plan->weight_bytes);
    ck_assert_int_ge(plan->kept[0].offset, plan->weight_bytes);
    ck_assert_int_lt(plan->kept[0].offset, plan->kept[2].offset);
    ck_assert_int_gt(plan->metrics, plan->kept[2].offset);
    ck_assert_int_ge(plan->work_offset, plan->metrics + 5 * 8);
    ck_assert_int_eq(plan->work_offset % PLAN_ALIGN, 0);
    ck_assert_int_eq(plan->bytes, plan->work_offset + 2 * 448); /* h and z; d in the place of h */
    ck_assert_int_eq(plan->predict_bytes, 256);
    ck_assert_int_eq(plan->prepare_bytes, 0);
    ck_assert_int_ge(plan->kept[1].row, 5);
    ck_assert_int_eq(plan->kept[2].row, 0);
    check_packed(plan->work[GRAPH_STEP].buffers, 3, plan->work[GRAPH_STEP].bytes);

    Text t = {.arena = a};
    plan_print(&t, &p, plan);
    ck_assert_ptr_nonnull(strstr(t.s, "velocity"));
    ck_assert_ptr_nonnull(strstr(t.s, arena_print(a, "training   %12lld bytes", (long long)plan->bytes)));
    arena_free(a);
}
END_TEST

START_TEST(scalars_as_in_nn_h)
{
    ck_assert_int_eq(scalar_position("count"), 0);
    ck_assert_int_eq(scalar_position("steps"), 3);
    ck_assert_int_eq(scalar_position("base_lr"), 7);
    ck_assert_int_eq(scalar_position("lr"), SCALAR_LR);
    ck_assert_int_eq(scalar_position("nothing"), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plan");
    TCase *c = tcase_create("plan");

    tcase_add_loop_test(c, random_lives, 0, 300);
    tcase_add_test(c, chain_needs_two);
    tcase_add_test(c, room_of_threads);
    tcase_add_test(c, context_in_order);
    tcase_add_test(c, scalars_as_in_nn_h);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
