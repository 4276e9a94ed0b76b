// For tests: makes the system refuse what it usually gives. Each object undoes its effect.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace valkyrie::transport::testing {

// Leaves this process so many descriptors to open.
class DescriptorsLeft {
 public:
  // `count` further descriptors can be opened while this object lives.
  explicit DescriptorsLeft(unsigned count) {
    const int lowest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(lowest);
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit scarce = before_;
    scarce.rlim_cur = static_cast<rlim_t>(lowest) + count;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &scarce), 0);
  }
  ~DescriptorsLeft() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorsLeft(const DescriptorsLeft&) = delete;
  DescriptorsLeft& operator=(const DescriptorsLeft&) = delete;

 private:
  rlimit before_{};
};

// Gives up root, who may write everywhere; does nothing for other users.
class OrdinaryUser {
 public:
  OrdinaryUser() { EXPECT_TRUE(!root_ || ::seteuid(kNobody) == 0); }
  ~OrdinaryUser() {
    if (root_) static_cast<void>(!::seteuid(0));
  }
  OrdinaryUser(const OrdinaryUser&) = delete;
  OrdinaryUser& operator=(const OrdinaryUser&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  const bool root_ = ::geteuid() == 0;
};

}  // namespace valkyrie::transport::testing
