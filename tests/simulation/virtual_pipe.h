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
    // As the transport does it.
    const std::size_t unsent_max = session.critical(now) ? protocol::kKernelUnsentCriticalBytes
                                                         : protocol::kKernelUnsentBytesDefault;
    room_at_.reset();
    std::span<const std::byte> found[16];
    while (const std::size_t count = session.gather(found, unsent_max)) {
      std::size_t taken = 0;
      for (auto piece : std::span(found).first(count)) {
        piece = piece.first(std::min(piece.size(), room(unsent_max, now)));
        if (piece.empty()) break;
        push(piece, faults, random, now);
        taken += piece.size();
      }
      session.written(taken, now);
      if (taken == 0) return;
    }
  }

  // Sends bytes, cut into pieces that arrive in order.
  void send(std::span<const std::byte> bytes, const Faults& faults, std::mt19937_64& random,
            Instant now) {
    push(bytes, faults, random, now);
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

  // When the next piece is due, or room for another, if one is under way and the reader reads.
  [[nodiscard]] std::optional<Instant> due() const {
    if (stalled || pieces_.empty()) return std::nullopt;
    return room_at_ ? std::min(*room_at_, pieces_.front().due) : pieces_.front().due;
  }
  // True if nothing is under way.
  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  // Pieces that were damaged.
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }

  bool stalled = false;                // The reader does not read.
  std::size_t capacity = SIZE_MAX;     // Bytes that may be under way: the two kernels' buffers.
  std::uint64_t bytes_per_second = 0;  // Of the link; 0: as many as there are.
  Duration latency{};                  // From the last bit of a piece on the link to its arrival.
  Damage damage;

 private:
  // A link that has a rate carries pieces of at most this size.
  static constexpr std::size_t kPacketBytes = 4096;

  struct Piece {
    Instant due;
    Instant given;    // By the sender,
    Instant departs;  // and carried by the link.
    std::vector<std::byte> bytes;
  };

  // Bytes that may be given to the link now; what has not departed waits in the sender's kernel.
  std::size_t room(std::size_t unsent_max, Instant now) {
    const std::size_t left = capacity - std::min(capacity, queued_);
    if (bytes_per_second == 0) return left;
    std::size_t unsent = 0;
    for (auto piece = pieces_.rbegin(); piece != pieces_.rend() && piece->departs > now; ++piece) {
      unsent += piece->bytes.size();
      room_at_ = piece->departs;
    }
    if (unsent < unsent_max) room_at_.reset();
    return std::min(left, unsent_max - std::min(unsent_max, unsent));
  }

  // Bytes of the last packet, if it can still grow; else 0.
  [[nodiscard]] std::size_t joinable(Instant now) const {
    if (bytes_per_second == 0 || pieces_.empty() || pieces_.back().given != now) return 0;
    const std::size_t size = pieces_.back().bytes.size();
    return size < kPacketBytes ? size : 0;
  }

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
      if (bytes_per_second > 0) {
        size = std::min(size, kPacketBytes - joinable(now));
        free_at_ = std::max(free_at_, now) + Duration(size * 1'000'000'000 / bytes_per_second);
        due += free_at_ - now + latency;
      }
      if (!pieces_.empty()) due = std::max(due, pieces_.back().due);
      const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(size);
      if (joinable(now) > 0) {
        Piece& last = pieces_.back();
        last.bytes.insert(last.bytes.end(), bytes.begin(), end);
        last.due = due;
        last.departs = free_at_;
        queued_ += size;
      } else {
        add({.due = due, .given = now, .departs = free_at_, .bytes = {bytes.begin(), end}}, random);
      }
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
  Instant free_at_ = Instant::min();  // When the link has carried all it was given.
  std::optional<Instant> room_at_;    // While the sender waits: when the next piece departs.
  std::uint64_t damaged_ = 0;
};

}  // namespace valkyrie::simulation
