#include "tools/valkyrie/json.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace valkyrie::tools {
namespace {

TEST(Json, numbers_are_written_as_people_write_them) {
  EXPECT_EQ(json_text(json::array{195.583, 1000.0, 0.5, -0.25, 7, 0.0}),
            "[195.583,1000,0.5,-0.25,7,0]");
}

TEST(Json, what_is_written_reads_as_what_it_was) {
  const json::value whole = json::parse(
      R"({"a":[],"b":{},"c":[1,[2.5,{"d":null}],true],"\"quoted\"\n":"tab\t\u0001","e":1e300})");
  EXPECT_EQ(json::parse(json_text(whole)), whole);
}

TEST(Json, bytes_that_are_no_text_are_base64) {
  EXPECT_EQ(json_text(bytes_json("caf\xc3\xa9")), "\"caf\xc3\xa9\"");
  EXPECT_EQ(json_text(bytes_json("\xff")), R"({"base64":"/w=="})");
}

}  // namespace
}  // namespace valkyrie::tools
