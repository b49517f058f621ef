/* scenarios.c: the situations, and what must hold after every schedule of each.
 *
 * THE OWNER TABLE is the witness. A thread that gets blocks enters itself (own), and removes itself before it gives
 * them back (disown). The table is plain memory: threads switch only before atomic accesses, so an entry is made in the
 * same step as the access that decided. A thread that finds another's entry has found a block with two owners. At the
 * end (at_rest) the bits taken must be exactly the blocks owned: one bit too many is a lost block or an undo that gave
 * back too little, one too few an undo or release that hit a neighbour. The continuation marks must be exactly those of
 * the runs owned, the free run longest by the words must be found, and private_pool_check must find nothing.
 *
 * SIZES. Every atomic access is a switching point, so each scenario has the few free bits that it needs; all others
 * belong to no thread (occupy). Straddling the border of two words takes two bits each side.
 */
#include "scenarios.h"

#include <string.h>

#include "bitmap/batch.h"
#include "os/thread.h"
#include "os/wait.h"
#include "private/private_pool.h"

#define MOST_BLOCKS 1024u
#define NOBODY 0u
#define OCCUPIED 99u

static struct private_pool pool;
static _Alignas(64) unsigned char metadata[4096];
static unsigned owner[MOST_BLOCKS]; /* NOBODY, OCCUPIED or thread + 1 */
static bool continued[MOST_BLOCKS]; /* by the owner's account, a further block of its run */
static unsigned succeeded;          /* calls that got what they wanted; each scenario counts its own */

/* --- the kernel's part, played by the search --- */

void explore_access(const volatile void *word) {
    (void)word;
    explore_step();
}

uint32_t os_thread_number(void) { return explore_thread() + 1; }

void os_yield(void) { explore_yield(); }

bool os_at_rest(double seconds) {
    (void)seconds;
    return !explore_others();
}

void os_wait(atomic_half *word, uint32_t expected, double seconds) {
    (void)seconds; /* never over: a thread that is not woken sleeps forever, and the search says so */
    if (half_load_seq(word) == expected) {
        explore_sleep(word);
    }
}

void os_wake_all(atomic_half *word) {
    explore_step();
    explore_wake(word);
}

/* --- the witness --- */

static void own(uint64_t first, uint64_t n) {
    for (uint64_t at = first; at < first + n; at++) {
        if (owner[at] != NOBODY) {
            explore_fail("block %u has two owners: %u and %u", (unsigned)at, owner[at] - 1, explore_thread());
        }
        owner[at] = explore_thread() + 1;
        continued[at] = false;
    }
}

/* A run from private_pool_allocate_run, whose marks are set by now. */
static void own_run(uint64_t first, uint64_t n) {
    own(first, n);
    for (uint64_t at = first + 1; at < first + n; at++) {
        continued[at] = true;
    }
}

static void disown(uint64_t first, uint64_t n) {
    for (uint64_t at = first; at < first + n; at++) {
        owner[at] = NOBODY;
        continued[at] = false;
    }
}

/* A pool all of whose blocks are free. */
static void make_pool(uint64_t blocks) {
    memset(metadata, 0, sizeof metadata);
    memset(owner, 0, sizeof owner);
    memset(continued, 0, sizeof continued);
    succeeded = 0;
    private_pool_init(&pool, metadata, NULL, 1, blocks);
}

/* Takes blocks out of the scenario. */
static void occupy(uint64_t first, uint64_t n) {
    if (!bitmap_claim_range(&pool.bitmap, first, n)) {
        explore_fail("set-up: block %u or one of the %u after it is taken", (unsigned)first, (unsigned)n - 1);
    }
    for (uint64_t at = first; at < first + n; at++) {
        owner[at] = OCCUPIED;
    }
}

/* Gives each thread of the scenario a run of n from `first`, as if it had allocated it before. */
static void place_run(unsigned thread, uint64_t first, uint64_t n) {
    (void)bitmap_claim_range(&pool.bitmap, first, n);
    for (uint64_t at = first; at < first + n; at++) {
        owner[at] = thread + 1;
        continued[at] = at > first;
        if (at > first) {
            fetch_or_seq(&pool.continuations[at / 64], UINT64_C(1) << at % 64);
        }
    }
}

/* Makes the summaries tell the truth, none of them stale. */
static void refresh_summaries(void) {
    for (uint64_t chunk = 0; chunk < pool.bitmap.chunk_count; chunk++) {
        bitmap_mark(&pool.bitmap, chunk);
    }
    (void)bitmap_find(&pool.bitmap, 0, MOST_BLOCKS + 1);
}

static void at_rest(void) {
    for (uint64_t at = 0; at < pool.blocks; at++) {
        bool taken = bitmap_test(&pool.bitmap, at);
        if (taken && owner[at] == NOBODY) {
            explore_fail("block %u is lost: taken, and without an owner", (unsigned)at);
        } else if (!taken && owner[at] != NOBODY) {
            explore_fail("block %u of owner %u is free", (unsigned)at, owner[at] - 1);
        }
        bool mark = load_seq(&pool.continuations[at / 64]) >> at % 64 & 1;
        if (mark != continued[at]) {
            explore_fail("block %u %s a run, by its mark", (unsigned)at, mark ? "continues" : "does not continue");
        }
    }
    struct private_pool_fault fault;
    uint64_t in_transit;
    if (private_pool_check(&pool, &fault, 1, &in_transit)) {
        explore_fail("private_pool_check finds a fault of kind %u at %u", (unsigned)fault.kind, (unsigned)fault.index);
    }
    uint64_t longest = bitmap_longest_free(&pool.bitmap);
    if (longest && bitmap_find(&pool.bitmap, 0, longest) == BITMAP_NONE) {
        explore_fail("the summaries do not find the free run of %u", (unsigned)longest);
    }
}

static void at_rest_some_succeeded(void) {
    at_rest();
    if (succeeded == 0) {
        explore_fail("none succeeded, though there is room for one");
    }
}

static void at_rest_one_succeeded(void) {
    at_rest();
    if (succeeded != 1) {
        explore_fail("%u calls succeeded, not 1", succeeded);
    }
}

/* --- what threads do --- */

static void claim_range(uint64_t first, uint64_t n) {
    if (bitmap_claim_range(&pool.bitmap, first, n)) {
        own(first, n);
        succeeded++;
    }
}

static uint64_t allocate(void) {
    uint64_t block = private_pool_allocate(&pool);
    if (block != BITMAP_NONE) {
        own(block, 1);
        succeeded++;
    }
    return block;
}

static uint64_t allocate_run(uint64_t n) {
    uint64_t first = private_pool_allocate_run(&pool, n);
    if (first != BITMAP_NONE) {
        own_run(first, n);
        succeeded++;
    }
    return first;
}

static bool allocate_many(uint64_t n, bool packed) {
    uint64_t blocks[MOST_BLOCKS];
    if (!(packed ? bitmap_claim_packed : bitmap_claim_many)(&pool.bitmap, n, blocks)) {
        return false;
    }
    for (uint64_t i = 0; i < n; i++) {
        own(blocks[i], 1);
    }
    succeeded++;
    return true;
}

/* Gives back what this thread owns, which must work. */
static void release(uint64_t first, uint64_t n) {
    disown(first, n);
    uint64_t released = private_pool_release(&pool, first, n);
    if (released != n) {
        explore_fail("release of %u at %u by its owner released %u", (unsigned)n, (unsigned)first, (unsigned)released);
    }
}

static void free_own(uint64_t first, uint64_t n) {
    disown(first, n);
    enum private_pool_status status = private_pool_free(&pool, first);
    if (status != PRIVATE_POOL_OK) {
        explore_fail("free of block %u by its owner gave status %d", (unsigned)first, (int)status);
    }
}

/* --- singles --- */

static void set_up_two_free(void) {
    make_pool(8);
    occupy(0, 6);
}

static void claim_release_claim(unsigned thread) {
    (void)thread;
    uint64_t block = allocate();
    if (block != BITMAP_NONE) {
        release(block, 1);
        (void)allocate();
    }
}

static void at_rest_two_succeeded(void) {
    at_rest();
    if (succeeded < 2) {
        explore_fail("%u calls succeeded", succeeded);
    }
}

static void claim_and_release(unsigned thread) {
    (void)thread;
    uint64_t block = allocate();
    if (block != BITMAP_NONE) {
        release(block, 1);
    }
}

/* Two releases of one bit: one of them made the change. */
static void set_up_one_owned(void) {
    make_pool(8);
    occupy(0, 8);
    disown(3, 1);
}

static void release_bit_3(unsigned thread) {
    (void)thread;
    succeeded += bitmap_release(&pool.bitmap, 3);
}

static void release_range_3(unsigned thread) {
    (void)thread;
    succeeded += bitmap_release_range(&pool.bitmap, 3, 1) == 1;
}

static void free_3(unsigned thread) {
    (void)thread;
    succeeded += private_pool_free(&pool, 3) == PRIVATE_POOL_OK;
}

/* Two release the same three bits, in two words: each bit counts once. */
static void set_up_three_owned(void) {
    make_pool(128);
    occupy(0, 128);
    disown(62, 1);
    disown(64, 2);
}

static void release_batch(unsigned thread) {
    static _Alignas(8) unsigned char memory[EXPLORE_THREADS][1024];
    struct batch batch;
    batch_init(&batch, memory[thread], 3, pool.bitmap.bits);
    if (batch_add(&batch, 62) || batch_add(&batch, 65) || batch_add(&batch, 64)) {
        explore_fail("batch_add refuses");
    }
    if (batch_missing(&batch, &pool.bitmap) == BITMAP_NONE) {
        uint64_t released = batch_release(&batch, &pool.bitmap);
        succeeded += (unsigned)released;
        if ((released == 3) != (batch_first(&batch) == BITMAP_NONE)) {
            explore_fail("the batch does not hold what it did not release");
        }
    }
}

static void at_rest_three_succeeded(void) {
    at_rest();
    if (succeeded != 3) {
        explore_fail("%u releases of 3 bits counted", succeeded);
    }
}

/* --- runs and singles --- */

static void set_up_four_free(void) {
    make_pool(16);
    occupy(0, 8);
    occupy(12, 4);
    refresh_summaries();
}

static void run_or_single(unsigned thread) {
    if (thread == 0) {
        (void)allocate_run(3);
    } else {
        claim_and_release(thread);
    }
}

/* Free: 62 .. 65, across a border. */
static void set_up_border(void) {
    make_pool(128);
    occupy(0, 62);
    occupy(66, 62);
    refresh_summaries();
}

static void range_or_its_end(unsigned thread) {
    if (thread == 0) {
        claim_range(62, 4);
    } else {
        claim_range(65, 1);
    }
}

static void range_or_its_end_for_a_while(unsigned thread) {
    if (thread == 0) {
        claim_range(62, 4);
    } else if (bitmap_claim_range(&pool.bitmap, 65, 1)) {
        own(65, 1);
        release(65, 1);
    }
}

static void run_across_or_single(unsigned thread) {
    if (thread == 0) {
        (void)allocate_run(4);
    } else {
        (void)allocate();
    }
}

static void set_up_three_words(void) {
    make_pool(256);
    occupy(0, 62);
    occupy(131, 125);
    refresh_summaries();
}

/* 62 .. 129 against 127 .. 130: they share the border of the second and third word. */
static void range_of_three_words_or_two(unsigned thread) {
    if (thread == 0) {
        claim_range(62, 68);
    } else {
        claim_range(127, 4);
    }
}

static void run_of_three_words_or_two(unsigned thread) {
    if (thread == 0) {
        (void)allocate_run(68);
    } else {
        (void)allocate_run(5);
    }
}

static void overlapping_ranges(unsigned thread) { claim_range(62 + thread, 67); }

static void set_up_one_run_fits(void) {
    make_pool(128);
    occupy(0, 62);
    occupy(67, 61);
}

static void run_of_four(unsigned thread) {
    (void)thread;
    (void)allocate_run(4);
}

/* --- many at once: ten free, across a border; two want six each --- */

static void set_up_ten_free(void) {
    make_pool(70);
    occupy(0, 59);
    occupy(69, 1);
    refresh_summaries();
}

/* Free: 507 .. 516, across the border of two chunks. */
static void set_up_ten_free_in_two_chunks(void) {
    make_pool(522);
    occupy(0, 507);
    occupy(517, 5);
    refresh_summaries();
}

static void many_of_six(unsigned thread) {
    (void)thread;
    (void)allocate_many(6, false);
}

static void packed_of_six(unsigned thread) {
    (void)thread;
    (void)allocate_many(6, true);
}

static void many_or_singles(unsigned thread) {
    if (thread == 0) {
        if (allocate_many(9, false)) {
            for (uint64_t at = 0; at < pool.blocks; at++) {
                if (owner[at] == 1) {
                    release(at, 1);
                }
            }
        }
    } else {
        claim_release_claim(thread);
    }
}

/* --- double free --- */

static void set_up_run_in_word(void) {
    make_pool(8);
    occupy(0, 2);
    place_run(0, 2, 3);
    occupy(5, 3);
    disown(2, 3);
}

static void free_2(unsigned thread) {
    (void)thread;
    succeeded += private_pool_free(&pool, 2) == PRIVATE_POOL_OK;
}

/* 62 .. 130: its marks lie in three words. */
static void set_up_run_in_three_words(void) {
    make_pool(256);
    occupy(0, 62);
    place_run(0, 62, 69);
    occupy(131, 125);
    disown(62, 69);
}

static void free_62(unsigned thread) {
    (void)thread;
    succeeded += private_pool_free(&pool, 62) == PRIVATE_POOL_OK;
}

/* --- the marks of runs --- */

static void set_up_run_to_free(void) {
    make_pool(128);
    occupy(0, 62);
    place_run(0, 62, 4);
    occupy(66, 62);
    refresh_summaries();
}

/* Thread 0 frees a run; thread 1 takes blocks of it as soon as it can, and frees them by their first. */
static void free_run_or_reuse_it(unsigned thread) {
    if (thread == 0) {
        free_own(62, 4);
    } else {
        uint64_t first = allocate();
        if (first != BITMAP_NONE) {
            free_own(first, 1);
        }
        first = allocate_run(2);
        if (first != BITMAP_NONE) {
            free_own(first, 2);
        }
    }
}

/* The same with private_pool_release, for which the owner knows the length. */
static void release_run_or_reuse_it(unsigned thread) {
    if (thread == 0) {
        release(62, 4);
    } else {
        free_run_or_reuse_it(thread);
    }
}

/* An audit while a run comes and goes. */
static void audit_meanwhile(unsigned thread) {
    if (thread == 0) {
        free_own(62, 4);
        (void)allocate_run(3);
    } else {
        struct private_pool_fault fault;
        uint64_t in_transit;
        if (private_pool_check(&pool, &fault, 1, &in_transit)) {
            explore_fail("private_pool_check finds a fault of kind %u at %u in a sound pool", (unsigned)fault.kind,
                         (unsigned)fault.index);
        }
    }
}

/* --- releases and summaries --- */

static void set_up_stale(void) {
    make_pool(64);
    place_run(1, 0, 2);
    place_run(1, 2, 2);
    occupy(4, 60);
    bitmap_mark(&pool.bitmap, 0);
}

static void set_up_fresh(void) {
    set_up_stale();
    refresh_summaries();
}

/* Thread 0 recomputes the summaries, by looking for more than there is; thread 1 releases. */
static void look_or_release(unsigned thread) {
    if (thread == 0) {
        (void)bitmap_find(&pool.bitmap, 0, 5);
    } else {
        release(0, 2);
        release(2, 2);
    }
}

static void look_release_look(unsigned thread) {
    if (thread == 1) {
        release(0, 2);
    } else {
        (void)bitmap_find(&pool.bitmap, 0, 5);
    }
}

static void set_up_two_runs(void) {
    make_pool(64);
    place_run(1, 0, 2);
    place_run(2, 2, 2);
    occupy(4, 60);
    refresh_summaries();
}

static void look_release_release(unsigned thread) {
    if (thread == 0) {
        (void)bitmap_find(&pool.bitmap, 0, 5);
    } else {
        release(thread * 2 - 2, 2);
    }
}

/* --- waiting --- */

static void set_up_full(void) {
    make_pool(8);
    occupy(0, 6);
    place_run(0, 6, 2);
    refresh_summaries();
}

static void wait_for(uint64_t n) {
    private_pool_wait_enter(&pool);
    for (;;) {
        uint32_t sequence = private_pool_wait_sequence(&pool);
        if ((n == 1 ? allocate() : allocate_run(n)) != BITMAP_NONE) {
            break;
        }
        private_pool_wait_sleep(&pool, sequence, 1);
    }
    private_pool_wait_leave(&pool);
}

static void free_or_wait(unsigned thread) {
    if (thread == 0) {
        free_own(6, 2);
    } else {
        wait_for(2);
    }
}

static void release_or_wait(unsigned thread) {
    if (thread == 0) {
        release(6, 2);
    } else {
        wait_for(1);
    }
}

static void undo_or_wait(unsigned thread) {
    if (thread == 0) { /* a run across two words; given back if it was got */
        uint64_t first = private_pool_allocate_run(&pool, 4);
        if (first != BITMAP_NONE) {
            (void)private_pool_release(&pool, first, 4);
        }
    } else if (thread == 1) {
        if (bitmap_claim_range(&pool.bitmap, 64, 2)) {
            own(64, 2);
        }
    } else {
        wait_for(1);
    }
}

static void at_rest_nobody_waits(void) {
    at_rest();
    if (half_load_seq(&pool.waiting)) {
        explore_fail("a thread still counts as waiting");
    }
}

/* --- three threads --- */

static void three_kinds(unsigned thread) {
    if (thread == 0) {
        claim_range(62, 4);
    } else if (thread == 1) {
        claim_range(65, 1);
    } else {
        claim_range(63, 2);
    }
}

static void free_claim_run(unsigned thread) {
    if (thread == 0) {
        free_own(62, 4);
    } else if (thread == 1) {
        (void)allocate_run(3);
    } else {
        (void)allocate();
    }
}

/* --- a serial pool --- */

/* What callers of a serial pool hold. */
static atomic_word lock;

static void take_lock(void) {
    uint64_t nobody = 0;
    while (!compare_exchange_seq(&lock, &nobody, 1)) {
        explore_sleep(&lock);
        nobody = 0;
    }
}

static void give_lock(void) {
    store_seq(&lock, 0);
    explore_wake(&lock);
}

/* Free: 62 .. 65, across a border. */
static void set_up_serial(void) {
    set_up_border();
    lock = 0;
    private_pool_make_serial(&pool);
}

static void singles_with_the_lock(void) {
    take_lock();
    uint64_t block = allocate();
    give_lock();
    if (block != BITMAP_NONE) {
        take_lock();
        release(block, 1);
        give_lock();
    }
}

/* Claims two blocks in two words without the lock, while others have it. */
static void outside_or_with_the_lock(unsigned thread) {
    if (thread > 0) {
        singles_with_the_lock();
        return;
    }
    take_lock();
    private_pool_go_outside(&pool);
    give_lock();
    claim_range(63, 2);
    take_lock();
    private_pool_come_back(&pool);
    give_lock();
}

static void at_rest_alone(void) {
    at_rest();
    if (!private_pool_is_alone(&pool)) {
        explore_fail("somebody is still outside");
    }
}

/* --- threads stopped forever --- */

/* A stopped thread may leave bits taken that it was about to own, or its own half released: only its own. */
static void stopped_hurts_nobody(void) {
    unsigned step;
    for (uint64_t at = 0; at < pool.blocks; at++) {
        bool taken = bitmap_test(&pool.bitmap, at);
        if (!taken && owner[at] != NOBODY) {
            explore_fail("block %u of owner %u is free", (unsigned)at, owner[at] - 1);
        }
        if (taken && owner[at] == NOBODY && !(explore_stopped(0, &step) && at >= 62 && at < 66) &&
            !(explore_stopped(1, &step) && at == 65)) {
            explore_fail("block %u is lost, and no stopped thread explains it", (unsigned)at);
        }
    }
}

#define PAIR(set_up_, body_, check_, bound_)                                                                           \
    {.threads = 2, .set_up = set_up_, .body = body_, .check = check_, .bound = bound_}
#define THREE(set_up_, body_, check_, bound_)                                                                          \
    {.threads = 3, .set_up = set_up_, .body = body_, .check = check_, .bound = bound_}

const struct scenario scenarios[] = {
    {"singles", "two claim, release, claim; two bits free in one word",
     PAIR(set_up_two_free, claim_release_claim, at_rest_two_succeeded, 10), false},
    {"release_twice", "two release the same bit: one made the change",
     PAIR(set_up_one_owned, release_bit_3, at_rest_one_succeeded, EXPLORE_UNBOUNDED), false},
    {"release_range_twice", "the same by bitmap_release_range",
     PAIR(set_up_one_owned, release_range_3, at_rest_one_succeeded, EXPLORE_UNBOUNDED), false},
    {"batch_twice", "the same by two batches of three bits in two words",
     PAIR(set_up_three_owned, release_batch, at_rest_three_succeeded, 9), false},
    {"free_single_twice", "two free the same block: one gets PRIVATE_POOL_OK",
     PAIR(set_up_one_owned, free_3, at_rest_one_succeeded, EXPLORE_UNBOUNDED), false},
    {"free_run_twice", "two free the same run, inside a word",
     PAIR(set_up_run_in_word, free_2, at_rest_one_succeeded, EXPLORE_UNBOUNDED), false},
    {"free_long_run_twice", "two free the same run, whose marks lie in three words",
     PAIR(set_up_run_in_three_words, free_62, at_rest_one_succeeded, 8), false},
    {"run_and_single", "a run inside a word against claim and release of a single",
     PAIR(set_up_four_free, run_or_single, at_rest_some_succeeded, 8), false},
    {"range_and_its_end", "a range across two words against its last bit: undo",
     PAIR(set_up_border, range_or_its_end, at_rest_some_succeeded, EXPLORE_UNBOUNDED), false},
    {"range_and_passing", "the same, and the bit is released again",
     PAIR(set_up_border, range_or_its_end_for_a_while, at_rest, EXPLORE_UNBOUNDED), false},
    {"run_across_and_single", "a run across two words, searched for, against a single",
     PAIR(set_up_border, run_across_or_single, at_rest_some_succeeded, 9), false},
    {"ranges_three_and_two", "a range across three words against one across two of them",
     PAIR(set_up_three_words, range_of_three_words_or_two, at_rest_some_succeeded, EXPLORE_UNBOUNDED), false},
    {"runs_three_and_two", "the same, searched for",
     PAIR(set_up_three_words, run_of_three_words_or_two, at_rest_some_succeeded, 5), false},
    {"ranges_overlapping", "two ranges across three words, one bit apart",
     PAIR(set_up_three_words, overlapping_ranges, at_rest_some_succeeded, EXPLORE_UNBOUNDED), false},
    {"one_run_fits", "two want a run of four, five are free across a border",
     PAIR(set_up_one_run_fits, run_of_four, at_rest_one_succeeded, 4), false},
    {"many_twice", "two want six of ten free, across a border",
     PAIR(set_up_ten_free, many_of_six, at_rest_one_succeeded, 5), false},
    {"packed_twice", "the same by bitmap_claim_packed", PAIR(set_up_ten_free, packed_of_six, at_rest_one_succeeded, 3),
     false},
    {"many_across_chunks", "the same across two chunks",
     PAIR(set_up_ten_free_in_two_chunks, many_of_six, at_rest_one_succeeded, 3), false},
    {"many_and_singles", "nine of ten, given back, against singles",
     PAIR(set_up_ten_free, many_or_singles, at_rest_some_succeeded, 5), false},
    {"free_and_reuse", "a run is freed, another thread reuses its blocks",
     PAIR(set_up_run_to_free, free_run_or_reuse_it, at_rest, 5), false},
    {"release_and_reuse", "the same with private_pool_release",
     PAIR(set_up_run_to_free, release_run_or_reuse_it, at_rest, 5), false},
    {"audit", "private_pool_check while a run is freed and another allocated",
     PAIR(set_up_run_to_free, audit_meanwhile, at_rest, 3), false},
    {"stale_and_release", "summaries are recomputed while two runs are released",
     PAIR(set_up_stale, look_or_release, at_rest, 8), false},
    {"fresh_and_release", "the same from fresh summaries", PAIR(set_up_fresh, look_or_release, at_rest, 9), false},
    {"look_look_release", "two recompute summaries while a third releases",
     THREE(set_up_fresh, look_release_look, at_rest, 5), false},
    {"look_release_release", "one recomputes summaries while two release",
     THREE(set_up_two_runs, look_release_release, at_rest, 6), false},
    {"free_and_wait", "one waits for a run that another frees: no wake-up is lost",
     PAIR(set_up_full, free_or_wait, at_rest_nobody_waits, 5), false},
    {"release_and_wait", "two wait for the blocks that a third releases",
     THREE(set_up_full, release_or_wait, at_rest_nobody_waits, 3), false},
    {"undo_and_wait", "one waits for a block of a claim across words that is undone in the bitmap",
     THREE(set_up_border, undo_or_wait, at_rest_nobody_waits, 3), false},
    {"three_ranges", "three ranges that overlap in pairs at a border",
     THREE(set_up_border, three_kinds, at_rest_some_succeeded, EXPLORE_UNBOUNDED), false},
    {"three_singles", "three claim and release; two bits free",
     THREE(set_up_two_free, claim_and_release, at_rest_some_succeeded, 5), false},
    {"free_run_single", "one frees a run, one allocates a run, one a single",
     THREE(set_up_run_to_free, free_claim_run, at_rest, 3), false},
    {"serial", "one goes outside a serial pool for a range, another claims and releases with the lock",
     PAIR(set_up_serial, outside_or_with_the_lock, at_rest_alone, EXPLORE_UNBOUNDED), false},
    {"serial_of_three", "the same, and two have the lock in turn",
     THREE(set_up_serial, outside_or_with_the_lock, at_rest_alone, 3), false},
    {"stopped_undo", "a range across two words against its last bit, either stopped anywhere",
     PAIR(set_up_border, range_or_its_end, stopped_hurts_nobody, EXPLORE_UNBOUNDED), true},
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
