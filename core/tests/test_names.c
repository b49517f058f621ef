/* Tests of names.c: names given, found and forgotten by several attachments, and what is left of them when processes
 * die or cannot take part. */
#include "accesses.h"

#include "shared/catalog.c"
#include "shared/names.c"

#include "one_pool.h"

static enum pool_status keep_in(struct attachment *whose, const char *what, const struct pool_run *run, bool replace) {
    return attachment_keep(whose, what, run, replace, PATIENCE, &failure);
}

static enum pool_status forget_in(struct attachment *whose, const char *what) {
    return attachment_forget(whose, what, PATIENCE, &failure);
}

static unsigned kind; /* of what was found last */

static unsigned names_in(const struct attachment *whose) {
    unsigned found = 0;
    struct pool_run run;
    char what[CATALOG_NAME_BYTES];
    for (unsigned i = 0; (i = attachment_next_name(whose, i, what, &run, &kind)) < CATALOG_NAMES; i++) {
        found++;
    }
    return found;
}

static void a_name_leads_every_attachment_to_the_run(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate(3), got = {0, 0, 0}, listed = got;
    char what[CATALOG_NAME_BYTES];
    fill(&attachment, &run, 4);
    CHECK(attachment_get(&other, "model", &got), ==, POOL_NOT_FOUND);
    CHECK(forget_in(&other, "model"), ==, POOL_NOT_FOUND);
    CHECK(keep_in(&attachment, "model", &run, false), ==, POOL_OK);
    CHECK(keep_in(&other, "model", &run, false), ==, POOL_EXISTS);
    CHECK(drop(&run), ==, false); /* the catalog holds it */
    CHECK(attachment_get(&other, "model", &got), ==, POOL_OK);
    CHECK(got.index, ==, run.index);
    CHECK(got.generation, ==, run.generation);
    CHECK(got.blocks, ==, 3);
    CHECK(is_filled(&other, &got, 4), ==, true);
    CHECK(attachment_next_name(&other, 0, what, &listed, &kind), ==, 0);
    CHECK(strcmp(what, "model"), ==, 0);
    CHECK(listed.index, ==, run.index);
    CHECK(names_in(&attachment), ==, 1);
    CHECK(drop_from(&other, &got), ==, false);
    CHECK(forget_in(&other, "model"), ==, POOL_OK); /* anybody may */
    CHECK(attachment_get(&attachment, "model", &got), ==, POOL_NOT_FOUND);
    CHECK(count(), ==, 0);
    end(&other);
    unmake();
}

static void each_get_is_one_reference(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate(2), got[3];
    CHECK(keep_in(&attachment, "model", &run, false), ==, POOL_OK);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(attachment_get(i ? &other : &attachment, "model", &got[i]), ==, POOL_OK);
    }
    CHECK(holders_of(&run), ==, bit_of(attachment.slot) | bit_of(other.slot));
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    CHECK(drop(&run), ==, false);
    CHECK(drop(&got[0]), ==, false);
    CHECK(holders_of(&run), ==, bit_of(other.slot));
    CHECK(drop_from(&other, &got[1]), ==, false);
    CHECK(drop_from(&other, &got[2]), ==, true);
    end(&other);
    unmake();
}

static void a_kept_run_is_in_use(void) {
    make();
    struct pool_run run = allocate(2);
    CHECK(keep_in(&attachment, "model", &run, false), ==, POOL_OK);
    CHECK(free_run(&run), ==, POOL_IN_USE);
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    CHECK(free_run(&run), ==, POOL_OK);
    unmake();
}

static void replacing_gives_the_old_run_back(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run first = allocate(2), second = allocate_in(&other, 5), got;
    CHECK(keep_in(&attachment, "model", &first, true), ==, POOL_OK);
    CHECK(drop(&first), ==, false);
    CHECK(keep_in(&other, "model", &second, false), ==, POOL_EXISTS);
    CHECK(keep_in(&other, "model", &second, true), ==, POOL_OK);
    CHECK(count(), ==, 5);
    end(&other);
    CHECK(attachment_get(&attachment, "model", &got), ==, POOL_OK);
    CHECK(got.blocks, ==, 5);
    CHECK(drop(&got), ==, false);
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    unmake();
}

static void a_full_catalog_says_so(void) {
    char what[16];
    make();
    struct pool_run run = allocate(1);
    for (unsigned i = 0; i < CATALOG_NAMES; i++) {
        snprintf(what, sizeof what, "n%u", i);
        CHECK(keep_in(&attachment, what, &run, false), ==, POOL_OK);
    }
    CHECK(keep_in(&attachment, "one more", &run, false), ==, POOL_FULL);
    CHECK(names_in(&attachment), ==, CATALOG_NAMES);
    CHECK(forget_in(&attachment, "n17"), ==, POOL_OK);
    CHECK(keep_in(&attachment, "one more", &run, false), ==, POOL_OK);
    CHECK(drop(&run), ==, false);
    unmake();
}

static void a_run_that_is_not_held_gets_no_name(void) {
    make();
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 2);
    CHECK(keep_in(&attachment, "model", &run, false), ==, POOL_CORRUPT);
    CHECK(names_in(&attachment), ==, 0);
    CHECK(drop_from(&other, &run), ==, true);
    end(&other);
    unmake();
}

/* --- death --- */

static void keep_and_stay(void) {
    CHECK(attach(&other), ==, POOL_OK);
    struct pool_run run = allocate_in(&other, 4);
    fill(&other, &run, 6);
    CHECK(keep_in(&other, "model", &run, false), ==, POOL_OK);
    struct pool_run more = allocate_in(&other, 3);
    CHECK(keep_in(&other, "more", &more, false), ==, POOL_OK);
    CHECK(forget_in(&other, "more"), ==, POOL_OK);
    reach((uint32_t)told(0));
    stay();
}

static void a_name_outlives_who_gave_it(void) {
    make();
    tell(0, 1);
    pid_t child = start(keep_and_stay);
    await(1);
    CHECK(count(), ==, 7);
    kill_and_wait(child);
    CHECK(recover(), ==, 1);
    CHECK(count(), ==, 4);
    struct pool_run got;
    CHECK(attachment_get(&attachment, "model", &got), ==, POOL_OK);
    CHECK(is_filled(&attachment, &got, 6), ==, true);
    CHECK(drop(&got), ==, false);
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    CHECK(count(), ==, 0);
    unmake();
}

static void get_and_stay(void) {
    struct pool_run got;
    CHECK(attach(&other), ==, POOL_OK);
    CHECK(attachment_get(&other, "model", &got), ==, POOL_OK);
    reach((uint32_t)told(0));
    stay();
}

static void create_permanent(void) {
    struct attachment_request request = {.name = name,
                                         .block_size = BLOCK,
                                         .blocks = BLOCKS,
                                         .processes = PROCESSES,
                                         .permanent = true,
                                         .gate_seconds = PATIENCE};
    CHECK(attachment_create(&attachment, &request, &failure), ==, POOL_OK);
    keep_and_stay();
}

static void the_names_of_a_permanent_pool_survive_every_process(void) {
    snprintf(name, sizeof name, "%s", process_name());
    pid_t children[3];
    for (unsigned i = 0; i < 3; i++) {
        tell(0, 1);
        children[i] = start(i == 0 ? create_permanent : get_and_stay);
        await(1);
    }
    for (unsigned i = 0; i < 3; i++) {
        kill_and_wait(children[i]);
    }
    CHECK(attach(&attachment), ==, POOL_OK); /* which recovers the dead */
    CHECK(count(), ==, 4);
    CHECK(names_in(&attachment), ==, 1);
    struct pool_run got;
    CHECK(attachment_get(&attachment, "model", &got), ==, POOL_OK);
    CHECK(got.blocks, ==, 4);
    CHECK(is_filled(&attachment, &got, 6), ==, true);
    CHECK(holders_of(&got), ==, bit_of(attachment.slot));
    CHECK(drop(&got), ==, false);
    end(&attachment);
    CHECK(attach(&attachment), ==, POOL_OK); /* and that everybody leaves */
    CHECK(attachment_get(&attachment, "model", &got), ==, POOL_OK);
    CHECK(is_filled(&attachment, &got, 6), ==, true);
    CHECK(pools_unlink(name, attachment.geometry.id, PATIENCE, &failure), ==, POOL_OK);
    unmake();
}

/* --- who cannot --- */

static void a_stopped_holder_of_the_gate_keeps_names_as_they_are(void) {
    make();
    struct pool_run run = allocate(2), got;
    CHECK(keep_in(&attachment, "model", &run, false), ==, POOL_OK);
    pid_t child = start(gate_and_stay);
    await(1);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    CHECK(attachment_keep(&attachment, "more", &run, false, 0.02, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    CHECK(attachment_keep(&attachment, "model", &run, true, 0, &failure), ==, POOL_BUSY);
    failure.process = 0;
    CHECK(attachment_forget(&attachment, "model", 0.02, &failure), ==, POOL_BUSY);
    CHECK(failure.process, ==, child);
    CHECK(attachment_get(&attachment, "model", &got), ==, POOL_OK); /* needs no gate */
    CHECK(names_in(&attachment), ==, 1);
    kill_and_wait(child);
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    CHECK(drop(&got), ==, false);
    CHECK(drop(&run), ==, true);
    CHECK(recover(), ==, 1);
    unmake();
}

static void stray(void) {
    struct pool_run run;
    char what[CATALOG_NAME_BYTES];
    CHECK(keep_in(&attachment, "more", &held, false), ==, POOL_STRAY);
    CHECK(forget_in(&attachment, "model"), ==, POOL_STRAY);
    CHECK(attachment_get(&attachment, "model", &run), ==, POOL_STRAY);
    CHECK(attachment_next_name(&attachment, 0, what, &run, &kind), ==, CATALOG_NAMES);
}

static void a_stray_child_has_no_names(void) {
    make();
    held = allocate(2);
    CHECK(keep_in(&attachment, "model", &held, false), ==, POOL_OK);
    CHECK(ended(start(stray)), ==, 0);
    CHECK(ended(fork_with(ON_FORK_DETACH, stray)), ==, 0);
    CHECK(names_in(&attachment), ==, 1);
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    CHECK(drop(&held), ==, true);
    unmake();
}

/* --- beside others --- */

static struct pool_run newest;
static uint64_t replaced;

/* Another attachment gives the name to a new run, and the old one is free. */
static void replace_it(void) {
    newest = allocate_in(&other, 2);
    CHECK(keep_in(&other, "model", &newest, true), ==, POOL_OK);
    CHECK(drop_from(&other, &newest), ==, false);
    replaced++;
}

static void who_finds_a_run_that_is_gone_looks_again(void) {
    bool came = true;
    uint64_t got_newest = 0;
    make();
    CHECK(attach(&other), ==, POOL_OK);
    replace_it();
    for (uint64_t k = 1; came; k++) {
        struct pool_run got = {0, 0, 0}, before = newest;
        at_access(k, replace_it);
        CHECK(attachment_get(&attachment, "model", &got), ==, POOL_OK);
        came = access_came();
        CHECK(got.generation == newest.generation || got.generation == before.generation, ==, true);
        got_newest += came && got.index == newest.index && got.generation == newest.generation;
        (void)drop(&got);
    }
    CHECK(replaced, >, 5);
    CHECK(got_newest, >, 5);
    CHECK(forget_in(&other, "model"), ==, POOL_OK);
    CHECK(count(), ==, 0);
    end(&other);
    unmake();
}

/* Gets the run again and again: it is always whole, of the bytes that its maker filled it with. */
static void get_until_told(void) {
    uint64_t got_any = 0;
    CHECK(attach(&other), ==, POOL_OK);
    reach(1);
    while (told(1) == 0) {
        struct pool_run run;
        CHECK(attachment_get(&other, "model", &run), ==, POOL_OK);
        CHECK(is_filled(&other, &run, bytes_of(&other, &run)[0]), ==, true);
        (void)drop_from(&other, &run);
        got_any++;
    }
    CHECK(got_any, >, 0);
    end(&other);
}

static void readers_always_have_a_whole_run_while_it_is_replaced(void) {
    make();
    struct pool_run run = allocate(20);
    fill(&attachment, &run, 1);
    CHECK(keep_in(&attachment, "model", &run, false), ==, POOL_OK);
    (void)drop(&run);
    pid_t child = start(get_until_told);
    await(1);
    for (unsigned i = 0; i < 3000; i++) {
        run = allocate(1 + i % 20);
        fill(&attachment, &run, (int)(2 + i % 250));
        CHECK(keep_in(&attachment, "model", &run, true), ==, POOL_OK);
        (void)drop(&run);
    }
    tell(1, 1);
    CHECK(ended(child), ==, 0);
    CHECK(count(), ==, 1 + 2999 % 20);
    CHECK(forget_in(&attachment, "model"), ==, POOL_OK);
    CHECK(count(), ==, 0);
    unmake();
}

int main(void) {
    process_begin();
    RUN(a_name_leads_every_attachment_to_the_run);
    RUN(each_get_is_one_reference);
    RUN(a_kept_run_is_in_use);
    RUN(replacing_gives_the_old_run_back);
    RUN(a_full_catalog_says_so);
    RUN(a_run_that_is_not_held_gets_no_name);
    RUN(a_name_outlives_who_gave_it);
    RUN(the_names_of_a_permanent_pool_survive_every_process);
    RUN(a_stopped_holder_of_the_gate_keeps_names_as_they_are);
    RUN(a_stray_child_has_no_names);
    RUN(who_finds_a_run_that_is_gone_looks_again);
    RUN(readers_always_have_a_whole_run_while_it_is_replaced);
    CHECK(process_end(), ==, 0);
    return check_end();
}
