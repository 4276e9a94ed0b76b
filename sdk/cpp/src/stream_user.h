// Where the events of a stream go. Private to this folder.
#pragma once

#include <cstdint>

#include "protocol/event.h"

namespace valkyrie::detail {

class Link;

// What the session's `user` of a stream points to.
class StreamUser {
 public:
  virtual void on_data(Link&, const protocol::Event&) {}
  virtual void on_publication(Link&, const protocol::Event&) {}
  virtual void on_end(Link&, const protocol::Event&) {}
  virtual void on_flushed(const protocol::Event&) {}
  // The stream's last event: reset or stream_closed. May destroy the user.
  virtual void on_over(Link& link, const protocol::Event& event) = 0;

  // To and from the session's number.
  [[nodiscard]] std::uint64_t number() { return reinterpret_cast<std::uint64_t>(this); }
  [[nodiscard]] static StreamUser* of(std::uint64_t number) {
    return reinterpret_cast<StreamUser*>(number);
  }

 protected:
  ~StreamUser() = default;
};

}  // namespace valkyrie::detail
