// Values by key, of which the least recently used is forgotten when there are too many.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::policy {

// Never more than `max` entries, whoever asks for how many keys. Not thread-safe.
template <class Value>
class RecentTable {
 public:
  // REQUIRES: max > 0
  explicit RecentTable(std::size_t max) : max_(max) { VALKYRIE_ASSERT(max > 0); }
  RecentTable(const RecentTable&) = delete;
  RecentTable& operator=(const RecentTable&) = delete;

  // The value of a key, made from `fresh` where there is none; now the most recently used. Valid
  // until the next call.
  Value& use(std::string_view key, const Value& fresh = {}) {
    if (Value* const known = find(key)) return *known;
    if (entries_.size() == max_) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(std::string(key), fresh);
    // The list does not move its keys: the index borrows them.
    places_.emplace(entries_.front().first, entries_.begin());
    return entries_.front().second;
  }
  // The same, but nullptr where there is none.
  Value* find(std::string_view key) {
    const auto place = places_.find(key);
    if (place == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, place->second);
    return &place->second->second;
  }
  // Forgets a key; false if there is none.
  bool erase(std::string_view key) {
    const auto place = places_.find(key);
    if (place == places_.end()) return false;
    const auto entry = place->second;
    places_.erase(place);
    entries_.erase(entry);
    return true;
  }
  // Keys and values, the most recently used first.
  [[nodiscard]] const std::list<std::pair<std::string, Value>>& entries() const { return entries_; }

 private:
  using Entries = std::list<std::pair<std::string, Value>>;

  const std::size_t max_;
  Entries entries_;
  std::unordered_map<std::string_view, typename Entries::iterator> places_;
};

}  // namespace valkyrie::policy
