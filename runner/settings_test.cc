#include "runner/settings.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <gtest/gtest.h>
#include <initializer_list>
#include <sys/utsname.h>

namespace valkyrie::runner {
namespace {

using namespace std::chrono_literals;

std::expected<Settings, SettingsExit> read(std::vector<std::string> words) {
  words.insert(words.begin(), "valkyrie-runner");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return read_settings(static_cast<int>(argv.size()), argv.data());
}

std::string label(const Settings& settings, const std::string& name) {
  const auto at = std::ranges::find(settings.labels, name, &messages::NameValue::first);
  return at == settings.labels.end() ? "" : at->second;
}

TEST(Settings, without_arguments_describe_this_machine) {
  setenv("XDG_STATE_HOME", "/state", 1);
  const auto settings = read({});
  ASSERT_TRUE(settings.has_value()) << settings.error().text;
  utsname machine{};
  uname(&machine);
  EXPECT_EQ(label(*settings, "os"), "linux");
  EXPECT_EQ(label(*settings, "arch"), machine.machine);
  EXPECT_FALSE(settings->name.empty());
  EXPECT_EQ(settings->work_dir, "/state/valkyrie/runner/" + settings->name);
  EXPECT_GE(settings->slots, 1u);
  EXPECT_EQ(settings->drain_timeout, 1min);
  EXPECT_FALSE(settings->once);
}

TEST(Settings, every_option_is_read) {
  const auto settings =
      read({"--node", "unix:///n", "--name", "builder", "--label", "gpu=a100", "--label", "os=mine",
            "--slots", "3", "--work-dir", "/w", "--drain-timeout", "1500ms"});
  ASSERT_TRUE(settings.has_value()) << settings.error().text;
  EXPECT_EQ(settings->node, "unix:///n");
  EXPECT_EQ(settings->name, "builder");
  EXPECT_EQ(label(*settings, "gpu"), "a100");
  EXPECT_EQ(label(*settings, "os"), "mine") << "the command line wins";
  EXPECT_EQ(std::ranges::count(settings->labels, "os", &messages::NameValue::first), 1);
  EXPECT_EQ(settings->slots, 3u);
  EXPECT_EQ(settings->work_dir, "/w");
  EXPECT_EQ(settings->drain_timeout, 1500ms);
}

TEST(Settings, once_means_one_slot) {
  const auto settings = read({"--once", "--slots", "8"});
  ASSERT_TRUE(settings.has_value());
  EXPECT_TRUE(settings->once);
  EXPECT_EQ(settings->slots, 1u);
}

TEST(Settings, a_work_folder_is_made_absolute) {
  EXPECT_TRUE(read({"--work-dir", "here"})->work_dir.is_absolute());
}

TEST(Settings, help_and_version_are_no_errors) {
  EXPECT_EQ(read({"--help"}).error().code, 0);
  EXPECT_NE(read({"--help"}).error().text.find("Examples:"), std::string::npos);
  EXPECT_EQ(read({"--version"}).error().code, 0);
}

TEST(Settings, what_makes_no_sense_names_the_cause) {
  const auto text = [](std::vector<std::string> words) {
    const auto settings = read(std::move(words));
    if (settings) return std::string("accepted");
    EXPECT_EQ(settings.error().code, 2);
    return settings.error().text;
  };
  EXPECT_NE(text({"--label", "gpu"}).find("--label gpu: write key=value"), std::string::npos);
  EXPECT_NE(text({"--label", "=x"}).find("key=value"), std::string::npos);
  EXPECT_NE(text({"--drain-timeout", "30"}).find("30 has no unit; write 30s or 30ms"),
            std::string::npos);
  EXPECT_NE(text({"--slots", "0"}).find("--slots"), std::string::npos);
  EXPECT_NE(text({"--slots", "1025"}).find("--slots"), std::string::npos);
  EXPECT_NE(text({"--name", std::string(257, 'n')}).find("--name"), std::string::npos);
  EXPECT_NE(text({"--lable", "a=b"}).find("--lable"), std::string::npos);
  std::vector<std::string> many;
  for (int i = 0; i < 63; ++i) {
    many.insert(many.end(), {"--label", "l" + std::to_string(i) + "=x"});
  }
  EXPECT_NE(text(many).find("at most 64 labels"), std::string::npos);
  many.resize(2 * 62);
  EXPECT_EQ(text(many), "accepted");
}

TEST(Settings, each_start_has_its_own_instance) {
  EXPECT_EQ(random_instance().size(), 32u);
  EXPECT_NE(random_instance(), random_instance());
}

}  // namespace
}  // namespace valkyrie::runner
