# The exploration of shared pools (shared_witness.h says what runs and what must hold), and proof that it finds faults.

# An exploration of the shared pool's sources in `directory`.
function(add_shared_exploration target directory)
  add_executable(${target} shared_scenarios.c shared_witness.c shared_slots.c kernel.c steps.c)
  foreach(source shared bitmap slots segment member references recovery fork)
    # each with a name of its own for what stands before an access, so that steps.c can tell them apart
    add_library(${target}_${source} OBJECT "${directory}/${source}.c")
    target_compile_definitions(${target}_${source} PRIVATE BLOCKPOOL_EXPLORE MEMBER_LOCK_TRIES=1 pthread_atfork=witness_atfork
                                                           explore_access=explore_access_of_${source})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${source}>)
  endforeach()
  target_link_libraries(${target} PRIVATE explore_search)
  target_include_directories(${target} PRIVATE "${directory}")
  target_compile_definitions(${target} PRIVATE BLOCKPOOL_EXPLORE)
endfunction()

add_shared_exploration(explore_shared "${source_dir}")
add_test(NAME explore_shared COMMAND explore_shared)
set_tests_properties(explore_shared PROPERTIES TIMEOUT 900)

# Plants a fault in the sources of the shared pool, and expects the scenario to say `says`.
function(plant_shared fault scenario says file)
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/shared_${fault}")
  if(ARGC EQUAL 6)
    copy_changed("${directory}" "${file}" "${ARGV4}" "${ARGV5}")
  else()
    copy_changed("${directory}" "${file}" "${ARGV4}" "${ARGV5}" "${ARGV6}" "${ARGV7}")
  endif()
  add_shared_exploration(explore_shared_${fault} "${directory}")
  add_test(NAME explore_shared_finds_${fault} COMMAND explore_shared_${fault} --scenario ${scenario})
  set_tests_properties(explore_shared_finds_${fault} PROPERTIES PASS_REGULAR_EXPRESSION "FAILED.*${says}" TIMEOUT 120)
endfunction()

plant_shared(live_before_its_tails step_back_twice "(redeemed a stale name|twice owned|lost)" shared.c
  "&word, ledger_opening(slot))) {"
  "&word, ledger_live(slot))) {")
plant_shared(bits_before_words singles "is lost" shared.c
  "    store_release(&shared->ledger[head], LEDGER_FREE);
    if (n == 1) {
        (void)bitmap_release(&shared->bitmap, head);
    } else {
        (void)bitmap_release_range(&shared->bitmap, head, n);
    }
"
  "    (void)bitmap_release_range(&shared->bitmap, head, n);
    store_release(&shared->ledger[head], LEDGER_FREE);
")
plant_shared(recovery_frees_what_is_held die_holding "lost its run" ledger.h
  "return ledger_is_live(word) && ledger_is_kept(word & ~named) ? word & ~named"
  "return false ? word & ~named")
plant_shared(mend_looks_once die_beside_wrong "is lost" shared.c
  "        if (load_seq(&shared->ledger[index]) == LEDGER_FREE) {
            (void)bitmap_release(&shared->bitmap, index);
        }
"
  "")
plant_shared(generation_looked_at_once step_back "(redeemed a stale name|twice owned|lost)" shared.c
  "    if (found.generation != run->generation || !fits) {"
  "    if (!fits) {")
plant_shared(ticket_taken_with_the_hold die_stepping_back "a ticket of the run at 0 is gone" shared.c
  "    return ledger_hold(word, slot);"
  "    uint64_t held = ledger_hold(word, slot);
    return held == LEDGER_REFUSED ? held : ledger_take_ticket(held, slot);"
  "    (void)ledger_change(word, change_take_ticket, slot, 0, &before, &after);
"
  "    (void)change_take_ticket, (void)word, (void)before, (void)after;
")
plant_shared(tails_front_to_back die_freeing "finds a fault of kind 2" shared.c
  "    for (uint64_t d = n - 1; d > 0; d--) {"
  "    for (uint64_t d = 1; d < n; d++) {")
plant_shared(head_before_tails die_freeing "(finds a fault of kind 2|twice owned|lost)" shared.c
  "    for (uint64_t d = n - 1; d > 0; d--) {
        store_release(&shared->ledger[head + d], LEDGER_FREE);
    }
    store_release(&shared->ledger[head], LEDGER_FREE);"
  "    for (uint64_t d = 0; d < n; d++) {
        store_release(&shared->ledger[head + d], LEDGER_FREE);
    }")
plant_shared(undo_of_the_wrong_bit wrong_tail "(no end|too many)" shared.c
  "bitmap_release_range(&shared->bitmap, head, wrong - head);"
  "bitmap_release_range(&shared->bitmap, head, wrong - head + 1);")
plant_shared(undo_keeps_the_rest wrong_run "is lost" shared.c
  "        if (wrong < head + n - 1) {"
  "        if (0) {")
plant_shared(undo_front_to_back die_undoing "finds a fault of kind 2" shared.c
  "            for (uint64_t undo = d - 1; undo > 0; undo--) {"
  "            for (uint64_t undo = 1; undo < d; undo++) {")
plant_shared(wake_before_bits wait "sleeps for ever" shared.c
  "    if (n == 1) {
        (void)bitmap_release(&shared->bitmap, head);"
  "    wake(shared);
    if (n == 1) {
        (void)bitmap_release(&shared->bitmap, head);"
  "        (void)bitmap_release_range(&shared->bitmap, head, n);
    }
    wake(shared);
"
  "        (void)bitmap_release_range(&shared->bitmap, head, n);
    }
")
plant_shared(undo_without_wake wait_and_undo "sleeps for ever" shared.c
  "        wake(shared); /* who looked"
  "        /* who looked")
plant_shared(bitmap_undoes_without_wake wait_undo_fine "sleeps for ever" bitmap.c
  "        bitmap_release_range(bitmap, first, done);
        tell_undone(bitmap);"
  "        bitmap_release_range(bitmap, first, done);")
plant_shared(audit_heals_without_its_second_look audit_and_wrong "is lost" shared.c
  "            if (load_seq(&shared->ledger[i]) == LEDGER_FREE) {"
  "            if (false) {")
plant_shared(audit_calls_transit_a_fault audit "an audit beside others finds a fault" shared.c
  "        return alone ? found : IN_TRANSIT;"
  "        return alone || true ? found : IN_TRANSIT;")
plant_shared(audit_believes_two_moments audit_and_share "an audit beside others finds a fault" shared.c
  "    return still_lives(shared, head, record) ? SHARED_FAULT_OVERLAP : CHANGES;"
  "    return SHARED_FAULT_OVERLAP;")
plant_shared(taken_without_the_local_lock threads_hold "(redeemed a stale name|lost its run|references to its run|cannot drop)" references.c
  "    enum shared_status status = function(&member->shared, member->slot, run, &set);"
  "    member_unlock(member);
    enum shared_status status = function(&member->shared, member->slot, run, &set);")
plant_shared(fork_without_the_local_lock fork_beside_a_thread "(a forked child has|references to its run|lost its run)" fork.c
  "        while (!member_lock(member)) {
            os_yield();
        }
"
  "")
plant_shared(child_keeps_waiters fork_while_waiting "sleeps for ever" fork.c
  "        member->waiters = 0;
"
  "")
plant_shared(no_hold_for_the_child fork "a forked child has 0 references" fork.c
  "            shared_fork(&member->shared, member->slot, child->slot);"
  "            (void)shared_fork;")
plant_shared(waiter_clears_anothers_bit threads_wait "sleeps for ever" references.c
  "wait == member->forks && --member->waiters == 0) {"
  "wait == member->forks && --member->waiters < 2) {")
plant_shared(last_leaver_counts_the_dead leave_last "the name is still there" member.c
  "slots_used(member->memory, &member->geometry) & ~dead & ~ledger_slot_bit(member->slot);"
  "slots_used(member->memory, &member->geometry) & ~ledger_slot_bit(member->slot);
    (void)dead;")
plant_shared(attach_does_not_compare_the_name attach_and_replace "whose name is another's" member.c
  "if (named && !os_shm_names(member->name, &member->file.identity)) {"
  "if (named && false) {")
plant_shared(slots_freed_before_recovery recoverers_die "(lost|free|twice)" recovery.c
  "        shared_recover(&member->shared, dead | LEDGER_MARK);"
  "        slots_free(member->memory, &member->geometry, (unsigned)__builtin_ctzll(dead));
        shared_recover(&member->shared, dead | LEDGER_MARK);")
plant_shared(mark_kept_by_a_new_ticket tickets_overtaken "(is gone|is freed, and others hold it)" ledger.h
  "    return ((word & ~LEDGER_MARK) | ledger_slot_bit(slot)) + n * LEDGER_TICKET;"
  "    return word + n * LEDGER_TICKET;")
plant_shared(new_ticket_dropped new_ticket "a ticket of the run at 0 is gone" shared.c
  "        while (is_old(shared, i, word, before)) {"
  "        for (bool old = is_old(shared, i, word, before); old && ledger_is_live(word) && ledger_tickets(word);) {")
plant_shared(slot_before_its_lock attach_and_probe "is taken for dead" slots.c
  "        int refused = lock_through(&locked, slot);
        bool taken = refused == 0 && compare_exchange_seq(&place->used, &was_free, 1);"
  "        int refused = 0;
        bool taken = compare_exchange_seq(&place->used, &was_free, 1) && (refused = lock_through(&locked, slot)) == 0;")
plant_shared(closed_before_mapped attach_and_probe "is taken for dead" slots.c
  "    int error = os_hold(locked->number, hold);"
  "    os_close(locked->number);
    int error = os_hold(locked->number, hold);")
