# Boost.JSON compiled once. Debian's headers can be used alone by including its sources, but then two
# libraries of one program that did so would both define its functions.
find_package(Boost 1.81 REQUIRED)
add_library(valkyrie-boost-json STATIC ${CMAKE_SOURCE_DIR}/cmake/boost_json.cc)
target_link_libraries(valkyrie-boost-json PUBLIC Boost::headers PRIVATE valkyrie-options)
