// What was said to be durable is there after kill -9, whenever that comes.
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "server/job_store/testing/test_store.h"
#include "transport/socket.h"

namespace valkyrie::job_store {
namespace {

using testing::TestFolder;
using transport::Socket;

// A child and what it says.
struct Child {
  pid_t pid = 0;
  Socket output;
};

Child start_child(const std::string& directory, std::uint32_t epoch) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const std::string number = std::to_string(epoch);
  Child child{.pid = ::fork(), .output = Socket(ends[0])};
  if (child.pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(VALKYRIE_KILL_CHILD, "kill-child", directory.c_str(), number.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  return child;
}

// Reads numbers, kills after some of them, reads what was said before the kill took effect.
std::vector<std::uint64_t> kill_after(Child& child, std::size_t lines) {
  std::string text;
  std::vector<std::uint64_t> numbers;
  bool killed = false;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = ::read(child.output.fd(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      numbers.emplace_back();
      std::from_chars(text.data(), text.data() + end, numbers.back());
      text.erase(0, end + 1);
    }
    if (!killed && numbers.size() > lines) {
      ::kill(child.pid, SIGKILL);
      killed = true;
    }
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child.pid, &status, 0), child.pid);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself, status " << status;
  return numbers;
}

// Everything up to `durable` of a run that began at `first` is in what the store held.
void expect_durable(const std::map<jobs::Row, jobs::JobRecord>& held, jobs::Row first,
                    std::uint64_t durable, std::uint32_t epoch) {
  for (std::uint64_t change = 1; change <= durable; ++change) {
    const jobs::Row row = first + (change - 1) / 3;
    const auto found = held.find(row);
    ASSERT_NE(found, held.end()) << "change " << change << ", row " << row;
    jobs::JobRecord record = testing::make_record(row);
    const std::uint64_t token = std::uint64_t{epoch} << 40 | row;
    if ((change - 1) % 3 == 1 && found->second.status.ended_ms == 0) {
      record.status = testing::assigned(token);
      ASSERT_EQ(found->second, record) << "change " << change;
    }
    if ((change - 1) % 3 == 2) {
      record.status = testing::ended(token);
      ASSERT_EQ(found->second, record) << "change " << change;
    }
  }
}

TEST(KillStore, keeps_what_it_said_is_durable_when_it_is_killed_at_any_moment) {
  const TestFolder folder;
  std::mt19937 random(20261124);
  std::map<jobs::Row, jobs::JobRecord> held;
  std::uint32_t epoch = 1;
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    const std::uint32_t killed = epoch++;
    Child child = start_child(folder.store(), killed);
    const auto said = kill_after(child, random() % 40);
    ASSERT_FALSE(said.empty());
    StoreOptions options{.epoch = epoch++,
                         .log = [](std::string_view) {},
                         .now_ms = [] { return testing::kNoonMs; },
                         .ended_max = 1'000'000};
    auto opened = SqliteJobStore::open(folder.store(), options);
    ASSERT_TRUE(opened.has_value()) << opened.error();
    held.clear();
    for (const jobs::JobRecord& record : opened->jobs.live) held[record.id.row()] = record;
    for (const jobs::JobRecord& record : opened->jobs.ended) held[record.id.row()] = record;
    EXPECT_EQ(opened->jobs.next_row, held.empty() ? 1 : held.rbegin()->first + 1);
    const std::uint64_t durable = said.size() == 1 ? 0 : said.back();
    expect_durable(held, said.front(), durable, killed);
  }
}

}  // namespace
}  // namespace valkyrie::job_store
