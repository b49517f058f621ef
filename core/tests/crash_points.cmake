# The crash points (crash_points.c says what they are), and proof that they find faults: for each planted fault the library's
# sources are copied with one change, and the crash points of that copy must fail.
set(crash_sources os.c os_memory.c os_shm.c os_fault.c bitmap.c shared.c segment.c slots.c gate.c descriptor.c member.c references.c
    recovery.c fork.c exit.c sweep.c)

function(add_crash_points target directory)
  list(TRANSFORM crash_sources PREPEND "${directory}/" OUTPUT_VARIABLE sources)
  add_executable(${target} "${CMAKE_CURRENT_SOURCE_DIR}/tests/crash_points.c" ${sources})
  target_include_directories(${target} PRIVATE "${directory}" "${CMAKE_CURRENT_SOURCE_DIR}/tests")
  target_compile_definitions(${target} PRIVATE BLOCKPOOL_EXPLORE)
  target_link_libraries(${target} PRIVATE Threads::Threads)
endfunction()

add_crash_points(crash_points "${CMAKE_CURRENT_SOURCE_DIR}/src")
add_test(NAME crash_points COMMAND crash_points)
set_tests_properties(crash_points PROPERTIES TIMEOUT 300)

# Replaces `from`, which must be in `file` exactly once, by `to`, and expects a failure that says `says`. (That CMake runs again
# when a source changes is the doing of explore/CMakeLists.txt, which copies the same sources.)
function(plant_crash fault file from to says)
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/planted_crashes/${fault}")
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/src/*.[ch]")
  foreach(source IN LISTS sources)
    get_filename_component(name "${source}" NAME)
    file(READ "${source}" text)
    if(name STREQUAL file)
      string(FIND "${text}" "${from}" first)
      string(FIND "${text}" "${from}" last REVERSE)
      if(first EQUAL -1 OR NOT first EQUAL last)
        message(FATAL_ERROR "crash_points: to plant ${fault}, ${file} must hold exactly once:\n${from}")
      endif()
      string(REPLACE "${from}" "${to}" text "${text}")
    endif()
    file(CONFIGURE OUTPUT "${directory}/${name}" CONTENT "${text}" @ONLY NEWLINE_STYLE UNIX)
  endforeach()
  add_crash_points(crash_${fault} "${directory}")
  add_test(NAME crash_points_find_${fault} COMMAND crash_${fault})
  set_tests_properties(crash_points_find_${fault} PROPERTIES PASS_REGULAR_EXPRESSION "FAILED ${says}" TIMEOUT 120)
endfunction()

if(NOT BLOCKPOOL_SANITIZE)
  plant_crash(opening_not_recovered ledger.h
    "if (!ledger_is_head(word) || !named) {"
    "if (ledger_state(word) == LEDGER_IS_OPENING || !ledger_is_head(word) || !named) {"
    "allocate ")
  plant_crash(closing_not_recovered ledger.h
    "if (!ledger_is_head(word) || !named) {"
    "if (ledger_state(word) == LEDGER_IS_CLOSING || !ledger_is_head(word) || !named) {"
    "drop ")
  plant_crash(bits_not_mended recovery.c
    "(void)shared_mend(&member->shared);"
    ""
    "allocate ")
  plant_crash(head_before_tails shared.c
    "    for (uint64_t d = n - 1; d > 0; d--) {"
    "    store_release(&shared->ledger[head], LEDGER_FREE);
    for (uint64_t d = n - 1; d > 0; d--) {"
    "drop, last holder")
  plant_crash(live_before_record shared.c
    "            struct shared_record *record = &shared->records[head];"
    "            struct shared_record *record = &shared->records[head];
            store_release(&shared->ledger[head], ledger_live(slot) | LEDGER_TICKET);"
    "allocate ")
  plant_crash(ticket_taken_with_the_hold shared.c
    "    *set = before != after;"
    "    *set = before != after;
    if (ledger_record_unpack(load_seq(record)).generation != run->generation) {
        (void)ledger_change(word, change_take_ticket, slot, 0, &before, &after);
    }"
    "redeem, overtaken:")
  plant_crash(no_step_back shared.c
    "if (ledger_change(word, change_drop, slot, 0, &before, &after) && after == ledger_closing(slot)) {"
    "if (ledger_change(word, change_drop, slot, 0, &before, &after) && after == LEDGER_FREE) {"
    "redeem, overtaken twice")
  plant_crash(slot_freed_first recovery.c
    "        shared_recover(&member->shared, dead | LEDGER_MARK);"
    "        slots_free(member->memory, &member->geometry, (unsigned)__builtin_ctzll(dead));
        shared_recover(&member->shared, dead | LEDGER_MARK);"
    "recover")
  plant_crash(dead_waiters_kept recovery.c
    "(void)fetch_and_seq(&member->shared.waiting->slots, ~dead);"
    ""
    "wait")
  plant_crash(lock_not_inherited fork.c
    "int error = os_hold(member->child.description, &member->hold);"
    "int error = 0;"
    "fork, ")
  plant_crash(child_holds_nothing fork.c
    "shared_fork(&member->shared, member->slot, child->slot);"
    ""
    "fork, ")
endif()
