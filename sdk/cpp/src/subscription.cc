#include "valkyrie/subscription.h"

#include <span>
#include <utility>

#include "protocol/metadata.h"

namespace valkyrie {
namespace {

constexpr std::size_t kBlockHead = 3;

std::size_t octet(const Bytes& block, std::size_t at) {
  return std::to_integer<std::size_t>(block.data()[at]);
}

std::size_t subject_bytes(const Bytes& block) { return octet(block, 0); }

std::size_t metadata_bytes(const Bytes& block) { return octet(block, 1) << 8 | octet(block, 2); }

Metadata decode(BytesView encoded) {
  Metadata metadata;
  const auto view = protocol::parse_metadata(encoded.span(), protocol::FrameType::event);
  if (!view) return metadata;
  view->for_each_pair([&metadata](std::string_view name, std::string_view value) {
    metadata.add_received(name, value);
  });
  return metadata;
}

}  // namespace

std::string_view to_string(AckLevel level) {
  switch (level) {
    case AckLevel::received:
      return "received";
    case AckLevel::persisted:
      return "persisted";
    case AckLevel::replicated:
      return "replicated";
  }
  return "unknown";
}

std::optional<AckLevel> ack_level(std::string_view word) {
  for (const AckLevel level : {AckLevel::received, AckLevel::persisted, AckLevel::replicated}) {
    if (word == to_string(level)) return level;
  }
  return std::nullopt;
}

Metadata PublicationView::metadata() const { return decode(encoded_metadata); }

Publication::Publication(Bytes block, std::uint64_t missed, bool interrupted) noexcept
    : block_(std::move(block)),
      payload_(block_.slice(kBlockHead + subject_bytes(block_) + metadata_bytes(block_))),
      missed_(missed),
      interrupted_(interrupted) {}

std::string_view Publication::subject() const noexcept {
  return BytesView(block_).text().substr(kBlockHead, subject_bytes(block_));
}

Metadata Publication::metadata() const {
  return decode(std::span(block_.data(), block_.size())
                    .subspan(kBlockHead + subject_bytes(block_), metadata_bytes(block_)));
}

}  // namespace valkyrie
