# Planted faults: a harness is a program that looks for faults in some of the library's sources; a fault is one change
# to one of them. The harness must find nothing in the sources as they are, and must fail on each planted fault.
#
#   add_harness(NAME PROGRAM file.c ... [LIBRARY path/source ...] [LINK target ...] [DEFINE definition ...]
#               [ACCESS_BY_SOURCE])
#
# builds the program NAME from its own files and from the library's sources, given relative to src/ and without ".c".
# With ACCESS_BY_SOURCE, the function called before each atomic access is explore_access_of_SOURCE in each of them.
#
#   plant(NAME fault file says ARGUMENTS argument ... CHANGE from to [from to])
#
# builds NAME again with a copy of `file` in which `from`, which must be there exactly once, is `to`; and adds a test
# that runs it with these arguments and expects a failure that says `says` (a regular expression). Only what the file is
# compiled into is compiled again: itself, or everything if it is a header.

set(PLANT_SOURCES "${CMAKE_CURRENT_LIST_DIR}/../src")

function(add_harness name)
  cmake_parse_arguments(PARSE_ARGV 1 harness "ACCESS_BY_SOURCE" "" "PROGRAM;LIBRARY;LINK;DEFINE")
  list(TRANSFORM harness_PROGRAM PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  foreach(property PROGRAM LIBRARY LINK DEFINE ACCESS_BY_SOURCE)
    set_property(GLOBAL PROPERTY "harness_${name}_${property}" "${harness_${property}}")
  endforeach()
  build_harness("${name}" "${name}" "" "")
endfunction()

# Builds `target` as the harness `name`, with the changed copy of `file` in `directory`, if there is one.
function(build_harness target name directory file)
  foreach(property PROGRAM LIBRARY LINK DEFINE ACCESS_BY_SOURCE)
    get_property(${property} GLOBAL PROPERTY "harness_${name}_${property}")
  endforeach()
  set(parts)
  foreach(path IN LISTS LIBRARY ITEMS program)
    string(REGEX REPLACE ".*/" "" source "${path}")
    set(part "${target}_${source}")
    set(files "${PLANT_SOURCES}/${path}.c")
    if(path STREQUAL program)
      set(files ${PROGRAM})
    elseif("${path}.c" STREQUAL file)
      set(files "${directory}/${file}")
    endif()
    if(file MATCHES "\\.c$" AND NOT "${path}.c" STREQUAL file)
      set(part "${name}_${source}") # as in the harness itself
    else()
      add_library(${part} OBJECT ${files})
      target_include_directories(${part} PRIVATE ${directory} "${PLANT_SOURCES}" "${PLANT_SOURCES}/../include"
                                 "${PLANT_SOURCES}/../tests")
      target_compile_definitions(${part} PRIVATE BLOCKPOOL_EXPLORE ${DEFINE})
      if(ACCESS_BY_SOURCE AND NOT path STREQUAL program)
        target_compile_definitions(${part} PRIVATE explore_access=explore_access_of_${source})
      endif()
    endif()
    list(APPEND parts $<TARGET_OBJECTS:${part}>)
  endforeach()
  add_executable(${target} ${parts})
  target_link_libraries(${target} PRIVATE ${LINK} Threads::Threads)
endfunction()

function(plant name fault file says)
  if(NOT BLOCKPOOL_PLANT)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 4 plant "" "" "ARGUMENTS;CHANGE")
  set(directory "${CMAKE_CURRENT_BINARY_DIR}/planted/${name}_${fault}")
  set(source "${PLANT_SOURCES}/${file}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
  file(READ "${source}" text)
  # By position: in a list, a semicolon ends an element, and C code is full of them.
  set(at 4)
  while(NOT "${ARGV${at}}" STREQUAL "CHANGE")
    math(EXPR at "${at} + 1")
  endwhile()
  math(EXPR at "${at} + 1")
  while(at LESS ARGC)
    math(EXPR next "${at} + 1")
    string(FIND "${text}" "${ARGV${at}}" first)
    string(FIND "${text}" "${ARGV${at}}" last REVERSE)
    if(first EQUAL -1 OR NOT first EQUAL last)
      message(FATAL_ERROR "${name}: to plant ${fault}, ${file} must hold exactly once:\n${ARGV${at}}")
    endif()
    string(REPLACE "${ARGV${at}}" "${ARGV${next}}" text "${text}")
    math(EXPR at "${at} + 2")
  endwhile()
  file(CONFIGURE OUTPUT "${directory}/${file}" CONTENT "${text}" @ONLY NEWLINE_STYLE UNIX)
  build_harness("${name}_${fault}" "${name}" "${directory}" "${file}")
  add_test(NAME ${name}_finds_${fault} COMMAND ${name}_${fault} ${plant_ARGUMENTS})
  set_tests_properties(${name}_finds_${fault} PROPERTIES PASS_REGULAR_EXPRESSION "FAILED.*${says}" TIMEOUT 120)
endfunction()
