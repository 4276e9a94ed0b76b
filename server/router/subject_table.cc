#include "server/router/subject_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "protocol/assert.h"

namespace valkyrie::router {
namespace {

constexpr std::size_t kBucketsAtFirst = 64;

// Both halves of a product, folded: one multiplication mixes all bits.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

}  // namespace

SubjectTable::SubjectTable(std::uint64_t seed)
    : seed_(fold(seed ^ 0x9E3779B97F4A7C15U, 0xD1B54A32D192ED03U)),
      nodes_(1),
      buckets_(kBucketsAtFirst, kNone) {}

std::uint64_t SubjectTable::hash_of(std::string_view token) const {
  std::uint64_t hash = seed_ ^ token.size();
  while (!token.empty()) {
    std::uint64_t word = 0;
    const std::size_t size = std::min(token.size(), sizeof(word));
    std::memcpy(&word, token.data(), size);
    hash = fold(hash ^ word, seed_ ^ 0xA0761D6478BD642FU);
    token.remove_prefix(size);
  }
  return hash;
}

std::uint64_t SubjectTable::hash_of(std::uint32_t parent, std::uint64_t token_hash) const {
  return fold(token_hash ^ parent, seed_ ^ 0xE7037ED1A0B428DBU);
}

std::uint32_t SubjectTable::find_child(std::uint32_t parent, std::string_view token,
                                       std::uint64_t token_hash) const {
  const std::uint64_t hash = hash_of(parent, token_hash);
  std::uint32_t at = buckets_[hash & (buckets_.size() - 1)];
  while (at != kNone) {
    const Node& node = nodes_[at];
    if (node.hash == hash && node.parent == parent && node.token == token) return at;
    at = node.next_in_bucket;
  }
  return kNone;
}

std::uint32_t SubjectTable::make_node(std::uint32_t parent, std::string_view token) {
  std::uint32_t index = 0;
  if (free_.empty()) {
    index = static_cast<std::uint32_t>(nodes_.size());
    nodes_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  nodes_[index].parent = parent;
  nodes_[index].token = token;
  return index;
}

std::uint32_t SubjectTable::child_for(std::uint32_t parent, std::string_view token) {
  if (token == "*") {
    if (nodes_[parent].star != kNone) return nodes_[parent].star;
    const std::uint32_t made = make_node(parent, token);
    nodes_[parent].star = made;
    update_visits(parent);
    return made;
  }
  const std::uint64_t token_hash = hash_of(token);
  const std::uint32_t known = find_child(parent, token, token_hash);
  if (known != kNone) return known;
  const std::uint32_t made = make_node(parent, token);
  Node& node = nodes_[made];
  node.hash = hash_of(parent, token_hash);
  node.next_sibling = nodes_[parent].first_child;
  if (node.next_sibling != kNone) nodes_[node.next_sibling].previous_sibling = made;
  nodes_[parent].first_child = made;
  ++nodes_[parent].literals;
  if (++literal_nodes_ > buckets_.size()) grow_buckets();
  add_to_bucket(made);
  raise_literal_visits(parent, node.visits);
  update_visits(parent);
  return made;
}

void SubjectTable::add_to_bucket(std::uint32_t node) {
  std::uint32_t& first = buckets_[nodes_[node].hash & (buckets_.size() - 1)];
  nodes_[node].next_in_bucket = first;
  first = node;
}

void SubjectTable::take_from_bucket(std::uint32_t node) {
  std::uint32_t* link = &buckets_[nodes_[node].hash & (buckets_.size() - 1)];
  while (*link != node) link = &nodes_[*link].next_in_bucket;
  *link = nodes_[node].next_in_bucket;
}

void SubjectTable::grow_buckets() {
  const std::vector<std::uint32_t> old =
      std::exchange(buckets_, std::vector<std::uint32_t>(buckets_.size() * 2, kNone));
  for (std::uint32_t node : old) {
    while (node != kNone) {
      const std::uint32_t next = nodes_[node].next_in_bucket;
      add_to_bucket(node);
      node = next;
    }
  }
}

bool SubjectTable::add(SubjectEntry& entry, std::string_view filter) {
  VALKYRIE_ASSERT(!entry.is_linked());
  std::uint32_t at = kRoot;
  for (const std::string_view token : SubjectTokens(filter)) {
    entry.is_tail_ = token == ">";
    if (!entry.is_tail_) at = child_for(at, token);
  }
  std::vector<SubjectEntry*>& list = entry.is_tail_ ? nodes_[at].tails : nodes_[at].entries;
  entry.node_ = at;
  entry.position_ = static_cast<std::uint32_t>(list.size());
  list.push_back(&entry);
  ++entries_;
  if (visits_bound() <= kMatchVisitsMax) return true;
  remove(entry);
  return false;
}

void SubjectTable::remove(SubjectEntry& entry) {
  VALKYRIE_ASSERT(entry.is_linked());
  const std::uint32_t at = std::exchange(entry.node_, kNone);
  std::vector<SubjectEntry*>& list = entry.is_tail_ ? nodes_[at].tails : nodes_[at].entries;
  VALKYRIE_ASSERT(list[entry.position_] == &entry);
  list[entry.position_] = list.back();
  list[entry.position_]->position_ = entry.position_;
  list.pop_back();
  --entries_;
  drop_if_empty(at);
}

// Frees a node that leads to nothing any more, and those above it that then do not either.
void SubjectTable::drop_if_empty(std::uint32_t index) {
  while (index != kRoot) {
    Node& node = nodes_[index];
    const bool used = !node.entries.empty() || !node.tails.empty() || node.literals > 0;
    if (used || node.star != kNone) return;
    const std::uint32_t parent = node.parent;
    Node& above = nodes_[parent];
    if (above.star == index) {
      above.star = kNone;
    } else {
      take_from_bucket(index);
      --literal_nodes_;
      --above.literals;
      (node.previous_sibling == kNone ? above.first_child
                                      : nodes_[node.previous_sibling].next_sibling) =
          node.next_sibling;
      if (node.next_sibling != kNone) {
        nodes_[node.next_sibling].previous_sibling = node.previous_sibling;
      }
      lower_literal_visits(parent, node.visits);
    }
    node = {};
    free_.push_back(index);
    update_visits(parent);
    index = parent;
  }
}

void SubjectTable::raise_literal_visits(std::uint32_t parent, std::uint32_t visits) {
  nodes_[parent].literal_visits = std::max(nodes_[parent].literal_visits, visits);
}

// A literal child that cost `was` costs less, or is gone. Which of the others is dearest now is
// asked for once in as many times as there are children: until then the old bound holds, too.
void SubjectTable::lower_literal_visits(std::uint32_t parent, std::uint32_t was) {
  Node& node = nodes_[parent];
  if (node.literals > 0 && (was < node.literal_visits || ++node.decreases < node.literals)) return;
  node.decreases = 0;
  node.literal_visits = 0;
  for (std::uint32_t at = node.first_child; at != kNone; at = nodes_[at].next_sibling) {
    node.literal_visits = std::max(node.literal_visits, nodes_[at].visits);
  }
}

// Carries a change of a node's children up to the root.
void SubjectTable::update_visits(std::uint32_t index) {
  for (;;) {
    Node& node = nodes_[index];
    const std::uint32_t star = node.star == kNone ? 0 : nodes_[node.star].visits;
    const std::uint32_t was = std::exchange(node.visits, 1 + node.literal_visits + star);
    if (node.visits == was || index == kRoot) return;
    if (nodes_[node.parent].star != index) {
      if (node.visits > was) {
        raise_literal_visits(node.parent, node.visits);
      } else {
        lower_literal_visits(node.parent, was);
      }
    }
    index = node.parent;
  }
}

std::size_t SubjectTable::match(std::string_view subject, std::vector<SubjectEntry*>& found) const {
  struct Step {
    std::uint32_t node;
    std::uint32_t depth;
  };
  const SubjectTokens tokens(subject);
  std::array<std::uint64_t, protocol::kSubjectTokens> hashes;
  for (std::size_t i = 0; i < tokens.size(); ++i) hashes[i] = hash_of(tokens[i]);
  const bool is_node = is_node_subject(subject);
  // A visit takes one step and leaves two, one of them a level deeper than the other's parent.
  std::array<Step, protocol::kSubjectTokens + 1> steps;
  std::size_t left = 0;
  std::size_t visited = 0;
  steps[left++] = {kRoot, 0};
  while (left > 0) {
    const auto [index, depth] = steps[--left];
    const Node& node = nodes_[index];
    ++visited;
    if (depth == tokens.size()) {
      found.insert(found.end(), node.entries.begin(), node.entries.end());
      continue;
    }
    const bool wild = !is_node || depth > 0;
    if (wild) found.insert(found.end(), node.tails.begin(), node.tails.end());
    if (wild && node.star != kNone) steps[left++] = {node.star, depth + 1};
    if (node.literals == 0) continue;
    const std::uint32_t child = find_child(index, tokens[depth], hashes[depth]);
    if (child != kNone) steps[left++] = {child, depth + 1};
  }
  return visited;
}

}  // namespace valkyrie::router
