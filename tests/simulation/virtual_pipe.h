// One direction of a virtual connection, and what may happen to bytes on it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "protocol/session.h"

namespace valkyrie::simulation {

using protocol::Duration;
using protocol::Instant;

// What a stream transport does to bytes. None of it loses or reorders within a connection.
struct Faults {
  std::size_t piece_bytes_max = SIZE_MAX;  // Longest piece sent at once, drawn from 1.
  std::size_t joined_bytes_max = 0;        // Pieces that are due are read as one up to so many.
  Duration delay_max{};                    // Of a piece, drawn from 0.
  bool uneven = false;                     // A turn may leave pieces that are due to the next.
};

// What no transport may do to bytes: with it, a simulator that sees nothing is blind. Each piece
// is hit with a chance of one in so many; 0: never.
struct Damage {
  std::uint32_t duplicated_one_in = 0;
  std::uint32_t lost_one_in = 0;
  std::uint32_t flipped_one_in = 0;  // One bit of it.
};

// Bytes from one session to the other.
class Pipe {
 public:
  // Sends what the session has to write, cut into pieces that arrive in order, as far as there is
  // room.
  void take_from(protocol::Session& session, const Faults& faults, std::mt19937_64& random,
                 Instant now) {
    std::span<const std::byte> found[16];
    while (const std::size_t count = session.gather(found, 128 * 1024)) {
      std::size_t taken = 0;
      for (auto piece : std::span(found).first(count)) {
        piece = piece.first(std::min(piece.size(), capacity - std::min(capacity, queued_)));
        if (piece.empty()) break;
        push(piece, faults, random, now);
        taken += piece.size();
      }
      session.written(taken, now);
      if (taken == 0) return;
    }
  }

  // Gives what is due to `take(bytes)`, read by read. False if nothing was.
  template <class Take>
  bool deliver(const Faults& faults, std::mt19937_64& random, Instant now, Take take) {
    bool moved = false;
    std::size_t reads = SIZE_MAX;
    if (faults.uneven && !pieces_.empty()) reads = random() % (pieces_.size() + 1);
    while (readable(now)) {
      moved = true;
      if (reads-- == 0) break;
      const std::vector<std::byte> bytes = read(faults, now);
      take(std::span<const std::byte>(bytes));
    }
    return moved;
  }

  // When the next piece is due, if one is under way and the reader reads.
  [[nodiscard]] std::optional<Instant> due() const {
    if (stalled || pieces_.empty()) return std::nullopt;
    return pieces_.front().due;
  }
  // True if nothing is under way.
  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  // Pieces that were damaged.
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }

  bool stalled = false;             // The reader does not read.
  std::size_t capacity = SIZE_MAX;  // Bytes that may be under way: the two kernels' buffers.
  Damage damage;

 private:
  struct Piece {
    Instant due;
    std::vector<std::byte> bytes;
  };

  [[nodiscard]] bool readable(Instant now) const {
    return !stalled && !pieces_.empty() && pieces_.front().due <= now;
  }

  std::vector<std::byte> read(const Faults& faults, Instant now) {
    std::vector<std::byte> bytes = take_front();
    while (readable(now) &&
           bytes.size() + pieces_.front().bytes.size() <= faults.joined_bytes_max) {
      const std::vector<std::byte> next = take_front();
      bytes.insert(bytes.end(), next.begin(), next.end());
    }
    return bytes;
  }

  std::vector<std::byte> take_front() {
    std::vector<std::byte> bytes = std::move(pieces_.front().bytes);
    pieces_.pop_front();
    queued_ -= bytes.size();
    return bytes;
  }

  void push(std::span<const std::byte> bytes, const Faults& faults, std::mt19937_64& random,
            Instant now) {
    while (!bytes.empty()) {
      std::size_t size = bytes.size();
      if (faults.piece_bytes_max < SIZE_MAX) {
        size = std::min(size, static_cast<std::size_t>(1 + random() % faults.piece_bytes_max));
      }
      Instant due = now;
      if (faults.delay_max > Duration::zero()) {
        due += Duration(random() % static_cast<std::uint64_t>(faults.delay_max.count()));
      }
      if (!pieces_.empty()) due = std::max(due, pieces_.back().due);
      add({.due = due, .bytes = {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}},
          random);
      bytes = bytes.subspan(size);
    }
  }

  void add(Piece piece, std::mt19937_64& random) {
    const auto hit = [&](std::uint32_t one_in) {
      const bool is_hit = one_in > 0 && random() % one_in == 0;
      damaged_ += is_hit ? 1 : 0;
      return is_hit;
    };
    if (hit(damage.lost_one_in)) return;
    if (hit(damage.flipped_one_in)) {
      piece.bytes[random() % piece.bytes.size()] ^= std::byte(1U << random() % 8);
    }
    queued_ += piece.bytes.size();
    const bool again = hit(damage.duplicated_one_in);
    if (again) {
      queued_ += piece.bytes.size();
      pieces_.push_back(piece);
    }
    pieces_.push_back(std::move(piece));
  }

  std::deque<Piece> pieces_;
  std::size_t queued_ = 0;
  std::uint64_t damaged_ = 0;
};

}  // namespace valkyrie::simulation
