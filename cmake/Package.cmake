# What `make install` puts under a prefix: programs, and the packages valkyrie-protocol and
# valkyrie-sdk with their headers, static libraries, CMake config and pkg-config files.
#
#   include/valkyrie/client.h             #include "valkyrie/client.h"     (valkyrie::sdk)
#   include/valkyrie/protocol/frame.h     #include "protocol/frame.h"      (valkyrie::protocol)
#   include/valkyrie/testing/node.h       #include "valkyrie/testing/node.h"  (valkyrie::testing)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/valkyrie)

# valkyrie_package(TARGET EXPORT_NAME [SET]): makes a static library of the tree installable. What it
# was built with (warnings, sanitizers) stays in the tree; the libraries it stands on come along. SET
# is a component of the package that find_package() has to name.
function(valkyrie_package target export_name)
  if(NOT TARGET ${target})
    return()
  endif()
  get_target_property(libraries ${target} INTERFACE_LINK_LIBRARIES)
  set(exported)
  foreach(library IN LISTS libraries)
    # No header of a package shows what is headers alone here.
    if(library MATCHES "valkyrie-options|^Boost::(headers|boost)$")
      list(APPEND exported "$<BUILD_INTERFACE:${library}>")
    elseif(library)
      list(APPEND exported "${library}")
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME ${export_name} INTERFACE_LINK_LIBRARIES "${exported}")
  target_compile_features(${target} INTERFACE cxx_std_23)
  target_include_directories(${target} INTERFACE
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/valkyrie>)
  list(JOIN ARGN "-" set)
  install(TARGETS ${target} EXPORT valkyrie${set} ARCHIVE COMPONENT development)
  set_property(GLOBAL APPEND PROPERTY VALKYRIE_PACKAGED ${target})
endfunction()

valkyrie_package(valkyrie-protocol protocol)
valkyrie_package(valkyrie-crypto crypto)
valkyrie_package(valkyrie-messages messages)
valkyrie_package(valkyrie-transport transport)
valkyrie_package(valkyrie-sdk sdk)
# The node that a test of an application runs: nobody calls these libraries by themselves.
foreach(library boost-json policy credentials registry router jobs job-store log-store node
        ops-node testing)
  valkyrie_package(valkyrie-${library} ${library} -testing)
endforeach()
get_property(packaged GLOBAL PROPERTY VALKYRIE_PACKAGED)

# What `make install` builds besides the programs.
add_custom_target(packages DEPENDS ${packaged})

# valkyrie_headers(ROOT DESTINATION): the headers under ROOT, without those private to their folder.
function(valkyrie_headers root destination)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/${root}
    ${CMAKE_SOURCE_DIR}/${root}/*.h)
  list(FILTER headers EXCLUDE REGEX "^tls/testing/")  # For our own tests.
  foreach(header IN LISTS headers)
    file(STRINGS ${root}/${header} private REGEX "^//.*[Pp]rivate to this( folder|$)" LIMIT_COUNT 1)
    if(NOT private)
      get_filename_component(folder ${header} DIRECTORY)
      install(FILES ${root}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${destination}/${folder}
        COMPONENT development)
    endif()
  endforeach()
endfunction()
valkyrie_headers(protocol valkyrie/protocol)
if(TARGET valkyrie-sdk)
  valkyrie_headers(sdk/cpp/include/valkyrie valkyrie)
endif()
if(TARGET valkyrie-testing)
  valkyrie_headers(server/testing/include/valkyrie valkyrie)
endif()
foreach(program valkyrie-server valkyrie-runner valkyrie-cli)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME COMPONENT programs)
  endif()
endforeach()

# valkyrie_needs(TARGET OUT...): the libraries behind a static library, in link order, once each:
# ours as names of archives, others as pkg-config modules and as CMake packages.
function(valkyrie_needs target out_archives out_modules out_packages)
  set(found_archives ${${out_archives}} ${target})
  set(found_modules ${${out_modules}})
  set(found_packages ${${out_packages}})
  get_target_property(libraries ${target} INTERFACE_LINK_LIBRARIES)
  foreach(library IN LISTS libraries)
    string(REGEX REPLACE "^\\$<LINK_ONLY:(.*)>$" "\\1" library "${library}")
    if(library STREQUAL "" OR library MATCHES "valkyrie-options|NOTFOUND")
      continue()
    elseif(library MATCHES "^valkyrie-")
      valkyrie_needs(${library} found_archives found_modules found_packages)
    elseif(library MATCHES "^(fmt|spdlog)::")
      list(APPEND found_modules ${CMAKE_MATCH_1})
      list(APPEND found_packages ${CMAKE_MATCH_1})
    elseif(library STREQUAL "SQLite::SQLite3")
      list(APPEND found_modules sqlite3)
      list(APPEND found_packages SQLite3)
    elseif(library MATCHES "^Threads::")
      list(APPEND found_packages Threads)
    elseif(NOT library MATCHES "Boost::(headers|boost)")
      message(FATAL_ERROR "${target} needs ${library}: say here how its packages name it")
    endif()
  endforeach()
  # An archive stands before what it needs: of two mentions the later one counts.
  list(REVERSE found_archives)
  list(REMOVE_DUPLICATES found_archives)
  list(REVERSE found_archives)
  list(REMOVE_DUPLICATES found_modules)
  list(REMOVE_DUPLICATES found_packages)
  set(${out_archives} ${found_archives} PARENT_SCOPE)
  set(${out_modules} ${found_modules} PARENT_SCOPE)
  set(${out_packages} ${found_packages} PARENT_SCOPE)
endfunction()

# The prefix is known only when the files are installed: module files find it from where they are.
file(RELATIVE_PATH prefix_from_module /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_module "${prefix_from_module}")
set(config_packages)
set(description_protocol "Valkyrie's wire protocol without I/O: codec, session and scheduler")
set(description_sdk "Valkyrie's client: call services, serve them, run jobs")
foreach(package IN ITEMS protocol sdk)
  if(NOT TARGET valkyrie-${package})
    continue()
  endif()
  set(archives)
  set(modules)
  valkyrie_needs(valkyrie-${package} archives modules config_packages)
  list(TRANSFORM archives PREPEND "-l")
  list(JOIN archives " " PC_ARCHIVES)
  list(JOIN modules " " PC_MODULES)
  set(PC_NAME valkyrie-${package})
  set(PC_DESCRIPTION "${description_${package}}")
  configure_file(cmake/valkyrie.pc.in valkyrie-${package}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/valkyrie-${package}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endforeach()

install(EXPORT valkyrie NAMESPACE valkyrie:: FILE valkyrie-targets.cmake
  DESTINATION ${package_dir} COMPONENT development)
if(TARGET valkyrie-testing)
  set(testing_packages)
  valkyrie_needs(valkyrie-testing testing_archives testing_modules testing_packages)
  install(EXPORT valkyrie-testing NAMESPACE valkyrie:: FILE valkyrie-testing-targets.cmake
    DESTINATION ${package_dir} COMPONENT development)
endif()
configure_package_config_file(cmake/valkyrie-config.cmake.in valkyrie-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(valkyrie-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/valkyrie-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/valkyrie-config-version.cmake
  DESTINATION ${package_dir} COMPONENT development)
