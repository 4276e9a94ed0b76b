# Named groups of targets for the Makefile, and the tests that look at the tree itself.

# What `make build` leaves in build/bin.
add_custom_target(programs)
foreach(program valkyrie-server valkyrie-runner valkyrie-cli)
  if(TARGET ${program})
    add_dependencies(programs ${program})
  endif()
endforeach()

# What `make fuzz` builds; scripts/fuzz reads the list: one "target corpus" a line.
add_custom_target(fuzzers)
get_property(fuzzers GLOBAL PROPERTY VALKYRIE_FUZZERS)
get_property(corpora GLOBAL PROPERTY VALKYRIE_FUZZ_CORPORA)
if(fuzzers)
  add_dependencies(fuzzers ${fuzzers})
endif()
list(JOIN corpora "\n" lines)
file(CONFIGURE OUTPUT fuzz/targets.txt CONTENT "${lines}\n")

# Each header compiled alone: only the lint build asks for it.
option(VALKYRIE_CHECK_HEADERS "Compile every header of the product by itself" OFF)
if(VALKYRIE_CHECK_HEADERS)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}
    protocol/*.h transport/*.h server/*.h sdk/cpp/*.h runner/*.h tools/*.h)
  set(sources)
  foreach(header IN LISTS headers)
    file(CONFIGURE OUTPUT headers/${header}.cc CONTENT "#include \"${header}\"\n")
    list(APPEND sources ${CMAKE_BINARY_DIR}/headers/${header}.cc)
  endforeach()
  add_library(valkyrie-headers OBJECT ${sources})
  target_include_directories(valkyrie-headers PRIVATE ${CMAKE_SOURCE_DIR}/sdk/cpp/include)
  target_link_libraries(valkyrie-headers PRIVATE valkyrie-options BoringSSL::crypto)
endif()

if(BUILD_TESTING)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  file(GLOB script_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/scripts/*_test.py)
  foreach(script_test IN LISTS script_tests)
    get_filename_component(name ${script_test} NAME_WE)
    add_test(NAME scripts_${name} COMMAND ${Python3_EXECUTABLE} -B ${script_test}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(scripts_${name} PROPERTIES LABELS tree TIMEOUT 300)
  endforeach()
endif()
