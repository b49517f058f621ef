# Pages of 64 KiB, which many kernels for aarch64 have, for what maps memory or lays it out.
foreach(test IN ITEMS attachment catalog classic file layout look memory notes pool private_pool queues recording reserve
        sweep)
  add_test(NAME ${test}_64k COMMAND ${CMAKE_CROSSCOMPILING_EMULATOR} -p 65536 $<TARGET_FILE:test_${test}>)
  set_tests_properties(${test}_64k PROPERTIES TIMEOUT 300)
endforeach()

set_tests_properties(crash_queues PROPERTIES TIMEOUT 3600) # each crash point is a process

# Under qemu-user some cases cannot hold, because it is not the kernel that answers. They are named here with the reason;
# all others run.
function(leave_out reason)
  foreach(pair IN LISTS ARGN)
    string(REPLACE ":" ";" pair "${pair}")
    list(GET pair 0 test)
    list(GET pair 1 cases)
    string(REPLACE "," " " cases "${cases}")
    foreach(name IN ITEMS ${test} ${test}_64k)
      if(TEST ${name} AND cases STREQUAL "all")
        set_tests_properties(${name} PROPERTIES DISABLED TRUE)
      elseif(TEST ${name})
        set_tests_properties(${name} PROPERTIES ENVIRONMENT "CHECK_WITHOUT=${cases}")
      endif()
    endforeach()
    message(STATUS "Left out under qemu-user: ${test}: ${cases}, as ${reason}")
  endforeach()
endfunction()

leave_out("it answers MADV_DONTFORK and MADV_WIPEONFORK with success and does neither, so a child keeps its parent's lock"
  "attachment:one_process_more_than_there_are_slots_is_refused"
  "exit:a_process_with_one_thread_gives_everything_back_but_tickets,a_process_without_a_part_leaves_nothing"
  "lock:a_forked_child_does_not_inherit_the_pin"
  "look:a_forked_child_has_nothing_of_a_look,the_child_of_a_bare_clone_finds_a_stray,a_process_that_looks_ends_without_a_trace"
  "names:a_stray_child_has_no_names"
  "notes:a_child_without_a_part_has_no_notes"
  "public_pool:a_child_has_no_part_if_the_pool_says_so"
  "public_queue:a_child_without_a_part_has_no_queue"
  "fork:all"
  "crash_points:all"
  "crash_points_debug:all"
  "recording:a_child_without_a_part_does_not_record"
  "queues:a_stray_child_changes_nothing"
  "slots:a_forked_child_does_not_keep_it")
leave_out("it answers MADV_POPULATE_WRITE with success and makes nothing present"
  "memory:prefaulting_makes_memory_resident_and_keeps_it,pages_are_made_present_in_pieces")
leave_out("limits of descriptors and addresses, and children without a lock, meet qemu-user itself"
  "descriptor:without_any_descriptor_nobody_is_taken_for_dead,a_child_whose_lock_is_lost_has_no_part,without_a_descriptor_every_call_says_so,a_mapping_that_does_not_fit_is_not_called_a_full_machine")
leave_out("it writes a line of its own to stderr when a signal ends the program"
  "fault:forbidden_memory_keeps_its_addresses_and_not_its_file,a_fault_is_explained_once_and_kills_as_before,two_handlers_that_pass_a_fault_on_do_not_go_round_forever,a_signal_that_was_sent_is_not_explained")
leave_out("/proc tells of qemu-user, not of the program" "process:all")
