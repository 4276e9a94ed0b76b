// Which filters match a subject. The filters are a trie by token, with a child for `*` beside the
// literal ones; entries of filters that end in `>` hang at the node before it.
//
// Pure; not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/subject.h"

namespace valkyrie::router {

using protocol::check_subject;
using protocol::filter_matches;
using protocol::is_node_subject;
using protocol::SubjectError;
using protocol::SubjectForm;
using protocol::SubjectTokens;

// Nodes that a match may visit, whatever subject and filters there are. `*` beside a literal
// doubles what is left to visit, so that some thousand filters written for it could make each
// message cost a hundred thousand nodes. A filter that would let any subject visit more than this
// is refused: to get here takes `*` and literals side by side at 11 levels.
inline constexpr std::uint32_t kMatchVisitsMax = 4096;

// What a filter stands for, embedded in the object that is found by it. Stays where it is while it
// is in a table.
class SubjectEntry {
 public:
  SubjectEntry() = default;
  SubjectEntry(const SubjectEntry&) = delete;
  SubjectEntry& operator=(const SubjectEntry&) = delete;

  // Whether it is in a table.
  [[nodiscard]] bool is_linked() const { return node_ != kNone; }

 private:
  friend class SubjectTable;
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  std::uint32_t node_ = kNone;
  std::uint32_t position_ = 0;
  bool is_tail_ = false;
};

// Entries by filter.
class SubjectTable {
 public:
  // `seed` makes it unknown to peers which tokens share a bucket.
  explicit SubjectTable(std::uint64_t seed);

  // Adds an entry; any number may have the same filter. False if matching might then visit more
  // than kMatchVisitsMax nodes: nothing has changed.
  // REQUIRES: `filter` is legal; the entry is in no table.
  [[nodiscard]] bool add(SubjectEntry& entry, std::string_view filter);
  // Takes an entry out, in constant time but for the nodes of its filter. REQUIRES: it is here.
  void remove(SubjectEntry& entry);

  // Appends every entry whose filter matches, each once, in no order. Returns the nodes visited.
  // REQUIRES: `subject` is legal and has no wildcards.
  std::size_t match(std::string_view subject, std::vector<SubjectEntry*>& found) const;

  // A hash of text that depends on the seed.
  [[nodiscard]] std::uint64_t hash(std::string_view text) const { return hash_of(text); }

  // Entries in the table.
  [[nodiscard]] std::size_t size() const { return entries_; }
  // Nodes in use, the root among them.
  [[nodiscard]] std::size_t nodes() const { return nodes_.size() - free_.size(); }
  // No match visits more nodes than this, and this is at most kMatchVisitsMax.
  [[nodiscard]] std::uint32_t visits_bound() const { return nodes_[kRoot].visits; }

 private:
  static constexpr std::uint32_t kNone = SubjectEntry::kNone;
  static constexpr std::uint32_t kRoot = 0;

  struct Node {
    std::string token;
    std::uint64_t hash = 0;  // Of parent and token.
    std::uint32_t parent = kNone;
    std::uint32_t next_in_bucket = kNone;
    std::uint32_t star = kNone;
    // Literal children.
    std::uint32_t first_child = kNone;
    std::uint32_t next_sibling = kNone;
    std::uint32_t previous_sibling = kNone;
    std::uint32_t literals = 0;
    // At most this many nodes are visited from here on, this one among them: 1, the most of the
    // literal children, of which a match follows one, and those of `star`.
    std::uint32_t visits = 1;
    std::uint32_t literal_visits = 0;  // Never too low; exact after as many decreases as children.
    std::uint32_t decreases = 0;
    std::vector<SubjectEntry*> entries;  // Of filters that end here,
    std::vector<SubjectEntry*> tails;    // and of those that end in `>` here.
  };

  [[nodiscard]] std::uint64_t hash_of(std::string_view token) const;
  [[nodiscard]] std::uint64_t hash_of(std::uint32_t parent, std::uint64_t token_hash) const;
  [[nodiscard]] std::uint32_t find_child(std::uint32_t parent, std::string_view token,
                                         std::uint64_t token_hash) const;
  std::uint32_t make_node(std::uint32_t parent, std::string_view token);
  std::uint32_t child_for(std::uint32_t parent, std::string_view token);
  void add_to_bucket(std::uint32_t node);
  void take_from_bucket(std::uint32_t node);
  void grow_buckets();
  void drop_if_empty(std::uint32_t node);
  void raise_literal_visits(std::uint32_t parent, std::uint32_t visits);
  void lower_literal_visits(std::uint32_t parent, std::uint32_t was);
  void update_visits(std::uint32_t node);

  std::uint64_t seed_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> buckets_;  // Literal nodes by parent and token; a power of two.
  std::size_t literal_nodes_ = 0;
  std::size_t entries_ = 0;
};

}  // namespace valkyrie::router
