#include "server/log_store/log_name.h"

#include <gtest/gtest.h>
#include <string>

#include "server/log_store/testing/logs.h"

namespace valkyrie::log_store {
namespace {

TEST(LogName, leads_back_to_the_log) {
  for (const jobs::LogId& log : {testing::log_id(1), testing::log_id(12345, 4'294'967'295U)}) {
    EXPECT_EQ(log_of_data_name(data_name(log)), log);
    EXPECT_EQ(folder_of(log).size(), 2U);
    EXPECT_EQ(data_name(log).find('/'), std::string::npos);
  }
}

TEST(LogName, is_exactly_one_text) {
  const std::string name = data_name(testing::log_id(1));
  std::string upper = name;
  upper[8] = 'A';
  for (const std::string& other :
       {std::string(), index_name(testing::log_id(1)), name + "x", name.substr(1),
        name.substr(0, 20) + ".1.log", name.substr(0, 31) + "01.log", name.substr(0, 31) + "x.log",
        upper, std::string("job_.1.log"), std::string("../x.1.log")}) {
    EXPECT_EQ(log_of_data_name(other), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace valkyrie::log_store
