#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace valkyrie::bench {

// Output gathered for one write. Grows to what the closed loop keeps in flight and then allocates
// no more; unlike a vector it never clears bytes that are about to be overwritten, which a profile
// of the floor showed to matter. Not thread-safe.
class Batch {
 public:
  // Makes room for `bytes` more at the end and returns where to write them; valid until the next
  // call. The bytes are not initialised.
  [[nodiscard]] std::byte* extend(std::size_t bytes) {
    if (capacity_ - size_ < bytes) grow(bytes);
    std::byte* const at = data_.get() + size_;
    size_ += bytes;
    return at;
  }
  // Appends a copy of `text`.
  void append(std::string_view text) { std::memcpy(extend(text.size()), text.data(), text.size()); }

  // What waits for the write, without the bytes dropped from the front; valid until extend().
  [[nodiscard]] std::span<const std::byte> pending() const {
    return {data_.get() + front_, size_ - front_};
  }
  // The first `bytes` of pending() were written.
  void written(std::size_t bytes) {
    front_ += bytes;
    if (front_ == size_) clear();
  }
  // Drops everything.
  void clear() { front_ = size_ = 0; }

 private:
  static constexpr std::size_t kFirstBytes = std::size_t{64} << 10;

  void grow(std::size_t bytes) {
    const std::size_t capacity = std::max({kFirstBytes, capacity_ * 2, size_ + bytes});
    auto data = std::make_unique_for_overwrite<std::byte[]>(capacity);
    if (size_ > 0) std::memcpy(data.get(), data_.get(), size_);
    data_ = std::move(data);
    capacity_ = capacity;
  }

  std::unique_ptr<std::byte[]> data_;
  std::size_t capacity_ = 0;
  std::size_t front_ = 0;  // Written so far.
  std::size_t size_ = 0;
};

}  // namespace valkyrie::bench
