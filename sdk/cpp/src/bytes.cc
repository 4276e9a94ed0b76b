#include "valkyrie/bytes.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace valkyrie {
namespace {

struct TextBlock : detail::BytesBlock {
  explicit TextBlock(std::string&& taken) noexcept : text(std::move(taken)) {
    free = [](detail::BytesBlock* block) noexcept { delete static_cast<TextBlock*>(block); };
  }

  std::string text;
};

struct SharedBlock : detail::BytesBlock {
  explicit SharedBlock(std::shared_ptr<const void>&& shared) noexcept : keeper(std::move(shared)) {
    free = [](detail::BytesBlock* block) noexcept { delete static_cast<SharedBlock*>(block); };
  }

  std::shared_ptr<const void> keeper;
};

}  // namespace

Bytes Bytes::copy(BytesView bytes) {
  if (bytes.empty()) return {};
  void* memory = ::operator new(sizeof(detail::BytesBlock) + bytes.size());
  auto* block = new (memory) detail::BytesBlock;
  block->free = [](detail::BytesBlock* dead) noexcept {
    dead->~BytesBlock();
    ::operator delete(dead);
  };
  auto* data = reinterpret_cast<std::byte*>(block + 1);
  std::memcpy(data, bytes.data(), bytes.size());
  return adopt(block, data, bytes.size());
}

Bytes Bytes::take(std::string&& text) {
  if (text.empty()) return {};
  auto* block = new TextBlock(std::move(text));
  return adopt(block, reinterpret_cast<const std::byte*>(block->text.data()), block->text.size());
}

Bytes Bytes::share(std::shared_ptr<const void> keeper, BytesView bytes) {
  return adopt(new SharedBlock(std::move(keeper)), bytes.data(), bytes.size());
}

Bytes Bytes::slice(std::size_t offset, std::size_t size) const {
  offset = std::min(offset, size_);
  Bytes part(*this);
  part.data_ += offset;
  part.size_ = std::min(size, size_ - offset);
  return part;
}

}  // namespace valkyrie
