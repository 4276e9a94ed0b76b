// Streams between a client and a service of the node, on the same shard and across.
#include <gtest/gtest.h>
#include <map>
#include <numeric>

#include "protocol/metadata.h"
#include "tests/simulation/virtual_network.h"

namespace valkyrie::simulation {
namespace {

using protocol::CloseCode;
using protocol::EventType;
using protocol::StatusCode;
using protocol::StreamKind;

constexpr router::LocalMethod kMethods[] = {{.name = "Talk", .kind = StreamKind::stream},
                                            {.name = "Ask", .kind = StreamKind::call}};
constexpr router::LocalServiceInfo kInfo{.name = "valkyrie.Test", .methods = kMethods};

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Keeps what it is told; does what the test says.
class Recorder final : public router::LocalService {
 public:
  void on_request(router::LocalCall call, const router::LocalRequest& request,
                  Instant /*now*/) override {
    asked = call;
    questions.push_back(text_of(request.payload));
  }
  void on_cancel(router::LocalCall call, Instant /*now*/) override {
    ++cancels;
    call.fail(StatusCode::cancelled, "given up");
  }
  void on_stream(router::LocalStream opened, const router::LocalOpen& open,
                 Instant /*now*/) override {
    stream = opened;
    address = open.caller.address;
  }
  void on_message(router::LocalStream /*stream*/, const router::LocalMessage& message,
                  Instant /*now*/) override {
    messages.push_back(text_of(message.payload));
    costs.push_back(message.cost);
    if (consume) stream.consume(message.cost);
  }
  void on_writable(router::LocalStream /*stream*/, Instant /*now*/) override { ++writables; }
  void on_end(router::LocalStream /*stream*/, Instant /*now*/) override { ++ends; }
  void on_closed(router::LocalStream closed, CloseCode code, Instant /*now*/) override {
    ++closes;
    closed_with = code;
    EXPECT_EQ(closed.id(), stream.id());
  }

  router::LocalStream stream;
  router::LocalCall asked;
  std::string address;
  std::vector<std::string> questions;
  std::vector<std::string> messages;
  std::vector<std::uint32_t> costs;
  CloseCode closed_with = CloseCode::none;
  int cancels = 0;
  int writables = 0;
  int ends = 0;
  int closes = 0;
  bool consume = true;
};

// A program with one stream.
class Talker final : public Program {
 public:
  Talker(VirtualNetwork& network, std::uint32_t shard) : wire(network.dial(*this, shard)) {
    network.run();
  }

  void open(std::string_view method, StreamKind kind = StreamKind::stream,
            std::string_view service = kInfo.name) {
    std::array<std::byte, 256> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service(service);
    writer.method(method);
    stream = *wire.near.open_stream(kind, 0, {.metadata = *writer.finish()}, 0);
  }
  protocol::Sent send(std::string_view text) {
    return *wire.near.send_data(stream, {.payload = bytes_of(text)});
  }

  void on_event(const protocol::Event& event) override {
    switch (event.type) {
      case EventType::data:
        partial += text_of(event.payload);
        if (!event.more) messages.push_back(std::exchange(partial, {}));
        wire.near.consume(event.stream, event.cost);
        return;
      case EventType::response:
        messages.push_back(text_of(event.payload));
        if (const auto status = event.metadata.status()) end_code = status->code;
        wire.near.consume(event.stream, event.cost);
        return;
      case EventType::end:
        ++ends;
        if (const auto status = event.metadata.status()) {
          end_code = status->code;
          end_text = status->text;
        }
        return;
      case EventType::reset:
        ++resets;
        reset_code = event.code;
        return;
      default:
        return;
    }
  }

  Wire& wire;
  std::uint32_t stream = 0;
  std::string partial;
  std::vector<std::string> messages;
  std::string end_text;
  StatusCode end_code = StatusCode::ok;
  CloseCode reset_code = CloseCode::none;
  int ends = 0;
  int resets = 0;
};

// The client on the shard of the service, and on another.
class LocalStream : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  LocalStream() : network(3, GetParam() + 1) {
    for (std::uint32_t i = 0; i <= GetParam(); ++i) {
      network.shard(i).add_service(kInfo, i == 0 ? &service : nullptr);
    }
    client = std::make_unique<Talker>(network, GetParam());
  }
  ~LocalStream() override {
    network.cut(client->wire);
    network.run();
    for (std::uint32_t i = 0; i <= GetParam(); ++i) {
      EXPECT_EQ(network.router_of(i).census().streams, 0U);
      EXPECT_EQ(network.router_of(i).census().calls, 0U);
    }
  }

  void talk() {
    client->open("Talk");
    network.run();
  }

  Recorder service;
  std::unique_ptr<Talker> client;
  VirtualNetwork network;
};

TEST_P(LocalStream, messages_go_both_ways_in_order) {
  talk();
  EXPECT_EQ(service.address, "virtual");
  for (int i = 0; i < 20; ++i) client->send("c" + std::to_string(i));
  network.run();
  ASSERT_EQ(service.messages.size(), 20U);
  EXPECT_EQ(service.messages[19], "c19");
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(service.stream.send("s" + std::to_string(i)));
  network.run();
  ASSERT_EQ(client->messages.size(), 20U);
  EXPECT_EQ(client->messages[19], "s19");
}

TEST_P(LocalStream, a_long_message_comes_whole) {
  talk();
  const std::string text(300'000, 'x');
  client->send(text);
  network.run();
  ASSERT_EQ(service.messages.size(), 1U);
  EXPECT_EQ(service.messages[0], text);
  service.stream.send(text);
  network.run();
  ASSERT_EQ(client->messages.size(), 1U);
  EXPECT_EQ(client->messages[0], text);
}

TEST_P(LocalStream, the_longest_message_passes_and_one_byte_more_resets) {
  talk();
  client->send(std::string(router::kLocalMessageBytesMax, 'x'));
  network.run();
  ASSERT_EQ(service.messages.size(), 1U);
  EXPECT_EQ(client->resets, 0);
  client->send(std::string(router::kLocalMessageBytesMax + 1, 'x'));
  network.run();
  EXPECT_EQ(service.messages.size(), 1U);
  EXPECT_EQ(service.closed_with, CloseCode::too_large);
  EXPECT_EQ(service.closes, 1);
  EXPECT_EQ(client->reset_code, CloseCode::too_large);
}

TEST_P(LocalStream, credit_that_the_service_keeps_stops_the_client) {
  talk();
  service.consume = false;
  for (int i = 0; i < 100; ++i) client->send(std::string(8'000, 'x'));
  network.run();
  const std::size_t held = service.messages.size();
  EXPECT_LT(held, 12U);
  network.run();
  EXPECT_EQ(service.messages.size(), held);
  service.consume = true;
  service.stream.consume(std::accumulate(service.costs.begin(), service.costs.end(), 0U));
  for (int i = 0; i < 100 && service.messages.size() < 100; ++i) {
    network.shard(0).router().end_turn();
    network.run();
  }
  EXPECT_EQ(service.messages.size(), 100U);
}

TEST_P(LocalStream, a_client_that_does_not_read_stops_the_service) {
  talk();
  client->wire.to_program.stalled = true;
  int sent = 1;
  const std::string text(8'000, 'x');
  while (service.stream.send(text)) {
    ASSERT_LT(++sent, 1000) << "send() never said stop";
    network.run();
  }
  EXPECT_FALSE(service.stream.writable());
  EXPECT_EQ(service.writables, 0);
  client->wire.to_program.stalled = false;
  network.run();
  EXPECT_EQ(service.writables, 1);
  EXPECT_TRUE(service.stream.writable());
  EXPECT_EQ(client->messages.size(), static_cast<std::size_t>(sent));
}

TEST_P(LocalStream, more_than_the_session_has_room_for_is_kept_until_it_has) {
  talk();
  client->wire.to_program.stalled = true;
  const std::string text(500'000, 'x');
  for (int i = 0; i < 20; ++i) service.stream.send(text + std::to_string(i));
  service.stream.end();
  network.run();
  EXPECT_EQ(client->messages.size(), 0U);
  client->wire.to_program.stalled = false;
  network.run();
  ASSERT_EQ(client->messages.size(), 20U);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(client->messages[i].substr(text.size()), std::to_string(i));
  }
  EXPECT_EQ(client->ends, 1) << "END comes after all that was sent before";
}

TEST_P(LocalStream, both_ends_in_order_close_the_stream) {
  talk();
  client->send("last");
  ASSERT_TRUE(client->wire.near.send_end(client->stream).has_value());
  network.run();
  EXPECT_EQ(service.ends, 1);
  EXPECT_EQ(service.closes, 0);
  service.stream.send("answer");
  service.stream.end();
  network.run();
  EXPECT_EQ(client->messages.size(), 1U);
  EXPECT_EQ(client->ends, 1);
  EXPECT_EQ(client->end_code, StatusCode::ok);
  EXPECT_EQ(service.closes, 1);
  EXPECT_EQ(service.closed_with, CloseCode::none);
  EXPECT_FALSE(service.stream.send("nobody hears"));
}

TEST_P(LocalStream, an_error_ends_the_stream_with_its_status) {
  talk();
  service.stream.end({StatusCode::not_found, protocol::Outcome::executed, "no such job"});
  network.run();
  EXPECT_EQ(client->end_code, StatusCode::not_found);
  EXPECT_EQ(client->end_text, "no such job");
}

TEST_P(LocalStream, a_reset_by_the_service_is_its_last_word) {
  talk();
  service.stream.send("dropped or not");
  service.stream.reset(CloseCode::superseded, "again");
  client->send("too late");
  network.run();
  EXPECT_EQ(client->reset_code, CloseCode::superseded);
  EXPECT_EQ(service.closes, 0);
  EXPECT_EQ(service.messages.size(), 0U);
}

TEST_P(LocalStream, a_reset_by_the_client_closes_the_stream) {
  talk();
  client->wire.near.reset(client->stream, CloseCode::cancelled);
  network.run();
  EXPECT_EQ(service.closes, 1);
  EXPECT_EQ(service.closed_with, CloseCode::cancelled);
}

TEST_P(LocalStream, a_client_that_is_gone_closes_the_stream) {
  talk();
  network.cut(client->wire);
  network.run();
  EXPECT_EQ(service.closes, 1);
  EXPECT_EQ(service.closed_with, CloseCode::destination_lost);
}

TEST_P(LocalStream, a_method_of_another_kind_or_none_is_unimplemented) {
  client->open("Ask");
  network.run();
  EXPECT_EQ(client->end_code, StatusCode::unimplemented);
  EXPECT_EQ(client->end_text, "valkyrie.Test/Ask is unary; call it");
  client->open("Nothing");
  client->send("ignored");
  network.run();
  EXPECT_EQ(client->end_text, "valkyrie.Test has no method \"Nothing\"");
  EXPECT_EQ(service.messages.size(), 0U);
}

TEST_P(LocalStream, a_stream_to_what_is_no_service_of_the_node_is_reset) {
  client->open("Talk", StreamKind::stream, "hello.Nobody");
  network.run();
  EXPECT_EQ(client->reset_code, CloseCode::no_service);
}

TEST_P(LocalStream, a_call_may_be_answered_later_and_cancelled_before) {
  client->open("Ask", StreamKind::call);
  ASSERT_TRUE(client->wire.near.send_request(client->stream, {.payload = bytes_of("why")}));
  network.run();
  ASSERT_EQ(service.questions, std::vector<std::string>{"why"});
  EXPECT_EQ(client->messages.size(), 0U);
  service.asked.respond("because");
  service.asked.respond("twice is once");
  network.shard(0).router().end_turn();
  network.run();
  EXPECT_EQ(client->messages, std::vector<std::string>{"because"});
  const auto sent = client->wire.near.send_request(client->stream, {.payload = bytes_of("why")});
  ASSERT_TRUE(sent.has_value());
  network.run();
  client->wire.near.cancel(client->stream, sent->correlation);
  network.run();
  EXPECT_EQ(service.cancels, 1);
  EXPECT_EQ(client->end_code, StatusCode::cancelled);
}

INSTANTIATE_TEST_SUITE_P(SameShardAndAcross, LocalStream, ::testing::Values(0U, 1U));

}  // namespace
}  // namespace valkyrie::simulation
