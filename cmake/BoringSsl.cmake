# BoringSSL as the imported target BoringSSL::crypto: a static archive that cargo builds once for all
# clones, in the build cache. docs/operating/dependencies.md says which and why.
set(boringssl_crate ${CMAKE_SOURCE_DIR}/cmake/boringssl)
valkyrie_crate_target(boringssl_target ${boringssl_crate} boringssl)
set(boringssl_archive ${boringssl_target}/release/libvalkyrie_boringssl.a)
valkyrie_crate_folder(boringssl_source ${boringssl_crate}/Cargo.toml boring-sys)

# Cargo itself knows whether there is something to do; its lock serialises clones.
add_custom_command(OUTPUT ${boringssl_archive}
  COMMAND ${CMAKE_COMMAND} -E env CARGO_TARGET_DIR=${boringssl_target}
    ${VALKYRIE_CARGO} build --quiet --release --locked --manifest-path ${boringssl_crate}/Cargo.toml
  DEPENDS ${boringssl_crate}/Cargo.toml ${boringssl_crate}/Cargo.lock ${boringssl_crate}/src/lib.rs
  COMMENT "BoringSSL (some minutes, once on a machine)" VERBATIM USES_TERMINAL)
add_custom_target(boringssl-build DEPENDS ${boringssl_archive})

add_library(boringssl-crypto STATIC IMPORTED GLOBAL)
set_target_properties(boringssl-crypto PROPERTIES
  IMPORTED_LOCATION ${boringssl_archive}
  INTERFACE_INCLUDE_DIRECTORIES ${boringssl_source}/deps/boringssl/include
  # Nobody else shall see its symbols, nor carry what is not called.
  INTERFACE_LINK_OPTIONS "-Wl,--exclude-libs,libvalkyrie_boringssl.a;-Wl,--gc-sections"
  INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS}")
add_dependencies(boringssl-crypto boringssl-build)
add_library(BoringSSL::crypto ALIAS boringssl-crypto)
