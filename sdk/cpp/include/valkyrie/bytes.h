// Bytes as calls carry them: borrowed (BytesView) or counted and immutable (Bytes).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace valkyrie {

class Bytes;

// A borrowed run of bytes: whoever made it says how long it lives. Trivially copyable.
class BytesView {
 public:
  // No bytes.
  constexpr BytesView() noexcept = default;
  // Borrows `bytes`.
  constexpr BytesView(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  // Borrows the characters of `text`.
  BytesView(std::string_view text) noexcept : bytes_(std::as_bytes(std::span(text))) {}
  // Borrows a C string without its final zero.
  BytesView(const char* text) noexcept : BytesView(std::string_view(text)) {}
  // Borrows the characters of `text`.
  BytesView(const std::string& text) noexcept : BytesView(std::string_view(text)) {}
  // Borrows what `bytes` holds.
  BytesView(const Bytes& bytes) noexcept;

  // The first byte; meaningless when empty.
  [[nodiscard]] constexpr const std::byte* data() const noexcept { return bytes_.data(); }
  // How many bytes.
  [[nodiscard]] constexpr std::size_t size() const noexcept { return bytes_.size(); }
  // Whether there are none.
  [[nodiscard]] constexpr bool empty() const noexcept { return bytes_.empty(); }
  // The same bytes as a span.
  [[nodiscard]] constexpr std::span<const std::byte> span() const noexcept { return bytes_; }
  // The same bytes as characters; nothing is checked or converted.
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  // True if both hold the same bytes.
  friend bool operator==(BytesView left, BytesView right) noexcept {
    return left.text() == right.text();
  }

 private:
  std::span<const std::byte> bytes_;
};

namespace detail {

// Head of a shared block of memory; whoever drops the last reference calls `free`.
struct BytesBlock {
  std::atomic<std::uint32_t> references{1};
  void (*free)(BytesBlock* block) noexcept = nullptr;
};

}  // namespace detail

// A counted slice of an immutable block. Copying shares the block; any thread may hold and drop a
// slice. A slice keeps its whole block alive: copy() what is small and kept for long.
class Bytes {
 public:
  // No bytes, no block.
  Bytes() noexcept = default;
  // Takes over the memory of `text`.
  Bytes(std::string&& text) : Bytes(take(std::move(text))) {}
  Bytes(const Bytes& other) noexcept
      : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Bytes(Bytes&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Bytes& operator=(Bytes other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Bytes() { release(); }

  // Copies `bytes` into a block of their own. One allocation; none for no bytes.
  [[nodiscard]] static Bytes copy(BytesView bytes);
  // Takes over the memory of `text`.
  [[nodiscard]] static Bytes take(std::string&& text);
  // For the library: `bytes`, which `keeper` keeps.
  [[nodiscard]] static Bytes share(std::shared_ptr<const void> keeper, BytesView bytes);
  // For the library: a slice of `block`, whose reference is handed over.
  [[nodiscard]] static Bytes adopt(detail::BytesBlock* block, const std::byte* data,
                                   std::size_t size) noexcept {
    Bytes bytes;
    bytes.block_ = block;
    bytes.data_ = data;
    bytes.size_ = size;
    return bytes;
  }

  // The bytes from `offset` on, at most `size` of them; shares the block. Cut to what there is.
  [[nodiscard]] Bytes slice(std::size_t offset, std::size_t size = SIZE_MAX) const;

  // The first byte; meaningless when empty.
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  // How many bytes.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // Whether there are none.
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  // The bytes as characters, valid as long as this slice; nothing is checked or converted.
  [[nodiscard]] std::string_view text() const noexcept { return BytesView(*this).text(); }

 private:
  void release() noexcept {
    if (block_ != nullptr && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      block_->free(block_);
    }
  }

  detail::BytesBlock* block_ = nullptr;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

inline BytesView::BytesView(const Bytes& bytes) noexcept : bytes_(bytes.data(), bytes.size()) {}

}  // namespace valkyrie
