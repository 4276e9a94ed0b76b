// Two channels with a pipe between them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/tls/acceptor.h"
#include "protocol/tls/channel.h"
#include "protocol/tls/dialer.h"
#include "protocol/tls/testing/authority.h"

namespace valkyrie::protocol::tls::testing {

// What a channel has opened.
class Collector final : public PlainSink {
 public:
  void on_plain(std::span<std::byte> text) override {
    text_.append(reinterpret_cast<const char*>(text.data()), text.size());
  }
  // All of it, joined.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// One end, with what it has received and what is on its way to the other.
struct End {
  // Gives it bytes, `step` at a time.
  void take(std::vector<std::byte> bytes, std::size_t step) {
    for (std::size_t at = 0; at < bytes.size() && !error; at += step) {
      const std::size_t size = std::min(step, bytes.size() - at);
      // What was there before belongs to somebody else by now.
      std::vector<std::byte> piece(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                                   bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
      if (const auto taken = channel->receive(piece, received); !taken) error = taken.error();
    }
    collect();
  }
  // What it has to say, which seals nothing.
  void collect() {
    const std::vector<std::byte> said = channel->take_output();
    way.insert(way.end(), said.begin(), said.end());
  }
  // Puts a text on the way, sealed. REQUIRES: open()
  void seal(std::string_view text) {
    const std::array pieces = {std::as_bytes(std::span(text))};
    collect();
    ASSERT_TRUE(channel->seal(pieces, way).has_value());
  }
  // Whether records pass.
  [[nodiscard]] bool open() const { return !error && channel->open(); }
  // The channel as what it is.
  [[nodiscard]] const Channel& tls() const { return static_cast<const Channel&>(*channel); }

  std::unique_ptr<protocol::Channel> channel{};
  Collector received{};
  std::vector<std::byte> way{};
  std::optional<ChannelError> error{};
};

// The two, from the first byte on.
struct Pair {
  Pair(const Acceptor& acceptor_source, Dialer& dialer_source,
       std::string_view server = "localhost") {
    acceptor.channel = acceptor_source.accept();
    dialer.channel = dialer_source.dial(server);
    dialer.collect();
  }

  // Carries what both have to say, until nobody has any or one fails, and then its last word.
  void carry(std::size_t step = 1'000'000) {
    while (!dialer.error && !acceptor.error && (!dialer.way.empty() || !acceptor.way.empty())) {
      acceptor.take(std::exchange(dialer.way, {}), step);
      if (!dialer.error) dialer.take(std::exchange(acceptor.way, {}), step);
    }
    if (dialer.error && !acceptor.error) acceptor.take(std::exchange(dialer.way, {}), step);
  }
  // Whether records pass both ways.
  [[nodiscard]] bool open() const { return dialer.open() && acceptor.open(); }

  End dialer;
  End acceptor;
};

// One authority, a node and a client of it; what is changed before make() is what differs.
struct World {
  World() {
    node.own = authority.issue(node_wish());
    node.client_roots = authority.root();
    node.client = ClientCertificate::required;
    node.clock = [this] { return now; };
    client.own = authority.issue(client_wish());
    client.roots = authority.root();
    client.clock = [this] { return now; };
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Makes both sides of what they are told by now.
  void make() {
    auto made = Acceptor::make(node);
    ASSERT_TRUE(made.has_value()) << made.error();
    acceptor = std::move(*made);
    auto dialing = Dialer::make(client);
    ASSERT_TRUE(dialing.has_value()) << dialing.error();
    dialer = std::move(*dialing);
  }
  // Two channels that have said nothing yet.
  [[nodiscard]] Pair dial(std::string_view server = "localhost") {
    if (acceptor == nullptr) make();
    return Pair(*acceptor, *dialer, server);
  }

  std::int64_t now = kNow;
  Authority authority{"root"};
  AcceptorConfig node{};
  DialerConfig client{};
  std::unique_ptr<Acceptor> acceptor{};
  std::unique_ptr<Dialer> dialer{};
};

}  // namespace valkyrie::protocol::tls::testing
