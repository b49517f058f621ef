# The crash points (crash_points.c says what they are), and proof that they find faults.
add_harness(crash_points
  PROGRAM tests/crash_points.c
  LIBRARY os/fault os/file os/limits os/lock os/memory os/process os/thread os/wait bitmap/bitmap
          shared/shared_pool shared/layout shared/slots shared/gate shared/descriptor shared/attachment
          shared/references shared/catalog shared/names shared/recovery shared/fork shared/exit shared/sweep)
add_test(NAME crash_points COMMAND crash_points)
set_tests_properties(crash_points PROPERTIES TIMEOUT 300)

if(NOT BLOCKPOOL_SANITIZE)
  plant(crash_points opening_not_recovered shared/ledger.h "allocate " CHANGE
    "    case LEDGER_IS_OPENING:
    case LEDGER_IS_CLOSING:
"
    "    case LEDGER_IS_OPENING:
        return word;
    case LEDGER_IS_CLOSING:
")
  plant(crash_points closing_not_recovered shared/ledger.h "drop " CHANGE
    "    case LEDGER_IS_OPENING:
    case LEDGER_IS_CLOSING:
"
    "    case LEDGER_IS_CLOSING:
        return word;
    case LEDGER_IS_OPENING:
")
  plant(crash_points question_not_withdrawn shared/ledger.h "drop, last holder" CHANGE
    "    case LEDGER_IS_ASKING:
        return ledger_hold(word);"
    "    case LEDGER_IS_ASKING:
        return word;")
  plant(crash_points recovery_does_not_try_to_close shared/shared_pool.c "allocate " CHANGE
    "    if (after == ledger_make(LEDGER_IS_CLOSING, name, after) ||
        try_to_close(shared, index, name, LEDGER_NOBODY, after)) {"
    "    if (after == ledger_make(LEDGER_IS_CLOSING, name, after)) {")
  plant(crash_points row_not_recovered shared/shared_pool.c "drop, others hold it" CHANGE
    "(void)fetch_and_seq(&entry->row[w], ~gone->words[w]);"
    "")
  plant(crash_points bits_not_mended shared/recovery.c "allocate " CHANGE
    "(void)shared_pool_mend(shared, first, n);"
    "")
  plant(crash_points head_before_tails shared/shared_pool.c "drop, last holder" CHANGE
    "    for (uint64_t d = n - 1; d > 0; d--) {"
    "    store_release(head_of(shared, head), LEDGER_FREE);
    for (uint64_t d = n - 1; d > 0; d--) {")
  plant(crash_points live_before_record shared/shared_pool.c "allocate " CHANGE
    "            struct shared_pool_entry *entry = shared_pool_entry(shared, head);"
    "            struct shared_pool_entry *entry = shared_pool_entry(shared, head);
            store_release(&entry->head, ledger_live(slot, 0) | LEDGER_TICKET);")
  plant(crash_points ticket_taken_with_the_hold shared/shared_pool.c "redeem, overtaken:" CHANGE
    "    bool there = is_there(shared, run);"
    "    bool there = is_there(shared, run);
    if (!there) {
        uint64_t before, after;
        (void)ledger_change(head_of(shared, run->index), change_take_ticket, 0, &before, &after);
    }")
  plant(crash_points no_step_back shared/shared_pool.c "redeem, overtaken twice" CHANGE
    "    (void)row_clear(shared, index, slot);
    if (try_to_close("
    "    (void)row_clear(shared, index, slot);
    if (false && try_to_close(")
  plant(crash_points slot_freed_first shared/recovery.c "recover" CHANGE
    "    for (uint64_t first = 0; first < shared->blocks; first += RECOVERED_TOGETHER) {"
    "    slots_free(attachment->memory, &attachment->geometry, slot_set_next(dead, 0));
    for (uint64_t first = 0; first < shared->blocks; first += RECOVERED_TOGETHER) {")
  plant(crash_points dead_waiters_kept shared/recovery.c "wait" CHANGE
    "shared_pool_forget_waiters(shared, dead);"
    "")
  plant(crash_points kept_runs_not_recovered shared/recovery.c "keep" CHANGE
    "catalog_recover(catalog, shared, first, n);"
    "(void)catalog;")
  plant(crash_points named_before_it_is_kept shared/catalog.c "keep" CHANGE
    "    if (shared_pool_keep(shared, slot, run) != SHARED_POOL_OK) {"
    "    if (!old) {
        write_name(entry, name);
    }
    store_seq(&entry->run, new);
    if (shared_pool_keep(shared, slot, run) != SHARED_POOL_OK) {")
  plant(crash_points let_go_before_it_is_replaced shared/catalog.c "keep, replacing" CHANGE
    "    store_seq(&entry->run, new);
"
    "    if (old) {
        store_seq(&entry->run, 0);
        let_go(catalog, shared, old);
    }
    store_seq(&entry->run, new);
")
  plant(crash_points lock_not_inherited shared/fork.c "fork, " CHANGE
    "int error = os_pin_lock(attachment->child.description, &attachment->lock_page);"
    "int error = 0;")
  plant(crash_points child_holds_nothing shared/fork.c "fork, " CHANGE
    "    return shared_pool_fork("
    "    return !child && shared_pool_fork(")
endif()
