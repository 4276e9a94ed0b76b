#include "server/policy/ban_list.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <iterator>

namespace valkyrie::policy {

namespace {

constexpr std::chrono::milliseconds kMillisecond{1};

// Bytes of a peer's name in a file; longer ones are nobody's.
constexpr std::size_t kPeerBytesMax = 64;

// Takes the text up to the next space, or all of it, from the front.
std::string_view next_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

template <class Number>
bool read_number(std::string_view word, Number& number) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc() && end == word.data() + word.size();
}

}  // namespace

protocol::Duration BanList::length(std::uint32_t bans) const {
  protocol::Duration length = rules_.first;
  for (std::uint32_t i = 1; i < bans && length < rules_.longest; ++i) length *= 2;
  return std::min(length, rules_.longest);
}

std::optional<protocol::Duration> BanList::fail(std::string_view peer, protocol::Instant now) {
  if (rules_.failures_max == 0) return std::nullopt;
  Peer& known = peers_.use(peer, {.failures_until = now, .banned_until = now});
  known.failures_until = std::max(known.failures_until, now) + rules_.forgets;
  if (known.failures_until - now <= rules_.forgets * rules_.failures_max) return std::nullopt;
  const auto forgiven = std::max(now - known.banned_until, protocol::Duration{}) / rules_.forgives;
  known.bans -= static_cast<std::uint32_t>(std::min<std::int64_t>(known.bans, forgiven));
  ++known.bans;
  known.failures_until = now;
  known.banned_until = now + length(known.bans);
  return length(known.bans);
}

bool BanList::banned(std::string_view peer, protocol::Instant now) {
  const Peer* const known = peers_.find(peer);
  return known != nullptr && known->banned_until > now;
}

std::vector<Ban> BanList::list(protocol::Instant now) const {
  std::vector<Ban> bans;
  for (const auto& [name, peer] : peers_.entries()) {
    if (peer.banned_until <= now) continue;
    bans.push_back({.peer = name, .count = peer.bans, .left = peer.banned_until - now});
  }
  return bans;
}

bool BanList::lift(std::string_view peer, protocol::Instant now) {
  return banned(peer, now) && peers_.erase(peer);
}

std::string BanList::save(protocol::Instant now, std::uint64_t unix_ms) const {
  std::string text;
  for (const Ban& ban : list(now)) {
    const auto until = unix_ms + static_cast<std::uint64_t>(ban.left / kMillisecond);
    fmt::format_to(std::back_inserter(text), "{} {} {}\n", ban.peer, ban.count, until);
  }
  return text;
}

bool BanList::load(std::string_view text, protocol::Instant now, std::uint64_t unix_ms) {
  bool good = true;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::string_view name = next_word(line);
    std::uint32_t bans = 0;
    std::uint64_t until = 0;
    if (name.empty() || name.size() > kPeerBytesMax || !read_number(next_word(line), bans) ||
        !read_number(line, until)) {
      good = false;
      continue;
    }
    if (until <= unix_ms) continue;
    // A clock that was set meanwhile makes no ban for ever.
    const auto most = static_cast<std::uint64_t>(rules_.longest / kMillisecond);
    const auto left = std::chrono::milliseconds(std::min(until - unix_ms, most));
    peers_.use(name) = {.failures_until = now, .banned_until = now + left, .bans = bans};
  }
  return good;
}

}  // namespace valkyrie::policy
