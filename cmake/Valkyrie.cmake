# Settings and helper functions shared by every folder of the tree.
include(GNUInstallDirs)
include(CTest)

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()
# One build serves tests, users and measurements: optimized, with line tables for profiles and stack
# traces, and with assertions, which stay on in what is shipped.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

set(VALKYRIE_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, address,undefined or thread")
option(VALKYRIE_FUZZ "Build the libFuzzer targets (Clang only)" OFF)
option(VALKYRIE_COVERAGE "Instrument for llvm-cov (Clang only)" OFF)

find_package(Threads REQUIRED)
find_program(VALKYRIE_CCACHE ccache)
if(VALKYRIE_CCACHE)
  # Outside the tree and blind to where the tree is, so that every clone shares what another compiled.
  if(DEFINED ENV{CCACHE_DIR})
    set(ccache_dir $ENV{CCACHE_DIR})
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(ccache_dir $ENV{XDG_CACHE_HOME}/valkyrie/ccache)
  else()
    set(ccache_dir $ENV{HOME}/.cache/valkyrie/ccache)
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_DIR=${ccache_dir} CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${VALKYRIE_CCACHE})
endif()

add_library(valkyrie-options INTERFACE)
target_include_directories(valkyrie-options INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
target_compile_options(valkyrie-options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast -Werror
  # Naming some members and defaulting the rest is how structs are filled here.
  -Wno-missing-field-initializers)
if(VALKYRIE_SANITIZE)
  target_compile_options(valkyrie-options INTERFACE
    -fsanitize=${VALKYRIE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(VALKYRIE_SANITIZE MATCHES undefined)
    # The check of vtables makes a pipe to see whether memory can be read: where a test takes all
    # descriptors away, it would report a defect that is none.
    target_compile_options(valkyrie-options INTERFACE -fno-sanitize=vptr)
  endif()
  target_link_options(valkyrie-options INTERFACE -fsanitize=${VALKYRIE_SANITIZE})
endif()
if(VALKYRIE_FUZZ)
  target_compile_options(valkyrie-options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(VALKYRIE_COVERAGE)
  target_compile_options(valkyrie-options INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(valkyrie-options INTERFACE -fprofile-instr-generate)
endif()
find_program(VALKYRIE_MOLD mold)
if(VALKYRIE_MOLD)
  target_link_options(valkyrie-options INTERFACE -fuse-ld=mold)
endif()

# valkyrie_test(NAME SOURCES a_test.cc... LIBS lib...): one GoogleTest program of the unit lane.
function(valkyrie_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  if(NOT BUILD_TESTING)
    return()
  endif()
  find_package(GTest REQUIRED)
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE valkyrie-options ${arg_LIBS} GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300
    ENVIRONMENT "VALKYRIE_SOURCE_DIR=${CMAKE_SOURCE_DIR};VALKYRIE_BUILD_DIR=${CMAKE_BINARY_DIR}")
endfunction()

# valkyrie_fuzz(NAME SOURCES a_fuzz.cc CORPUS dir LIBS lib...): a libFuzzer target. Without
# VALKYRIE_FUZZ it is a test that replays the corpus once, so that the corpus can never rot.
function(valkyrie_fuzz name)
  cmake_parse_arguments(arg "" "CORPUS" "SOURCES;LIBS" ${ARGN})
  if(VALKYRIE_FUZZ)
    add_executable(${name} ${arg_SOURCES})
    target_link_libraries(${name} PRIVATE valkyrie-options ${arg_LIBS} -fsanitize=fuzzer)
  elseif(BUILD_TESTING)
    add_executable(${name} ${arg_SOURCES} ${CMAKE_SOURCE_DIR}/cmake/fuzz_replay_main.cc)
    target_link_libraries(${name} PRIVATE valkyrie-options ${arg_LIBS})
    add_test(NAME ${name} COMMAND ${name} ${arg_CORPUS}
      WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  else()
    return()
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  file(REAL_PATH "${arg_CORPUS}" corpus BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_property(GLOBAL APPEND PROPERTY VALKYRIE_FUZZERS ${name})
  set_property(GLOBAL APPEND PROPERTY VALKYRIE_FUZZ_CORPORA "${name} ${corpus}")
endfunction()
