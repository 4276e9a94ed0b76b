// Jobs that wait for a runner, by shape: jobs of one shape ask the same of a runner, so that a free
// slot is matched against shapes, never against every job.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/messages/jobs.h"
#include "server/jobs/constraint.h"
#include "server/jobs/job_id.h"

namespace valkyrie::jobs {

// What jobs of one shape share. Lives while a job of it waits.
struct Shape {
  std::string key;  // The constraints, canonical.
  std::vector<Constraint> constraints;
  std::set<Row> waiting;  // The lowest row was submitted first.
  messages::Waiting why;  // Why they wait, as last told.
};

// Distinct shapes that may wait at a time: every free slot looks at each.
inline constexpr std::size_t kShapesMax = 4096;

// The queue. First in, first out among what a runner matches.
class Queue {
 public:
  // Adds a job. nullptr: kShapesMax other shapes wait already. The shape is borrowed until the last
  // of its jobs is removed.
  Shape* push(Row row, std::vector<Constraint> constraints);
  // Takes a job out; the shape may be gone after.
  void remove(Row row, Shape* shape);
  // The job that waited longest among those a runner with these labels matches.
  [[nodiscard]] std::optional<Row> first_for(const Labels& labels) const;
  // Jobs that wait.
  [[nodiscard]] std::size_t size() const { return size_; }
  // All shapes, by key.
  [[nodiscard]] std::map<std::string, std::unique_ptr<Shape>>& shapes() { return shapes_; }

 private:
  std::map<std::string, std::unique_ptr<Shape>> shapes_;
  std::size_t size_ = 0;
};

}  // namespace valkyrie::jobs
