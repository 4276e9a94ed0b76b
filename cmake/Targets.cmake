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
