/* Tests of catalog.c: names in one process, and what a process that dies at any access leaves. */
#include "accesses.h"

#include "shared/catalog.c"
#include "shared/shared_pool.c"

#include "check.h"
#include "sets.h"

#define BLOCKS 300u
#define ME 1u /* the slot that gives names */

static struct layout_geometry geometry;
static struct shared_pool shared, annex;
static struct catalog catalog;
static unsigned kind; /* of what was found last */
static void *memory;

static void make(void) {
    memset(&geometry, 0, sizeof geometry);
    CHECK(layout_plan(&geometry, 64, BLOCKS, 70, 16), ==, true);
    memory = aligned_alloc(4096, geometry.data_at); /* nothing here touches the blocks themselves */
    memset(memory, 0, geometry.data_at);
    layout_make(memory, &geometry);
    layout_init(&shared, &annex, memory, &geometry);
    catalog = (struct catalog){layout_catalog(memory, &geometry), &shared, &annex};
}

static uint64_t head_word(const struct pool_run *run) {
    return load_relaxed(&shared_pool_entry(&shared, run->index)->head);
}

/* Nothing is wrong, and the catalog holds exactly the runs that have names. */
static void sound(void) {
    struct slot_set used = set_of(bit_of(0) | bit_of(ME) | bit_of(2));
    struct shared_pool_fault fault = {SHARED_POOL_FAULT_NONE, 0};
    struct shared_pool_audit audit;
    shared_pool_check(&shared, &used, true, false, &fault, 1, &audit);
    CHECK(audit.faults, ==, 0);
    if (audit.faults) {
        printf("  first fault: kind %d at %llu\n", (int)fault.kind, (unsigned long long)fault.index);
    }
    CHECK(catalog_fault(&catalog, 0), ==, CATALOG_NAMES);
    struct pool_run run;
    uint64_t word;
    for (uint64_t at = 0; shared_pool_next_run(&shared, at, &run, &word); at = run.index + run.blocks) {
        unsigned names = 0;
        for (unsigned i = 0; i < CATALOG_NAMES; i++) {
            names += load_relaxed(&catalog.entries[i].run) == (run.index << 40 | run.generation);
        }
        CHECK(shared_pool_is_kept(&shared, &run), ==, names > 0);
    }
}

static void unmake(void) {
    sound();
    free(memory);
}

static struct pool_run allocate_for(unsigned slot, uint64_t n) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(shared_pool_allocate(&shared, slot, n, 0, 0, &run), ==, SHARED_POOL_OK);
    CHECK(run.index, !=, BITMAP_NONE);
    return run;
}

static bool drop_by(unsigned slot, const struct pool_run *run) {
    bool last = false;
    CHECK(shared_pool_drop(&shared, slot, run, &last), ==, SHARED_POOL_OK);
    if (last) {
        shared_pool_finish(&shared, run);
    }
    return last;
}

static enum catalog_status keep(const char *name, const struct pool_run *run, bool replace) {
    return catalog_keep(&catalog, ME, name, run, 0, true, replace);
}

static enum catalog_status forget(const char *name) { return catalog_forget(&catalog, name); }

/* The block of the run that has the name, BITMAP_NONE if none has. */
static uint64_t find(const char *name) {
    struct pool_run run;
    if (catalog_find(&catalog, name, &run, &kind) != CATALOG_OK) {
        return BITMAP_NONE;
    }
    CHECK(run.generation, >, 0);
    return run.index;
}

static unsigned names(void) {
    unsigned count = 0;
    struct pool_run run;
    char name[CATALOG_NAME_BYTES];
    for (unsigned i = 0; (i = catalog_next(&catalog, i, name, &run, &kind)) < CATALOG_NAMES; i++) {
        count++;
    }
    return count;
}

/* --- keeping and forgetting --- */

static void a_name_holds_its_run_until_it_is_forgotten(void) {
    make();
    struct pool_run run = allocate_for(ME, 3), found, held;
    bool set;
    CHECK(keep("model", &run, false), ==, CATALOG_OK);
    CHECK(drop_by(ME, &run), ==, false); /* the catalog holds it */
    CHECK(bitmap_count(&shared.bitmap), ==, 3);
    CHECK(catalog_find(&catalog, "model", &found, &kind), ==, CATALOG_OK);
    CHECK(found.index, ==, run.index);
    CHECK(found.generation, ==, run.generation);
    held = found;
    CHECK(shared_pool_hold(&shared, 2, &held, &set), ==, SHARED_POOL_OK);
    CHECK(held.blocks, ==, 3);
    CHECK(drop_by(2, &held), ==, false);
    sound();
    CHECK(forget("model"), ==, CATALOG_OK);
    CHECK(bitmap_count(&shared.bitmap), ==, 0);
    CHECK(shared_pool_hold(&shared, 2, &found, &set), ==, SHARED_POOL_STALE);
    CHECK(find("model"), ==, BITMAP_NONE);
    unmake();
}

static void forgetting_a_run_that_others_hold_leaves_it_to_them(void) {
    make();
    struct pool_run owned = allocate_for(ME, 2), held = allocate_for(ME, 2);
    bool set;
    CHECK(keep("owned", &owned, false), ==, CATALOG_OK);
    CHECK(keep("held", &held, false), ==, CATALOG_OK);
    CHECK(shared_pool_hold(&shared, 2, &held, &set), ==, SHARED_POOL_OK);
    CHECK(drop_by(ME, &held), ==, false);
    CHECK(forget("owned"), ==, CATALOG_OK);
    CHECK(forget("held"), ==, CATALOG_OK);
    CHECK(bitmap_count(&shared.bitmap), ==, 4);
    CHECK(drop_by(ME, &owned), ==, true);
    CHECK(drop_by(2, &held), ==, true);
    unmake();
}

static void a_name_is_given_once_unless_it_is_to_be_replaced(void) {
    make();
    struct pool_run first = allocate_for(ME, 2), second = allocate_for(ME, 1);
    CHECK(keep("model", &first, false), ==, CATALOG_OK);
    CHECK(keep("model", &second, false), ==, CATALOG_TAKEN);
    CHECK(keep("model", &first, false), ==, CATALOG_TAKEN); /* also by the run that has it */
    CHECK(find("model"), ==, first.index);
    CHECK(shared_pool_is_kept(&shared, &second), ==, false);
    CHECK(keep("model", &first, true), ==, CATALOG_OK); /* it replaces itself */
    CHECK(find("model"), ==, first.index);
    sound();
    CHECK(drop_by(ME, &first), ==, false);
    CHECK(keep("model", &second, true), ==, CATALOG_OK);
    CHECK(bitmap_count(&shared.bitmap), ==, 1); /* the old one had no other holder */
    CHECK(find("model"), ==, second.index);
    CHECK(names(), ==, 1);
    CHECK(keep("other", &second, true), ==, CATALOG_OK); /* nothing there to replace */
    CHECK(names(), ==, 2);
    unmake();
}

static void an_unknown_name_is_unknown(void) {
    make();
    struct pool_run run = allocate_for(ME, 1), not_there = {BLOCKS, 1, 1};
    CHECK(find("model"), ==, BITMAP_NONE);
    CHECK(forget("model"), ==, CATALOG_UNKNOWN);
    CHECK(keep("model", &run, false), ==, CATALOG_OK);
    CHECK(find("mode"), ==, BITMAP_NONE);
    CHECK(find("models"), ==, BITMAP_NONE);
    CHECK(find(""), ==, BITMAP_NONE);
    CHECK(forget("models"), ==, CATALOG_UNKNOWN);
    CHECK(forget("model"), ==, CATALOG_OK);
    CHECK(forget("model"), ==, CATALOG_UNKNOWN);
    CHECK(catalog_next(&catalog, CATALOG_NAMES, (char[CATALOG_NAME_BYTES]){0}, &not_there, &kind), ==, CATALOG_NAMES);
    unmake();
}

static void only_who_holds_a_run_can_give_it_a_name(void) {
    make();
    struct pool_run others = allocate_for(2, 1), gone = allocate_for(ME, 1);
    CHECK(drop_by(ME, &gone), ==, true);
    CHECK(keep("others", &others, false), ==, CATALOG_CORRUPT);
    CHECK(keep("gone", &gone, false), ==, CATALOG_CORRUPT);
    CHECK(names(), ==, 0);
    CHECK(keep("model", &others, true), ==, CATALOG_CORRUPT);
    struct pool_run mine = allocate_for(ME, 1);
    CHECK(keep("model", &mine, true), ==, CATALOG_OK);
    CHECK(keep("model", &others, true), ==, CATALOG_CORRUPT);
    CHECK(find("model"), ==, mine.index);
    unmake();
}

static void a_catalog_has_room_for_256_names(void) {
    char name[16];
    make();
    struct pool_run runs[CATALOG_NAMES], one_more = allocate_for(ME, 1);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        runs[i] = allocate_for(ME, 1);
        snprintf(name, sizeof name, "n%u", i);
        CHECK(keep(name, &runs[i], false), ==, CATALOG_OK);
    }
    CHECK(keep("one more", &one_more, false), ==, CATALOG_FULL);
    CHECK(keep("one more", &one_more, true), ==, CATALOG_FULL);
    CHECK(shared_pool_is_kept(&shared, &one_more), ==, false);
    CHECK(keep("n100", &one_more, true), ==, CATALOG_OK);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        snprintf(name, sizeof name, "n%u", i);
        CHECK(find(name), ==, i == 100 ? one_more.index : runs[i].index);
    }
    CHECK(names(), ==, CATALOG_NAMES);
    sound();
    CHECK(forget("n7"), ==, CATALOG_OK); /* the last entry still has a name */
    CHECK(keep("in between", &runs[7], false), ==, CATALOG_OK);
    CHECK(find("in between"), ==, runs[7].index);
    CHECK(find("n255"), ==, runs[255].index);
    CHECK(forget("in between"), ==, CATALOG_OK);
    CHECK(forget("n255"), ==, CATALOG_OK);
    CHECK(names(), ==, CATALOG_NAMES - 2);
    CHECK(keep("one more", &one_more, false), ==, CATALOG_OK);
    CHECK(keep("two more", &one_more, false), ==, CATALOG_OK);
    CHECK(keep("three more", &one_more, false), ==, CATALOG_FULL);
    CHECK(find("two more"), ==, one_more.index);
    unmake();
}

static void names_of_any_length_come_back_up_to_231_bytes(void) {
    static const unsigned lengths[] = {0, 1, 7, 8, 9, 180, 230, 231};
    char name[400], found[CATALOG_NAME_BYTES], cut[CATALOG_NAME_BYTES];
    make();
    struct pool_run runs[8], run;
    for (unsigned i = 0; i < 8; i++) {
        runs[i] = allocate_for(ME, 1);
        memset(name, 0xe0 + (int)i, lengths[i]);
        name[lengths[i]] = 0;
        CHECK(keep(name, &runs[i], false), ==, CATALOG_OK);
        CHECK(find(name), ==, runs[i].index);
        memset(found, 'x', sizeof found);
        CHECK(catalog_next(&catalog, i, found, &run, &kind), ==, i);
        CHECK(strcmp(found, name), ==, 0);
        CHECK(run.index, ==, runs[i].index);
        CHECK(run.generation, ==, runs[i].generation);
    }
    memset(name, 'l', sizeof name); /* longer ones are cut: what follows makes no difference */
    name[399] = 0;
    memcpy(cut, name, sizeof cut);
    cut[CATALOG_NAME_BYTES - 1] = 0;
    CHECK(keep(name, &runs[0], false), ==, CATALOG_OK);
    CHECK(keep(cut, &runs[0], false), ==, CATALOG_TAKEN);
    name[CATALOG_NAME_BYTES] = 0;
    CHECK(find(name), ==, runs[0].index);
    CHECK(find(cut), ==, runs[0].index);
    cut[CATALOG_NAME_BYTES - 2] = 0;
    CHECK(find(cut), ==, BITMAP_NONE);
    CHECK(catalog_next(&catalog, 8, found, &run, &kind), ==, 8);
    CHECK(strlen(found), ==, CATALOG_NAME_BYTES - 1);
    unmake();
}

static void a_shorter_name_leaves_nothing_of_a_longer_one(void) {
    make();
    struct pool_run run = allocate_for(ME, 1);
    CHECK(keep("a name that is much longer", &run, false), ==, CATALOG_OK);
    CHECK(forget("a name that is much longer"), ==, CATALOG_OK);
    CHECK(keep("a name", &run, false), ==, CATALOG_OK);
    CHECK(find("a name"), ==, run.index);
    CHECK(find("a name that is much longer"), ==, BITMAP_NONE);
    unmake();
}

static void a_run_with_two_names_is_kept_until_the_last_is_forgotten(void) {
    make();
    struct pool_run run = allocate_for(ME, 2), next = allocate_for(ME, 1);
    CHECK(keep("first", &run, false), ==, CATALOG_OK);
    CHECK(keep("second", &run, false), ==, CATALOG_OK);
    CHECK(keep("third", &run, false), ==, CATALOG_OK);
    CHECK(drop_by(ME, &run), ==, false);
    CHECK(forget("first"), ==, CATALOG_OK);
    CHECK(shared_pool_is_kept(&shared, &run), ==, true);
    CHECK(keep("third", &next, true), ==, CATALOG_OK); /* replacing takes a name too */
    CHECK(shared_pool_is_kept(&shared, &run), ==, true);
    CHECK(find("second"), ==, run.index);
    sound();
    CHECK(forget("second"), ==, CATALOG_OK);
    CHECK(head_word(&run), ==, LEDGER_FREE);
    CHECK(find("third"), ==, next.index);
    unmake();
}

/* --- beside readers --- */

static struct pool_run old_run, new_run;
static uint64_t seen[3]; /* how often a reader found the old run, the new one, none */

/* What a reader finds at this moment; the run is there, and the catalog holds it. */
static void read_model(void) {
    struct pool_run run;
    if (catalog_find(&catalog, "model", &run, &kind) != CATALOG_OK) {
        seen[2]++;
        return;
    }
    bool is_new = run.index == new_run.index;
    CHECK(is_new || run.index == old_run.index, ==, true);
    CHECK(shared_pool_is_kept(&shared, &run), ==, true);
    seen[is_new]++;
}

/* Runs the change once for each of its accesses, with a reader right before it. */
static void read_during(void (*given)(void), void (*change)(void)) {
    bool came = true;
    memset(seen, 0, sizeof seen);
    for (uint64_t k = 1; came; k++) {
        make();
        old_run = allocate_for(ME, 3);
        new_run = allocate_for(ME, 2);
        given();
        (void)drop_by(ME, &old_run);
        at_access(k, read_model);
        change();
        came = access_came();
        unmake();
    }
}

static void give_old(void) { CHECK(keep("model", &old_run, false), ==, CATALOG_OK); }
static void replace_it(void) { CHECK(keep("model", &new_run, true), ==, CATALOG_OK); }
static void give_new(void) { CHECK(keep("model", &new_run, false), ==, CATALOG_OK); }
static void forget_it(void) { CHECK(forget("model"), ==, CATALOG_OK); }
static void give_another(void) { CHECK(keep("another", &old_run, false), ==, CATALOG_OK); }

static void a_reader_finds_the_old_run_or_the_new_one_while_a_name_is_replaced(void) {
    read_during(give_old, replace_it);
    CHECK(seen[2], ==, 0);
    CHECK(seen[0], >, 0);
    CHECK(seen[1], >, 0);
}

static void a_reader_finds_a_run_or_none_while_a_name_comes_or_goes(void) {
    read_during(give_another, give_new);
    CHECK(seen[0], ==, 0);
    CHECK(seen[1] + seen[2], >, 10);
    read_during(give_old, forget_it);
    CHECK(seen[1], ==, 0);
    CHECK(seen[0], >, 10);
    CHECK(seen[2], >, 10);
}

/* The entry of "model" gets another name and another run. */
static void reuse_the_entry(void) {
    CHECK(forget("model"), ==, CATALOG_OK);
    CHECK(keep("other", &new_run, false), ==, CATALOG_OK);
}

static void a_reader_that_is_overtaken_finds_no_other_names_run(void) {
    bool came = true;
    uint64_t found_old = 0, found_none = 0;
    for (uint64_t k = 1; came; k++) {
        came = false;
        struct pool_run run, listed = {BITMAP_NONE, 0, 0};
        char name[CATALOG_NAME_BYTES];
        for (unsigned list = 0; list < 2; list++) {
            make();
            old_run = allocate_for(ME, 1);
            new_run = allocate_for(ME, 1);
            CHECK(keep("model", &old_run, false), ==, CATALOG_OK);
            at_access(k, reuse_the_entry);
            if (list) {
                unsigned at = catalog_next(&catalog, 0, name, &listed, &kind);
                bool is_old = at == 0 && strcmp(name, "model") == 0 && listed.index == old_run.index,
                     is_new = at == 0 && strcmp(name, "other") == 0 && listed.index == new_run.index;
                CHECK(is_old || is_new || at == CATALOG_NAMES, ==, true);
            } else if (catalog_find(&catalog, "model", &run, &kind) == CATALOG_OK) {
                CHECK(run.index, ==, old_run.index);
                found_old++;
            } else {
                found_none++;
            }
            came |= access_came();
            unmake();
        }
    }
    CHECK(found_old, >, 0);
    CHECK(found_none, >, 0);
}

/* --- death --- */

static struct pool_run first, second, third;

/* As attachment_recover_slots does. */
static void recover_me(void) {
    struct slot_set dead = set_of(bit_of(ME));
    shared_pool_recover(&shared, &dead, LEDGER_RECOVERY, 0, shared.blocks);
    catalog_recover(&catalog, &shared, 0, BLOCKS);
    (void)shared_pool_mend(&shared, 0, BLOCKS);
}

static void die_keeping(void) { (void)!keep("new", &third, false); }
static void die_keeping_again(void) { (void)!keep("again", &first, false); }
static void die_replacing(void) { (void)!keep("one", &third, true); }
static void die_replacing_one_of_two(void) { (void)!keep("two", &third, true); }
static void die_forgetting(void) { (void)!forget("one"); }
static void die_forgetting_one_of_two(void) { (void)!forget("two"); }

/* The process dies right before each access of the change, and is recovered; or the recoverer dies too, right before
 * each of its accesses, and another one recovers. */
static void who_dies_at_any_access_leaves_no_run_without_a_name(void) {
    static void (*const changes[])(void) = {die_keeping,    die_keeping_again,
                                            die_replacing,  die_replacing_one_of_two,
                                            die_forgetting, die_forgetting_one_of_two};
    static const char *const changed[] = {"new", "again", "one", "two", "one", "two"};
    for (unsigned c = 0; c < sizeof changes / sizeof *changes; c++) {
        bool came = true;
        uint64_t outcomes = 0;
        for (uint64_t k = 1; came; k++) {
            make();
            first = allocate_for(0, 2), second = allocate_for(0, 3), third = allocate_for(0, 1);
            struct pool_run *runs[] = {&first, &second, &third};
            for (unsigned r = 0; r < 3; r++) {
                bool set;
                CHECK(shared_pool_hold(&shared, ME, runs[r], &set), ==, SHARED_POOL_OK);
            }
            CHECK(keep("one", &first, false) + keep("two", &second, false) + keep("too", &second, false), ==, 0);
            CHECK(drop_by(0, &first) + drop_by(0, &second) + drop_by(0, &third), ==,
                  0); /* the dead one alone holds them */
            at_access(k, die);
            until_death(changes[c]);
            came = access_came();
            if (k % 3 == 0) { /* who recovers dies too */
                at_access(1 + k * 7 % 600, die);
                until_death(recover_me);
                (void)access_came();
            }
            recover_me();
            sound();
            CHECK(find("too"), ==, second.index);
            bool was = c >= 2, there = find(changed[c]) != BITMAP_NONE;
            outcomes |= there ? (find(changed[c]) == third.index ? 2u : 1u) : 4u;
            for (unsigned n = 0; n < 2; n++) { /* names that nobody changed */
                const char *name = n ? "two" : "one";
                if (strcmp(name, changed[c]) != 0) {
                    CHECK(find(name), ==, n ? second.index : first.index);
                }
            }
            CHECK(names(), ==, (was ? 2 : 3) + there);
            struct pool_run filler = allocate_for(ME, 1); /* every entry without a name can have one */
            unsigned had = names();
            for (unsigned i = had; i < CATALOG_NAMES; i++) {
                char name[16];
                snprintf(name, sizeof name, "filler%u", i);
                CHECK(keep(name, &filler, false), ==, CATALOG_OK);
                CHECK(find(name), ==, filler.index);
            }
            CHECK(names(), ==, CATALOG_NAMES);
            CHECK(keep("one too many", &filler, false), ==, CATALOG_FULL);
            CHECK(there, ==, find(changed[c]) != BITMAP_NONE);
            unmake();
        }
        /* at some access it is as before, at some as after */
        static const uint64_t expected[] = {4 | 2, 4 | 1, 1 | 2, 1 | 2, 1 | 4, 1 | 4};
        CHECK(outcomes, ==, expected[c]);
    }
}

static void a_name_written_halfway_is_none_and_its_entry_is_used_again(void) {
    make();
    struct pool_run run = allocate_for(ME, 1), found;
    char name[CATALOG_NAME_BYTES];
    memset((void *)catalog.entries[0].name, 'x', sizeof catalog.entries[0].name);
    store_relaxed(&catalog.entries[0].sequence, 5);
    CHECK(catalog_next(&catalog, 0, name, &found, &kind), ==, CATALOG_NAMES);
    CHECK(keep("model", &run, false), ==, CATALOG_OK);
    CHECK(catalog_next(&catalog, 0, name, &found, &kind), ==, 0);
    CHECK(strcmp(name, "model"), ==, 0);
    CHECK(load_relaxed(&catalog.entries[0].sequence), ==, 6);
    CHECK(forget("model"), ==, CATALOG_OK);
    unmake();
}

/* --- damage --- */

static void an_entry_whose_run_is_not_there_is_a_fault(void) {
    make();
    struct pool_run run = allocate_for(ME, 2), free_run = allocate_for(ME, 1), unkept = allocate_for(ME, 1);
    CHECK(keep("a", &run, false) + keep("b", &run, false) + keep("c", &run, false), ==, 0);
    CHECK(drop_by(ME, &free_run), ==, true);
    uint64_t good = load_relaxed(&catalog.entries[1].run);
    const uint64_t bad[] = {
        good + 1,                                   /* another generation */
        good + (UINT64_C(1) << 40),                 /* a block inside the run */
        (uint64_t)BLOCKS << 40 | 1,                 /* no block */
        UINT64_MAX,                                 /* nor this */
        free_run.index << 40 | free_run.generation, /* a free block */
        unkept.index << 40 | unkept.generation,     /* a run that is not kept */
        good + (UINT64_C(1) << 31),                 /* another generation whose low bits are the same */
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        store_relaxed(&catalog.entries[1].run, bad[i]);
        CHECK(catalog_fault(&catalog, 0), ==, 1);
        CHECK(catalog_fault(&catalog, 1), ==, 1);
        CHECK(catalog_fault(&catalog, 2), ==, CATALOG_NAMES);
        store_relaxed(&catalog.entries[255].run, bad[i]);
        CHECK(catalog_fault(&catalog, 2), ==, 255);
        store_relaxed(&catalog.entries[255].run, 0);
        if (i < 6) {
            CHECK(forget("b"), ==, CATALOG_OK); /* harms no other run */
            CHECK(load_relaxed(&catalog.entries[1].run), ==, 0);
            CHECK(shared_pool_is_kept(&shared, &run), ==, true);
        }
        store_relaxed(&catalog.entries[1].run, good);
    }
    CHECK(catalog_fault(&catalog, 0), ==, CATALOG_NAMES);
    CHECK(drop_by(ME, &unkept), ==, true);
    CHECK(drop_by(ME, &run), ==, false);
    unmake();
}

static void a_name_without_an_end_ends(void) {
    make();
    struct pool_run run = allocate_for(ME, 1), found;
    char name[CATALOG_NAME_BYTES];
    CHECK(keep("model", &run, false), ==, CATALOG_OK);
    memset((void *)catalog.entries[0].name, 'x', sizeof catalog.entries[0].name);
    memset(name, 'y', sizeof name);
    CHECK(catalog_next(&catalog, 0, name, &found, &kind), ==, 0);
    CHECK(memchr(name, 0, sizeof name) == name + CATALOG_NAME_BYTES - 1, ==, true);
    CHECK(drop_by(ME, &run), ==, false);
    unmake();
}

static void random_bytes_do_no_harm(void) {
    for (unsigned round = 0; round < 3000; round++) {
        char name[CATALOG_NAME_BYTES];
        struct pool_run runs[4], run;
        make();
        for (unsigned i = 0; i < 4; i++) {
            runs[i] = allocate_for(ME, 1 + i);
            snprintf(name, sizeof name, "n%u", i);
            CHECK(keep(name, &runs[i], false), ==, CATALOG_OK);
        }
        unsigned char *place = (unsigned char *)catalog.entries;
        uint64_t bytes = check_below(2) ? 4 * sizeof *catalog.entries : CATALOG_NAMES * sizeof *catalog.entries,
                 damages = 1 + check_below(round % 3 ? 4 : 2000);
        if (check_below(4) == 0) { /* the ledger too */
            bytes += BLOCKS * 64;
        }
        for (uint64_t i = 0; i < damages; i++) {
            place[check_below(bytes)] = (unsigned char)check_below(256);
        }
        for (unsigned i = 0; i < 6; i++) {
            snprintf(name, sizeof name, "n%u", i);
            if (catalog_find(&catalog, name, &run, &kind) == CATALOG_OK) {
                bool set;
                CHECK(run.index, <, UINT64_C(1) << 24);
                if (shared_pool_hold(&shared, 2, &run, &set) == SHARED_POOL_OK) {
                    CHECK(run.index < BLOCKS && run.blocks >= 1 && run.blocks <= BLOCKS - run.index, ==, true);
                }
            }
        }
        unsigned before = 0, looks = 0;
        for (unsigned i = 0; (i = catalog_next(&catalog, i, name, &run, &kind)) < CATALOG_NAMES; i++, looks++) {
            CHECK(i >= before && looks < CATALOG_NAMES, ==, true);
            CHECK(memchr(name, 0, sizeof name) != NULL, ==, true);
            before = i;
        }
        struct pool_run fresh;
        if (shared_pool_allocate(&shared, ME, 1, 0, 0, &fresh) == SHARED_POOL_OK && fresh.index != BITMAP_NONE) {
            enum catalog_status status = keep("n1", &fresh, true);
            CHECK(status == CATALOG_OK || status == CATALOG_FULL, ==, true);
        }
        (void)!forget("n0");
        (void)!forget("n3");
        CHECK(catalog_fault(&catalog, 0), <=, CATALOG_NAMES);
        recover_me();
        CHECK(catalog_fault(&catalog, 0), <=, CATALOG_NAMES);
        free(memory);
    }
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    RUN(a_name_holds_its_run_until_it_is_forgotten);
    RUN(forgetting_a_run_that_others_hold_leaves_it_to_them);
    RUN(a_name_is_given_once_unless_it_is_to_be_replaced);
    RUN(an_unknown_name_is_unknown);
    RUN(only_who_holds_a_run_can_give_it_a_name);
    RUN(a_catalog_has_room_for_256_names);
    RUN(names_of_any_length_come_back_up_to_231_bytes);
    RUN(a_shorter_name_leaves_nothing_of_a_longer_one);
    RUN(a_run_with_two_names_is_kept_until_the_last_is_forgotten);
    RUN(a_reader_finds_the_old_run_or_the_new_one_while_a_name_is_replaced);
    RUN(a_reader_finds_a_run_or_none_while_a_name_comes_or_goes);
    RUN(a_reader_that_is_overtaken_finds_no_other_names_run);
    RUN(who_dies_at_any_access_leaves_no_run_without_a_name);
    RUN(a_name_written_halfway_is_none_and_its_entry_is_used_again);
    RUN(an_entry_whose_run_is_not_there_is_a_fault);
    RUN(a_name_without_an_end_ends);
    RUN(random_bytes_do_no_harm);
    return check_end();
}
