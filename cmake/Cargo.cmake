# Rust packages: how they are built, and where cargo keeps their sources.
find_program(VALKYRIE_CARGO cargo HINTS $ENV{HOME}/.cargo/bin)
if(NOT VALKYRIE_CARGO)
  message(FATAL_ERROR "cargo is needed to build BoringSSL: install Rust 1.85 or later")
endif()

if(DEFINED ENV{XDG_CACHE_HOME})
  set(VALKYRIE_CRATE_CACHE $ENV{XDG_CACHE_HOME}/valkyrie)
else()
  set(VALKYRIE_CRATE_CACHE $ENV{HOME}/.cache/valkyrie)
endif()

# valkyrie_crate_target(OUT CRATE NAME): where cargo builds what is in a folder, outside the tree.
# Another set of versions goes elsewhere, so that clones of two versions do not build in turns.
function(valkyrie_crate_target out crate name)
  file(SHA256 ${crate}/Cargo.lock hash)
  string(SUBSTRING ${hash} 0 12 hash)
  set(${out} ${VALKYRIE_CRATE_CACHE}/${name}-${hash} PARENT_SCOPE)
endfunction()

# valkyrie_crate_folder(OUT MANIFEST PACKAGE): where cargo keeps the source of a package.
function(valkyrie_crate_folder out manifest package)
  execute_process(
    COMMAND ${VALKYRIE_CARGO} metadata --locked --format-version 1 --manifest-path ${manifest}
    OUTPUT_VARIABLE metadata ERROR_VARIABLE error RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "cargo cannot fetch ${package}: ${error}")
  endif()
  string(REGEX MATCH "\"manifest_path\":\"([^\"]*/${package}-[0-9][^\"/]*)/Cargo.toml\"" found
    "${metadata}")
  if(NOT found)
    message(FATAL_ERROR "${manifest} does not name the package ${package}")
  endif()
  set(${out} ${CMAKE_MATCH_1} PARENT_SCOPE)
endfunction()
