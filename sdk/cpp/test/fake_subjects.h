// Publish/subscribe of the tests' node. Private to this folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "transport/connection.h"

namespace valkyrie::test {

// Gives each message to every subscription whose filter matches, or to one of its group; receipts
// are `received` and no other level. Used on the node's thread.
class FakeSubjects {
 public:
  // False: the event is of no stream of this.
  bool on_event(transport::Connection& connection, const protocol::Event& event);
  // The connection is gone.
  void forget(const transport::Connection& connection);

  // Loses the next `count` matches of each subscription.
  void lose(std::uint32_t count);
  // Resets all streams of a kind.
  void reset(protocol::StreamKind kind, protocol::CloseCode code);
  // Neither answers nor gives credit for what is published.
  void be_deaf(bool deaf) { deaf_ = deaf; }
  [[nodiscard]] std::size_t subscriptions() const { return subscriptions_.size(); }
  // How many subscriptions there ever were.
  [[nodiscard]] std::uint64_t subscribed() const { return subscribed_; }
  // How many events had to wait for credit.
  [[nodiscard]] std::uint64_t waited() const { return waited_; }
  // How many messages have come, and how many of them named their subject.
  [[nodiscard]] std::uint64_t published() const { return published_; }
  [[nodiscard]] std::uint64_t subjects_named() const { return subjects_named_; }

 private:
  using Key = std::pair<transport::Connection*, std::uint32_t>;
  struct Subscribed {
    std::string filter;
    std::string group;
    bool no_echo = false;
    std::uint32_t sequence = 0;
    std::uint32_t lose = 0;
    std::uint64_t given = 0;
  };

  void on_opened(transport::Connection& connection, const protocol::Event& event);
  void on_publish(transport::Connection& connection, const std::string& stream_subject,
                  const protocol::Event& event);
  void give(const Key& to, Subscribed& one, std::string_view subject,
            const protocol::Event& publish);

  std::map<Key, Subscribed> subscriptions_;
  std::map<Key, std::string> publishers_;  // The subject of each stream.
  bool deaf_ = false;
  std::uint64_t subscribed_ = 0;
  std::uint64_t waited_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t subjects_named_ = 0;
};

}  // namespace valkyrie::test
