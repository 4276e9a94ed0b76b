// A store whose disk is memory and whose commits are made by hand, for tests: what was not
// committed is lost in a crash.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <utility>

#include "protocol/assert.h"
#include "server/jobs/job_store.h"

namespace valkyrie::jobs {

// See the top of the file. One thread.
class VirtualJobStore final : public JobStore {
 public:
  Change insert(const JobRecord& record) override {
    return enter([this, record] {
      next_row_ = std::max(next_row_, record.id.row() + 1);
      VALKYRIE_ASSERT(records_.emplace(record.id.row(), record).second);
    });
  }
  Change update(const JobId& id, std::uint64_t token, const JobStatus& status) override {
    return enter([this, row = id.row(), token, status] {
      JobRecord& record = records_.at(row);
      VALKYRIE_ASSERT(record.status.token == token);
      record.status = status;
    });
  }
  [[nodiscard]] Change durable() const override { return durable_; }
  [[nodiscard]] StoreRoom room() const override { return room_now; }

  // Makes up to `count` changes durable, in order.
  void commit(std::size_t count = static_cast<std::size_t>(-1)) {
    for (; count > 0 && !pending_.empty(); --count) {
      pending_.front()();
      pending_.pop_front();
      ++durable_;
    }
  }
  // Changes that a crash would lose.
  [[nodiscard]] std::size_t pending() const { return pending_.size(); }
  // What is on the disk now, as a node that starts now is given it.
  [[nodiscard]] StoredJobs stored() const {
    StoredJobs stored{.next_row = next_row_};
    for (const auto& [row, record] : records_) {
      (messages::is_end(record.status.state) ? stored.ended : stored.live).push_back(record);
    }
    std::ranges::sort(stored.ended, {}, [](const JobRecord& record) {
      return std::pair(record.status.ended_ms, record.id);
    });
    return stored;
  }
  // The process dies, and another one opens the store.
  void crash() {
    pending_.clear();
    entered_ = durable_ = 0;
  }
  // A record on the disk, or nullptr.
  [[nodiscard]] const JobRecord* on_disk(const JobId& id) const {
    const auto found = records_.find(id.row());
    return found == records_.end() ? nullptr : &found->second;
  }

  StoreRoom room_now = StoreRoom::open;

 private:
  Change enter(std::function<void()> change) {
    pending_.push_back(std::move(change));
    return ++entered_;
  }

  std::map<Row, JobRecord> records_;
  std::deque<std::function<void()>> pending_;
  Change entered_ = 0;
  Change durable_ = 0;
  Row next_row_ = 1;
};

}  // namespace valkyrie::jobs
