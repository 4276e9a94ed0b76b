// The functions of Boost.JSON: BoostJson.cmake.
#include <boost/json/src.hpp>
