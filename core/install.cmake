# What is installed: the library for C, C++ and assembly, as blockpool.h and its neighbours, libblockpool and
# blockpool.pc.
#
# Only the names in the headers can be linked to. A static library has no such notion, so its objects are first merged
# into one whose hidden names are local: a program may have a private_pool_free of its own.
include(GNUInstallDirs)

option(BUILD_SHARED_LIBS "Install libblockpool.so instead of libblockpool.a" OFF)

add_library(blockpool_objects OBJECT ${BLOCKPOOL_SOURCES})
target_include_directories(blockpool_objects PRIVATE src include)
set_target_properties(blockpool_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)

if(BUILD_SHARED_LIBS)
  add_library(blockpool SHARED $<TARGET_OBJECTS:blockpool_objects>)
  target_link_libraries(blockpool PRIVATE Threads::Threads)
  set_target_properties(blockpool PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
else()
  set(whole "${CMAKE_CURRENT_BINARY_DIR}/blockpool.o")
  add_custom_command(
    OUTPUT "${whole}"
    COMMAND "${CMAKE_C_COMPILER}" -r -nostdlib -o "${whole}" "$<TARGET_OBJECTS:blockpool_objects>"
    COMMAND "${CMAKE_OBJCOPY}" --localize-hidden "${whole}"
    DEPENDS blockpool_objects "$<TARGET_OBJECTS:blockpool_objects>"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  add_library(blockpool STATIC "${whole}")
  set_source_files_properties("${whole}" PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
endif()
set_target_properties(blockpool PROPERTIES LINKER_LANGUAGE C)

# The installed tree may be moved, unless an absolute folder was asked for.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(pc_threads "${CMAKE_THREAD_LIBS_INIT}") # nothing, where they are in the C library
configure_file(blockpool.pc.in blockpool.pc @ONLY)

install(TARGETS blockpool LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES include/blockpool.h include/blockpool_shared.h include/blockpool_version.h include/blockpool.hpp
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/blockpool.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
