# The crash points (crash_points.c says what they are), and proof that they find faults.
add_harness(crash_points
  PROGRAM tests/crash_points.c
  LIBRARY os/fault os/file os/limits os/lock os/memory os/process os/thread os/wait bitmap/bitmap
          shared/shared_pool shared/layout shared/slots shared/gate shared/descriptor shared/attachment shared/claim
          shared/references shared/notes shared/catalog shared/names shared/recovery shared/fork shared/exit shared/sweep
          shared/queue shared/queue_check shared/queues shared/sites shared/lanes shared/recording shared/reserve)
# ThreadSanitizer sees the threads of a process, and these processes have one each.
if(NOT BLOCKPOOL_SANITIZE)
  add_test(NAME crash_points COMMAND crash_points)
  set_tests_properties(crash_points PROPERTIES TIMEOUT 600)
endif()
if(NOT BLOCKPOOL_SANITIZE STREQUAL "thread") # debug mode runs the code of the other mode, and more
  add_test(NAME crash_points_debug COMMAND crash_points debug)
  set_tests_properties(crash_points_debug PROPERTIES TIMEOUT 600)
endif()

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
  plant(crash_points ticket_taken_with_the_hold shared/shared_pool.c "redeem, overtaken:"
    ARGUMENTS "redeem, overtaken" CHANGE
    "    bool there = is_there(shared, run);"
    "    bool there = is_there(shared, run);
    if (!there) {
        uint64_t before, after;
        (void)ledger_change(head_of(shared, run->index), change_take_ticket, 0, &before, &after);
    }")
  plant(crash_points no_step_back shared/shared_pool.c "redeem, overtaken twice"
    ARGUMENTS "redeem, overtaken twice" CHANGE
    "    (void)row_clear(shared, index, slot);
    if (try_to_close("
    "    (void)row_clear(shared, index, slot);
    if (false && try_to_close(")
  plant(crash_points slot_freed_first shared/recovery.c "recover" ARGUMENTS recover CHANGE
    "    for (uint64_t first = 0; first < shared->blocks; first += RECOVERED_TOGETHER) {"
    "    slots_free(attachment->memory, slot_set_next(dead, 0));
    for (uint64_t first = 0; first < shared->blocks; first += RECOVERED_TOGETHER) {")
  plant(crash_points ending_not_marked shared/sites.c "allocate|drop" ARGUMENTS debug CHANGE
    "        store_release(&site->state, state_of(generation, SITE_ENDING));"
    "")
  plant(crash_points issued_before_it_is_filled shared/sites.c "allocate" ARGUMENTS debug CHANGE
    "    unsigned char *memory = memory_of(attachment, first);"
    "    unsigned char *memory = memory_of(attachment, first);
    store_release(&site_of(attachment, first)->state, state_of(run->generation, SITE_ISSUED));
    (void)load_seq(&site_of(attachment, first)->state);")
  plant(crash_points dead_waiters_kept shared/recovery.c "wait" ARGUMENTS wait CHANGE
    "shared_pool_forget_waiters(shared, dead);"
    "")
  plant(crash_points kept_runs_not_recovered shared/recovery.c "keep" CHANGE
    "catalog_recover(&catalog, shared, first, n);"
    "")
  plant(crash_points named_before_it_is_kept shared/catalog.c "keep" CHANGE
    "    if (kept && shared_pool_keep(pool_of(catalog, kind), slot, run) != SHARED_POOL_OK) {"
    "    if (!old.word) {
        write_name(entry, name, kind);
    }
    store_seq(&entry->run, new);
    if (kept && shared_pool_keep(pool_of(catalog, kind), slot, run) != SHARED_POOL_OK) {")
  plant(crash_points let_go_before_it_is_replaced shared/catalog.c "keep, replacing" CHANGE
    "    store_seq(&entry->run, new);
"
    "    if (old.word) {
        store_seq(&entry->run, 0);
        let_go(catalog, pool_of(catalog, kind), old.word);
    }
    store_seq(&entry->run, new);
")
  plant(crash_points lock_not_inherited shared/fork.c "fork, " ARGUMENTS "fork, " CHANGE
    "int error = os_pin_lock(attachment->child.description, &attachment->lock_page);"
    "int error = 0;")
  plant(crash_points child_holds_nothing shared/fork.c "fork, " ARGUMENTS "fork, " CHANGE
    "    return shared_pool_fork("
    "    return !child && shared_pool_fork(")
  plant(crash_points note_is_there_while_it_is_set shared/note.h "set a note" CHANGE
    "if (note_setter(state) != LEDGER_NOBODY ||"
    "if (")
  plant(crash_points dead_recorder_goes_on shared/slots.c "record" CHANGE
    "        store_seq(&header->recording.on, 0);
"
    "")
  plant(crash_points recorded_by_nobody shared/recording.c "record" CHANGE
    "        store_seq(&header->recording.recorder, (uint64_t)attachment->slot + 1);
        store_seq(&header->recording.on, session << ROUND_BITS | 1);"
    "        store_seq(&header->recording.on, session << ROUND_BITS | 1);
        store_seq(&header->recording.recorder, (uint64_t)attachment->slot + 1);")
  plant(crash_points dead_setters_are_waited_for shared/notes.c "set a note" CHANGE
    "           load_seq(&header->used[slot / 64]) >> slot % 64 & 1 &&
"
    "           header &&
")
endif()

# The crash points of queues: crash_queues.c says what they are.
add_harness(crash_queues
  PROGRAM tests/crash_queues.c
  LIBRARY os/fault os/file os/limits os/lock os/memory os/process os/thread os/wait bitmap/bitmap
          shared/shared_pool shared/layout shared/slots shared/gate shared/descriptor shared/attachment shared/claim
          shared/references shared/catalog shared/names shared/recovery shared/fork shared/exit shared/sweep
          shared/queue shared/queue_check shared/queues shared/sites shared/lanes shared/recording shared/reserve)
if(NOT BLOCKPOOL_SANITIZE STREQUAL "thread")
  add_test(NAME crash_queues COMMAND crash_queues)
  set_tests_properties(crash_queues PROPERTIES TIMEOUT 600)
endif()

if(NOT BLOCKPOOL_SANITIZE)
  plant(crash_queues messages_not_recovered shared/recovery.c "send: point [0-9]+, once" ARGUMENTS send CHANGE
    "    queues_recover(&attachment->queues, dead, LEDGER_RECOVERY);
"
    "")
  plant(crash_queues annex_not_recovered shared/recovery.c "open: point [0-9]+, once" ARGUMENTS open CHANGE
    "    shared_pool_recover(annex, dead, LEDGER_RECOVERY, 0, annex->blocks);
"
    "")
  plant(crash_queues annex_not_mended shared/recovery.c "send: point [0-9]+, once" ARGUMENTS send CHANGE
    "    (void)shared_pool_mend(annex, 0, annex->blocks);
"
    "")
  plant(crash_queues kept_queues_not_recovered shared/recovery.c "making it permanent: point [0-9]+, once"
    ARGUMENTS "open, making it permanent" CHANGE
    "    catalog_recover(&catalog, annex, 0, annex->blocks);
"
    "")
  plant(crash_queues left_with_messages shared/attachment.c "leave, with a message: point [0-9]+, once"
    ARGUMENTS "leave, with a message" CHANGE
    "    queues_recover(&attachment->queues, &own, attachment->slot);
"
    "")
  plant(crash_queues taken_not_recovered shared/queue.c "take: point [0-9]+, once" ARGUMENTS take CHANGE
    "        case MESSAGE_TAKEN:
        case MESSAGE_ENDING:
            if (slot_set_has"
    "            /* fall through */
        case MESSAGE_ENDING:
            if (slot_set_has")
  plant(crash_queues returned_without_counting shared/queue.c "end: point [0-9]+, redelivering" ARGUMENTS end CHANGE
    "    (void)fetch_add_seq(&queue->header->returned, 1);
"
    "")
  plant(crash_queues not_marked shared/queue.c "hold what is carried: point [0-9]+, redelivering"
    ARGUMENTS "hold what is carried" CHANGE
    "message_change(word, MESSAGE_TAKEN, slot) | MESSAGE_AGAIN;"
    "message_change(word, MESSAGE_TAKEN, slot);")
  plant(crash_queues received_and_returned shared/queue.c "end: point [0-9]+, once" ARGUMENTS end CHANGE
    "        if (has_queue && queue.flags & QUEUE_REDELIVERS &&"
    "        if (has_queue &&")
  plant(crash_queues messages_outlive_their_queue shared/queue.c "close, the last one: point [0-9]+, once"
    ARGUMENTS "close, the last one" CHANGE
    "            end_all(&queue, ledger_slot("
    "            (void)end_all;
            (void)(ledger_slot(")
  plant(crash_queues dead_cursors_stay shared/queue.c "subscribe: point [0-9]+, once" ARGUMENTS subscribe CHANGE
    "            (void)compare_exchange_seq(&queue->cursors[i], &word, 0);"
    "")
  plant(crash_queues ended_by_halves shared/queue.c "end: point" ARGUMENTS end CHANGE
    "        case MESSAGE_ENDING:
            if (slot_set_has"
    "            if (slot_set_has")
endif()
