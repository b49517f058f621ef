/* Tests of sites.c: what debug mode of shared pools finds and tells, also of processes that are dead. */
#include "process.h"

#include "shared/look.h"
#include "shared/sites.h"

#include "one_pool.h"

#define SIZE ((uint64_t)BLOCK)

static struct site_finding finding;
static struct site_story story;

static void make_debug(void) {
    snprintf(name, sizeof name, "%s", process_name());
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .debug = true,
                                         .gate_seconds = PATIENCE};
    memset(page->told, 0, sizeof page->told);
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
}

static struct site *site_at(uint64_t index) {
    return (struct site *)(void *)((char *)attachment.memory + layout_site_at(&attachment.geometry, index));
}

/* Allocates n blocks of which `nbytes` are asked for, and does not issue them. */
static struct pool_run claim(struct attachment *whose, uint64_t n, uint64_t nbytes) {
    struct pool_run run = {BITMAP_NONE, 0, 0};
    CHECK(attachment_allocate(whose, n, n * SIZE - nbytes, &run), ==, POOL_OK);
    return run;
}

static bool issue(struct attachment *whose, const struct pool_run *run, uint64_t nbytes, const char *text) {
    struct site_caller caller = {.thread = 7, .text = text, .length = (unsigned)strlen(text)};
    return sites_issue(whose, run, nbytes, &caller, &finding);
}

static struct pool_run issued(struct attachment *whose, uint64_t n, uint64_t nbytes, const char *text) {
    struct pool_run run = claim(whose, n, nbytes);
    CHECK(issue(whose, &run, nbytes, text), ==, true);
    return run;
}

static bool drop_as(const struct pool_run *run, const char *text) {
    struct site_caller caller = {.thread = 8, .text = text, .length = (unsigned)strlen(text)};
    sites_set_caller(&caller);
    bool freed = drop(run);
    sites_set_caller(NULL);
    return freed;
}

static bool holds(const struct pool_run *run, uint64_t from, uint64_t to, unsigned with) {
    bool all = true;
    for (uint64_t i = from; i < to; i++) {
        all = all && bytes_of(&attachment, run)[i] == with;
    }
    return all;
}

static bool says(const struct site_told *told, const char *text) {
    return told->length == strlen(text) && memcmp(told->text, text, told->length) == 0;
}

/* --- patterns --- */

static void a_run_is_filled_when_it_is_issued_and_when_it_is_freed(void) {
    make_debug();
    struct pool_run run = issued(&attachment, 2, 70, "here");
    CHECK(holds(&run, 0, 70, SITE_CLEAN), ==, true);
    CHECK(holds(&run, 70, 128, SITE_CANARY), ==, true);
    memset(bytes_of(&attachment, &run), 1, 70);
    CHECK(sites_are_sound(&attachment, &run, &finding), ==, true);
    CHECK(drop(&run), ==, true);
    CHECK(holds(&run, 0, 128, SITE_DEAD), ==, true);
    CHECK(sites_next_damage(&attachment, 0, &finding), ==, false);
    struct pool_run again = issued(&attachment, 2, 128, "here");
    CHECK(again.index, ==, run.index);
    CHECK(holds(&again, 0, 128, SITE_CLEAN), ==, true);
    CHECK(drop(&again), ==, true);
    unmake();
}

static void every_byte_of_the_slack_is_watched(void) {
    make_debug();
    for (uint64_t at = 70; at < 128; at++) {
        struct pool_run run = issued(&attachment, 2, 70, "here");
        bytes_of(&attachment, &run)[at] = 3;
        CHECK(sites_are_sound(&attachment, &run, &finding), ==, false);
        CHECK(finding.found, ==, SITE_OVERRUN);
        CHECK(finding.at, ==, at);
        CHECK(finding.byte, ==, 3);
        CHECK(finding.known, ==, true);
        CHECK(says(&finding.story.allocated, "here"), ==, true);
        CHECK(finding.story.allocated.process, ==, getpid());
        CHECK(finding.story.allocated.thread, ==, 7);
        CHECK(drop(&run), ==, true);
        CHECK(sites_next_damage(&attachment, 0, &finding), ==, false); /* it was told */
    }
    unmake();
}

static void damage_that_nobody_was_told_of_is_noted_and_told_once(void) {
    make_debug();
    for (unsigned taken_back = 0; taken_back < 2; taken_back++) {
        struct pool_run run = issued(&attachment, 2, 100, "who did it");
        bytes_of(&attachment, &run)[101] = 9;
        if (taken_back) {
            CHECK(sites_are_sound(&attachment, &run, &finding), ==, false);
            sites_take_back(&attachment, &run);
        }
        CHECK(drop_as(&run, "the end"), ==, true);
        for (unsigned looks = 0; looks < 2; looks++) {
            CHECK(sites_next_damage(&attachment, 0, &finding), ==, true);
            CHECK(finding.found, ==, SITE_OVERRUN);
            CHECK(finding.block, ==, run.index);
            CHECK(finding.at, ==, 101);
            CHECK(finding.byte, ==, 9);
            CHECK(says(&finding.story.allocated, "who did it"), ==, true);
            CHECK(says(&finding.story.freed, "the end"), ==, true);
        }
        CHECK(sites_next_damage(&attachment, run.index + 1, &finding), ==, false);
        struct pool_run next = claim(&attachment, 3, 192);
        CHECK(next.index, ==, run.index);
        CHECK(issue(&attachment, &next, 192, "innocent"), ==, false);
        CHECK(finding.found, ==, SITE_OVERRUN);
        CHECK(says(&finding.story.allocated, "who did it"), ==, true);
        CHECK(drop(&next), ==, true);
        next = issued(&attachment, 3, 192, "innocent");
        CHECK(drop(&next), ==, true);
    }
    unmake();
}

static void a_write_after_free_is_told_once_with_both_stacks(void) {
    make_debug();
    for (uint64_t at = 0; at < 192; at += 13) {
        struct pool_run run = issued(&attachment, 3, 192, "first"), next;
        CHECK(drop_as(&run, "last"), ==, true);
        bytes_of(&attachment, &run)[at] = 5;
        if (at < 64) {
            next = claim(&attachment, 1, 64);
            CHECK(issue(&attachment, &next, 64, "next"), ==, false);
        } else { /* the blocks go to different runs */
            struct pool_run one = issued(&attachment, 1, 64, "another");
            CHECK(one.index, ==, run.index);
            next = claim(&attachment, 2, 128);
            CHECK(issue(&attachment, &next, 128, "next"), ==, false);
            CHECK(drop(&one), ==, true);
        }
        CHECK(finding.found, ==, SITE_WRITTEN);
        CHECK(finding.at, ==, at);
        CHECK(finding.byte, ==, 5);
        CHECK(finding.known, ==, true);
        CHECK(finding.story.index, ==, run.index);
        CHECK(finding.story.blocks, ==, 3);
        CHECK(says(&finding.story.allocated, "first"), ==, true);
        CHECK(says(&finding.story.freed, "last"), ==, true);
        CHECK(finding.story.freed.thread, ==, 8);
        CHECK(drop(&next), ==, true);
        next = issued(&attachment, 3, 192, "next");
        CHECK(drop(&next), ==, true);
    }
    unmake();
}

static void a_run_that_was_never_issued_ends_as_it_was(void) {
    make_debug();
    struct pool_run run = issued(&attachment, 2, 128, "first"), next;
    CHECK(drop(&run), ==, true);
    next = claim(&attachment, 2, 70); /* its owner dies, or is told of damage, before it is issued */
    CHECK(sites_are_sound(&attachment, &next, &finding), ==, true);
    CHECK(drop(&next), ==, true);
    CHECK(sites_next_damage(&attachment, 0, &finding), ==, false);
    bytes_of(&attachment, &run)[100] = 1; /* and what follows is still found */
    next = claim(&attachment, 2, 70);
    CHECK(issue(&attachment, &next, 70, "next"), ==, false);
    CHECK(finding.at, ==, 100);
    CHECK(drop(&next), ==, true);
    unmake();
}

static void an_end_that_a_death_cut_short_is_completed(void) {
    make_debug();
    struct pool_run run = issued(&attachment, 3, 100, "first");
    /* as if killed after the canary was found whole, while the blocks were being filled */
    store_seq(&site_at(run.index)->state, run.generation << 2 | SITE_ENDING);
    memset(bytes_of(&attachment, &run), SITE_DEAD, 120);
    CHECK(drop(&run), ==, true);
    CHECK(sites_next_damage(&attachment, 0, &finding), ==, false);
    CHECK(holds(&run, 0, 192, SITE_DEAD), ==, true);
    for (uint64_t d = 0; d < 3; d++) {
        CHECK(load_seq(&site_at(run.index + d)->dead), ==, SITE_IS_DEAD);
    }
    CHECK(load_seq(&site_at(run.index)->state), ==, run.generation << 2 | SITE_OVER);
    /* killed while a block was being filled: it is not marked, and nobody looks at it */
    store_seq(&site_at(run.index + 1)->dead, 0);
    bytes_of(&attachment, &run)[64] = 1;
    run = issued(&attachment, 3, 192, "next");
    CHECK(drop(&run), ==, true);
    unmake();
}

/* --- stories --- */

static void a_story_is_that_of_the_live_run(void) {
    make_debug();
    struct pool_run run = issued(&attachment, 2, 100, "here");
    CHECK(sites_story(&attachment, &run, &story), ==, true);
    CHECK(story.index, ==, run.index);
    CHECK(story.blocks, ==, 2);
    CHECK(story.nbytes, ==, 100);
    CHECK(story.allocated.process, ==, getpid());
    CHECK(says(&story.allocated, "here"), ==, true);
    CHECK(story.freed.process, ==, 0);
    struct pool_run stale = {run.index, 2, run.generation - 1}, beyond = {BLOCKS, 1, 1}, far = {UINT64_MAX, 1, 1};
    CHECK(sites_story(&attachment, &stale, &story), ==, false);
    CHECK(sites_story(&attachment, &beyond, &story), ==, false);
    CHECK(sites_story(&attachment, &far, &story), ==, false);
    CHECK(drop(&run), ==, true);
    CHECK(sites_story(&attachment, &run, &story), ==, false);
    struct pool_run bare = claim(&attachment, 1, 64);
    CHECK(sites_story(&attachment, &bare, &story), ==, false);
    CHECK(drop(&bare), ==, true);
    unmake();
}

static void texts_of_any_length_are_kept_whole(void) {
    static char text[SITE_TEXT_MOST + 1];
    make_debug();
    for (unsigned length = 0; length <= SITE_TEXT_MOST; length++) {
        memset(text, 0, sizeof text);
        memset(text, 'a' + (int)(length % 26), length);
        struct pool_run run = issued(&attachment, 1, 64, text);
        CHECK(sites_story(&attachment, &run, &story), ==, true);
        CHECK(says(&story.allocated, text), ==, true);
        CHECK(drop(&run), ==, true);
    }
    unmake();
}

static void a_process_allocates(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = issued(&other, 2, 100, "in another process"), again;
    tell_run(1, &run);
    if (told(3)) {
        bytes_of(&other, &run)[110] = 4;
    }
    again = issued(&other, 1, 64, "in another process");
    CHECK(drop_from(&other, &again), ==, true);
    reach(1);
    stay();
}

static void the_story_of_a_dead_process_stays_and_its_damage_is_noted(void) {
    for (unsigned damaged = 0; damaged < 2; damaged++) {
        struct attachment look;
        struct os_file file;
        make_debug();
        tell(3, damaged);
        pid_t child = start(a_process_allocates);
        await(1);
        kill_and_wait(child);
        struct pool_run run = told_run(1);
        CHECK(look_open(&look, name, &file, &failure), ==, POOL_OK);
        CHECK(sites_story(&look, &run, &story), ==, true);
        CHECK(story.allocated.process, ==, child);
        CHECK(says(&story.allocated, "in another process"), ==, true);
        CHECK(recover(), ==, 1);
        CHECK(sites_story(&look, &run, &story), ==, false);
        CHECK(sites_next_damage(&look, 0, &finding), ==, damaged);
        if (damaged) {
            CHECK(finding.at, ==, 110);
            CHECK(finding.story.allocated.process, ==, child);
            CHECK(finding.story.freed.process, ==, getpid());
            CHECK(finding.story.freed.length, ==, 0);
        }
        attachment_unmap(&look);
        CHECK(holds(&run, 0, 128, SITE_DEAD), ==, true);
        if (damaged) {
            struct pool_run next = claim(&attachment, 2, 128);
            CHECK(issue(&attachment, &next, 128, "next"), ==, false);
            CHECK(drop(&next), ==, true);
        }
        unmake();
    }
}

/* --- others, and damage --- */

static void another_holder_sees_the_damage_too(void) {
    make_debug();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = issued(&attachment, 1, 10, "here"), theirs = run;
    CHECK(attachment_add_reference(&other, &theirs), ==, POOL_OK);
    bytes_of(&other, &theirs)[10] = 1;
    CHECK(sites_are_sound(&attachment, &run, &finding), ==, false);
    CHECK(drop(&run), ==, false);
    CHECK(sites_are_sound(&other, &theirs, &finding), ==, false);
    CHECK(finding.story.allocated.process, ==, getpid());
    CHECK(drop_from(&other, &theirs), ==, true);
    CHECK(sites_next_damage(&attachment, 0, &finding), ==, false);
    end(&other);
    unmake();
}

static void a_pool_without_debug_mode_has_no_sites(void) {
    make();
    CHECK(sites_are_kept(&attachment), ==, false);
    CHECK(load_flag(attachment.shared.watch.on), ==, 0);
    struct layout_geometry with = attachment.geometry;
    with.flags |= LAYOUT_DEBUG;
    CHECK(layout_plan(&with, BLOCK, BLOCKS, PROCESSES, with.small_blocks), ==, true);
    CHECK(with.data_at - attachment.geometry.data_at, >=, BLOCKS * sizeof(struct site));
    CHECK(with.data_at - attachment.geometry.data_at, <=, BLOCKS * sizeof(struct site) + 2 * LAYOUT_PAGE);
    struct pool_run run = allocate(2);
    fill(&attachment, &run, 1);
    CHECK(sites_story(&attachment, &run, &story), ==, false);
    CHECK(sites_next_damage(&attachment, 0, &finding), ==, false);
    CHECK(drop(&run), ==, true);
    CHECK(is_filled(&attachment, &run, 1), ==, true);
    unmake();
}

/* Whatever the sites hold, calls end, stay within the pool and leave the ledger sound. */
static void damaged_sites_do_no_harm(void) {
    make_debug();
    for (unsigned round = 0; round < 300; round++) {
        struct pool_run run = issued(&attachment, 3, 100 + check_below(92), "here"), next;
        for (unsigned times = 0; times < 20; times++) {
            atomic_word *words = (atomic_word *)(void *)site_at(run.index + check_below(4));
            uint64_t value = check_random() >> check_below(64);
            value = check_below(3) ? value : check_below(2) ? run.generation << 2 | check_below(4) : SITE_IS_DEAD;
            store_seq(&words[check_below(2) ? check_below(16) : check_below(sizeof(struct site) / 8)], value);
        }
        if (sites_story(&attachment, &run, &story)) {
            CHECK(story.allocated.length, <=, SITE_TEXT_MOST);
            CHECK(story.freed.length, <=, SITE_TEXT_MOST);
            CHECK(story.index, ==, run.index);
        }
        for (uint64_t at = 0; sites_next_damage(&attachment, at, &finding); at = finding.block + 1) {
            CHECK(finding.block, <, BLOCKS);
            CHECK(!finding.known || finding.story.index + finding.story.blocks <= BLOCKS, ==, true);
        }
        if (!sites_are_sound(&attachment, &run, &finding)) {
            CHECK(finding.at, <, 192);
        }
        CHECK(drop(&run), ==, true);
        for (unsigned tries = 0;; tries++) { /* each finding is told once */
            next = claim(&attachment, 4, 256);
            bool good = issue(&attachment, &next, 256, "next");
            CHECK(drop(&next), ==, true);
            if (good) {
                break;
            }
            CHECK(tries, <, 8);
        }
    }
    unmake();
}

int main(int argc, char **argv) {
    check_seed(argc, argv);
    process_begin();
    RUN(a_run_is_filled_when_it_is_issued_and_when_it_is_freed);
    RUN(every_byte_of_the_slack_is_watched);
    RUN(damage_that_nobody_was_told_of_is_noted_and_told_once);
    RUN(a_write_after_free_is_told_once_with_both_stacks);
    RUN(a_run_that_was_never_issued_ends_as_it_was);
    RUN(an_end_that_a_death_cut_short_is_completed);
    RUN(a_story_is_that_of_the_live_run);
    RUN(texts_of_any_length_are_kept_whole);
    RUN(the_story_of_a_dead_process_stays_and_its_damage_is_noted);
    RUN(another_holder_sees_the_damage_too);
    RUN(a_pool_without_debug_mode_has_no_sites);
    RUN(damaged_sites_do_no_harm);
    CHECK(process_end(), ==, 0);
    return check_end();
}
