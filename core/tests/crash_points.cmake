# The crash points (crash_points.c says what they are), and proof that they find faults.
add_harness(crash_points
  PROGRAM tests/crash_points.c
  LIBRARY os/fault os/file os/limits os/lock os/memory os/process os/thread os/wait bitmap/bitmap
          shared/shared_pool shared/layout shared/slots shared/gate shared/descriptor shared/attachment
          shared/references shared/recovery shared/fork shared/exit shared/sweep)
add_test(NAME crash_points COMMAND crash_points)
set_tests_properties(crash_points PROPERTIES TIMEOUT 300)

if(NOT BLOCKPOOL_SANITIZE)
  plant(crash_points opening_not_recovered shared/ledger.h "allocate " CHANGE
    "if (!ledger_is_head(word) || !named) {"
    "if (ledger_state(word) == LEDGER_IS_OPENING || !ledger_is_head(word) || !named) {")
  plant(crash_points closing_not_recovered shared/ledger.h "drop " CHANGE
    "if (!ledger_is_head(word) || !named) {"
    "if (ledger_state(word) == LEDGER_IS_CLOSING || !ledger_is_head(word) || !named) {")
  plant(crash_points bits_not_mended shared/recovery.c "allocate " CHANGE
    "(void)shared_pool_mend(&attachment->shared);"
    "")
  plant(crash_points head_before_tails shared/shared_pool.c "drop, last holder" CHANGE
    "    for (uint64_t d = n - 1; d > 0; d--) {"
    "    store_release(&shared->ledger[head], LEDGER_FREE);
    for (uint64_t d = n - 1; d > 0; d--) {")
  plant(crash_points live_before_record shared/shared_pool.c "allocate " CHANGE
    "            struct shared_pool_record *record = &shared->records[head];"
    "            struct shared_pool_record *record = &shared->records[head];
            store_release(&shared->ledger[head], ledger_live(slot) | LEDGER_TICKET);")
  plant(crash_points ticket_taken_with_the_hold shared/shared_pool.c "redeem, overtaken:" CHANGE
    "    *set = before != after;"
    "    *set = before != after;
    if (ledger_record_unpack(load_seq(record)).generation != run->generation) {
        (void)ledger_change(word, change_take_ticket, slot, 0, &before, &after);
    }")
  plant(crash_points no_step_back shared/shared_pool.c "redeem, overtaken twice" CHANGE
    "if (ledger_change(word, change_drop, slot, 0, &before, &after) && after == ledger_closing(slot)) {"
    "if (ledger_change(word, change_drop, slot, 0, &before, &after) && after == LEDGER_FREE) {")
  plant(crash_points slot_freed_first shared/recovery.c "recover" CHANGE
    "        shared_pool_recover(&attachment->shared, dead | LEDGER_MARK);"
    "        slots_free(attachment->memory, &attachment->geometry, (unsigned)__builtin_ctzll(dead));
        shared_pool_recover(&attachment->shared, dead | LEDGER_MARK);")
  plant(crash_points dead_waiters_kept shared/recovery.c "wait" CHANGE
    "(void)fetch_and_seq(&attachment->shared.waiting->slots, ~dead);"
    "")
  plant(crash_points lock_not_inherited shared/fork.c "fork, " CHANGE
    "int error = os_pin_lock(attachment->child.description, &attachment->lock_page);"
    "int error = 0;")
  plant(crash_points child_holds_nothing shared/fork.c "fork, " CHANGE
    "shared_pool_fork(&attachment->shared, attachment->slot, child->slot);"
    "")
endif()
