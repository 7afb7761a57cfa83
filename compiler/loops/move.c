/* move.c -- the same numbers in another order: packing the caller's samples into lanes, unpacking results, clearing halos,
 * copying. */
#include "loops/nest.h"

/* Trailing axes that are one run in lanes: no halo between them. Returns the first of them. */
static int run_start(const Layout *lanes)
{
    int a = lanes->rank;
    int64_t run = LANES;

    while (a > 1 && lanes->stride[a - 1] == run) {
        a--;
        run *= lanes->size[a];
        if (lanes->low[a] || lanes->high[a])
            break; /* this axis is a run, but not with the next one outwards */
    }
    return a;
}

static int64_t elements(const Layout *l, int from, int to)
{
    int64_t n = 1;

    for (int a = from; a < to; a++)
        n *= l->size[a];
    return n;
}

typedef struct Move {
    Build *b;
    Text out;
    int depth;
    bool pack;
    const Layout *lanes, *rows;
} Move;

/* Elements from..to-1 of each sample, a vector of samples at once; zeros for those that are not there. */
static void pack_elements(Move *m, int depth, long long from, long long to)
{
    long long row = (long long)m->rows->stride[0];

    line(&m->out, depth, "for (long e = %lld; e < %lld; e++)", from, to);
    if (row == 1)
        line(&m->out, depth + 1, "nn_store(lane + 16 * e, nn_load_first(row + e, (int)samples));");
    else
        line(&m->out, depth + 1, "nn_store(lane + 16 * e, nn_gather_first(row + e, %lld, (int)samples));", row);
}

/* One run of `length` elements of all samples, `in` pointing at its lanes and `at` at its first sample. */
static void print_run(Move *m, int64_t length)
{
    Text *t = &m->out;
    int d = m->depth;
    long long row = (long long)m->rows->stride[0], whole = (long long)(length / LANES * LANES), n = (long long)length;
    bool integer = m->lanes->integer;
    const char *value = m->pack ? "lane[16 * e + l] = row[%lld * l + e];" : "row[%lld * l + e] = lane[16 * e + l];";

    if (whole && !integer) {
        line(t, d++, "if (samples == 16) {");
        line(t, d, "for (long e = 0; e < %lld; e += 16)", whole);
        if (m->pack)
            line(t, d + 1, "nn_transpose16(row + e, %lld, lane + 16 * e, 16);", row);
        else
            line(t, d + 1, "nn_transpose16(lane + 16 * e, 16, row + e, %lld);", row);
        if (whole < n && m->pack) {
            pack_elements(m, d, whole, n);
        } else if (whole < n) {
            line(t, d, "for (long l = 0; l < 16; l++)");
            line(t, d + 1, "for (long e = %lld; e < %lld; e++)", whole, n);
            line(t, d + 2, value, row);
        }
        line(t, d - 1, "} else {");
    } else {
        line(t, d++, "{");
    }
    if (m->pack && !integer) {
        pack_elements(m, d, 0, n);
    } else {
        line(t, d, "for (long l = 0; l < samples; l++)");
        line(t, d + 1, "for (long e = 0; e < %lld; e++)", n);
        line(t, d + 2, value, row);
    }
    if (m->pack && integer) {
        line(t, d, "for (long l = samples; l < 16; l++)");
        line(t, d + 1, "for (long e = 0; e < %lld; e++)", n);
        line(t, d + 2, "lane[16 * e + l] = 0;");
    }
    line(t, --d, "}");
}

static Kernel *move_kernel(Build *b, KernelKind kind, Tensor *t, const Place *from, const Place *to)
{
    static const char *const names[] = {"from", "to"};
    const Layout *lanes = kind == KERNEL_PACK ? &to->layout : &from->layout;
    const Layout *rows = kind == KERNEL_PACK ? &from->layout : &to->layout;
    Kernel *k = NEW(b->arena, Kernel);
    Move m = {.b = b, .out = {.arena = b->arena}, .depth = 1, .pack = kind == KERNEL_PACK, .lanes = lanes, .rows = rows};
    Text *out = &m.out, lane = {.arena = b->arena}, row = {.arena = b->arena};
    int run = run_start(lanes), from_arg = kernel_arg(k, from->storage, false);
    const char *type = lanes->integer ? "int32_t" : "float";
    int64_t natural = elements(lanes, run, lanes->rank);

    kernel_arg(k, to->storage, true);
    if (from_arg != 0)
        bug("a move whose source is its second pointer");
    k->kind = kind;
    k->blocked = k->takes_n = true;
    k->tasks = 1;
    k->lane = LANE_SAMPLES;
    k->why = m.pack ? "the caller's samples into lanes" : "samples one after the other";
    k->at_block[m.pack] = true;
    if (!m.pack && to->storage->kind == STORAGE_WORK)
        line(out, 1, "const long samples = 16;"); /* our own rows have room for all lanes */
    else
        line(out, 1, "const long samples = n - 16 * block < 16 ? n - 16 * block : 16;");
    k->takes_n = m.pack || to->storage->kind != STORAGE_WORK;
    text_print(&lane, "%s", m.pack ? "to" : "from");
    if (lanes->origin)
        text_print(&lane, " + %lld", (long long)lanes->origin);
    text_print(&row, "%lld * block", (long long)rows->stride[0] * LANES);
    for (int a = run; a-- > 1;) {
        text_print(&row, " + %lld * i%d", (long long)natural, a);
        natural *= lanes->size[a];
    }
    for (int a = 1; a < run; a++) {
        line(out, m.depth++, "for (long i%d = 0; i%d < %lld; i%d++) {", a, a, (long long)lanes->size[a], a);
        text_print(&lane, " + %lld * i%d", (long long)lanes->stride[a], a);
    }
    line(out, m.depth, "%s%s *lane = %s;", m.pack ? "" : "const ", type, lane.s);
    line(out, m.depth, "%s%s *row = %s + %s;", m.pack ? "const " : "", type, m.pack ? "from" : "to", row.s);
    print_run(&m, elements(lanes, run, lanes->rank));
    while (m.depth > 1)
        line(out, --m.depth, "}");
    kernel_function(b, k, arena_print(b->arena, m.pack ? "pack_%s" : "unpack_%s", kernel_name(b->arena, t->name)), NULL, names,
                    out->s, NULL);
    k->bytes = 2 * (double)layout_bytes(lanes);
    return k;
}

Kernel *kernel_pack(Build *b, Tensor *t, const Place *from, const Place *to)
{
    return move_kernel(b, KERNEL_PACK, t, from, to);
}

Kernel *kernel_unpack(Build *b, Tensor *t, const Place *from, const Place *to)
{
    return move_kernel(b, KERNEL_UNPACK, t, from, to);
}

/* Zeros the halo inside axis a: below, above, and that of the axes within each step between. */
static void clear_axis(Text *out, const Layout *l, int a, int depth, const char *at)
{
    Arena *arena = out->arena;
    int64_t step = l->stride[a];
    const char *store = l->integer ? "nn_storei(%s + e, nn_seti(0));" : "nn_store(%s + e, nn_set(0.0f));";

    if (l->low[a] > 0) {
        line(out, depth, "for (long e = 0; e < %lld; e += 16)", (long long)(l->low[a] * step));
        line(out, depth + 1, store, at);
    }
    if (l->high[a] > 0) {
        line(out, depth, "for (long e = %lld; e < %lld; e += 16)", (long long)((l->low[a] + l->size[a]) * step),
             (long long)((l->low[a] + l->size[a] + l->high[a]) * step));
        line(out, depth + 1, store, at);
    }
    bool more = false;
    for (int i = a + 1; i < l->rank; i++)
        more = more || l->low[i] > 0 || l->high[i] > 0;
    if (!more)
        return;
    line(out, depth, "for (long i%d = %lld; i%d < %lld; i%d++) {", a, (long long)l->low[a], a,
         (long long)(l->low[a] + l->size[a]), a);
    clear_axis(out, l, a + 1, depth + 1, arena_print(arena, "%s + %lld * i%d", at, (long long)step, a));
    line(out, depth, "}");
}

/* Steps along axes with a halo are whole vectors. */
static bool in_vectors(const Layout *l)
{
    for (int a = 0; a < l->rank; a++)
        if ((l->low[a] > 0 || l->high[a] > 0) && l->stride[a] % LANES != 0)
            return false;
    return true;
}

/* Of one sample: all of it, which costs less than to find the halo where that is no whole vectors. */
static void clear_all(Text *out, const Layout *l)
{
    line(out, 1, "for (long task = first; task < end; task++)");
    line(out, 2, "for (long e = 0; e < %lld; e += 16)", (long long)l->count);
    line(out, 3, l->integer ? "nn_storei(to + e, nn_seti(0));" : "nn_store(to + e, nn_set(0.0f));");
}

Kernel *kernel_clear(Build *b, const Place *p, bool blocked)
{
    static const char *const names[] = {"to"};
    Kernel *k = NEW(b->arena, Kernel);
    Text out = {.arena = b->arena};
    const Layout *l = &p->layout;
    double inside = 1;

    kernel_arg(k, p->storage, true);
    k->kind = KERNEL_CLEAR;
    k->blocked = l->order == ORDER_LANES && blocked;
    k->tasks = 1;
    k->lane = l->order == ORDER_LANES ? LANE_SAMPLES : LANE_AXIS;
    k->why = "zeros around what padded reads need";
    for (int a = 0; a < l->rank; a++)
        inside *= (double)l->size[a];
    k->bytes = (double)layout_bytes(l) - 4 * inside;
    if (k->blocked) {
        k->at_block[0] = true;
        clear_axis(&out, l, 1, 1, "to");
    } else if (in_vectors(l)) {
        line(&out, 1, "for (long task = first; task < end; task++) {");
        clear_axis(&out, l, l->order == ORDER_LANES ? 1 : 0, 2, "to");
        line(&out, 1, "}");
    } else {
        clear_all(&out, l);
    }
    kernel_function(b, k, arena_print(b->arena, "clear_%s", kernel_name(b->arena, p->storage->tensor->name)), NULL, names,
                    out.s, NULL);
    return k;
}

Kernel *kernel_copy(Build *b, const Place *from, const Place *to)
{
    static const char *const names[] = {"from", "to"};
    Kernel *k = NEW(b->arena, Kernel);
    Text out = {.arena = b->arena};

    kernel_arg(k, from->storage, false);
    kernel_arg(k, to->storage, true);
    k->kind = KERNEL_COPY;
    k->tasks = 1;
    k->lane = LANE_NONE;
    k->why = "the old value is still read after the new one is known";
    k->bytes = 2 * (double)layout_bytes(&to->layout);
    line(&out, 1, "for (long task = first; task < end; task++)");
    line(&out, 2, "for (long e = 0; e < %lld; e++)", (long long)to->layout.count);
    line(&out, 3, "to[e] = from[e];");
    kernel_function(b, k, arena_print(b->arena, "copy_%s", kernel_name(b->arena, to->storage->tensor->name)), NULL, names,
                    out.s, NULL);
    return k;
}
