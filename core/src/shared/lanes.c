/* lanes.c: see lanes.h. */
#include "shared/lanes.h"

#ifdef BLOCKPOOL_EXPLORE
struct lane_user lanes_kept[8];
#else
_Thread_local struct lane_user lane_kept __attribute__((tls_model("initial-exec"), visibility("hidden")));
#endif

uint64_t lane_take(struct lane *lane, const struct lane_cell *cells, uint64_t head, struct lane_cell *out,
                   uint64_t most) {
    uint64_t tail = load_relaxed(&lane->tail), n = head - tail;
    if (n > LANE_CELLS) {
        store_release(&lane->tail, head);
        return 0;
    }
    n = n < most ? n : most;
    for (uint64_t i = 0; i < n; i++) {
        const struct lane_cell *cell = &cells[(tail + i) & (LANE_CELLS - 1)];
        store_relaxed(&out[i].what, load_relaxed(&cell->what));
        store_relaxed(&out[i].value, load_relaxed(&cell->value));
    }
    store_release(&lane->tail, tail + n);
    return n;
}
