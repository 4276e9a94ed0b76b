#include "server/jobs/queue.h"

#include <algorithm>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::jobs {

Shape* Queue::push(Row row, std::vector<Constraint> constraints) {
  std::vector<std::string> texts;
  texts.reserve(constraints.size());
  for (const Constraint& constraint : constraints) texts.push_back(constraint.text());
  std::ranges::sort(texts);
  std::string key;
  for (const std::string& text : texts) key += text + '\n';
  auto found = shapes_.find(key);
  if (found == shapes_.end()) {
    if (shapes_.size() >= kShapesMax) return nullptr;
    auto shape = std::make_unique<Shape>(Shape{key, std::move(constraints), {}, {}});
    found = shapes_.emplace(std::move(key), std::move(shape)).first;
  }
  const bool added = found->second->waiting.insert(row).second;
  VALKYRIE_ASSERT(added);
  ++size_;
  return found->second.get();
}

void Queue::remove(Row row, Shape* shape) {
  const std::size_t erased = shape->waiting.erase(row);
  VALKYRIE_ASSERT(erased == 1);
  --size_;
  if (shape->waiting.empty()) shapes_.erase(std::string(shape->key));
}

std::optional<Row> Queue::first_for(const Labels& labels) const {
  std::optional<Row> best;
  for (const auto& [key, shape] : shapes_) {
    const Row head = *shape->waiting.begin();
    if (best && *best < head) continue;
    if (all_hold(shape->constraints, labels)) best = head;
  }
  return best;
}

}  // namespace valkyrie::jobs
