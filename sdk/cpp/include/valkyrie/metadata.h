// Named values that travel beside a call's payload.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace valkyrie {

// An ordered list of name-value pairs; a name may repeat. Owns its bytes. Not thread-safe.
//
// Names are 1 to 128 characters of [a-z0-9._-]; values are printable ASCII, or any bytes if the
// name ends in "-bin". Names that begin with "valkyrie-" belong to the node.
class Metadata {
 public:
  // Bytes of all pairs as they are encoded, and how many pairs: more is refused by add().
  static constexpr std::size_t kBytesMax = 12u << 10;
  static constexpr std::size_t kPairsMax = 48;

  // Appends a copy of the pair. False, and nothing changes, if the name or the value breaks the
  // rules above or a limit.
  [[nodiscard]] bool add(std::string_view name, std::string_view value);
  // The first value of that name. Valid until the object changes.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const;

  // How many pairs.
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  // Whether there are none.
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

  // A pair; valid until the object changes.
  struct Pair {
    std::string_view name;
    std::string_view value;
  };
  // Walks the pairs in their order: `for (std::size_t at = 0; auto pair = metadata.next(at);)`.
  // nullopt after the last.
  [[nodiscard]] std::optional<Pair> next(std::size_t& at) const;

  // For the library: appends what a node has checked, its own names included.
  void add_received(std::string_view name, std::string_view value);

 private:
  std::string encoded_;  // u16 name length, u16 value length, name, value; one after another.
  std::size_t count_ = 0;
};

}  // namespace valkyrie
