// Rules that class what passes through the node, and ceilings.
#include <gtest/gtest.h>

#include "protocol/frame.h"
#include "tests/simulation/pubsub_peer.h"
#include "tests/simulation/virtual_peer.h"

namespace valkyrie::simulation {
namespace {

using protocol::QosClass;

constexpr const char* kEcho = "test.Echo";

// A service that notes the class of what comes.
class Witness final : public Program {
 public:
  explicit Witness(VirtualNetwork& network) : wire(network.dial(*this)) { network.run(); }
  void on_event(const protocol::Event& event) override {
    if (event.type != protocol::EventType::request && event.type != protocol::EventType::notify) {
      return;
    }
    seen.push_back(event.qos);
    wire.near.consume(event.stream, event.cost);
    if (event.type == protocol::EventType::notify) return;
    static_cast<void>(wire.near.send_response(event.stream, event.correlation, {}));
  }
  void serve() {
    std::array<std::byte, 128> buffer;
    protocol::MetadataWriter writer(buffer);
    writer.service("valkyrie.Registry");
    writer.method("Register");
    const std::uint32_t stream =
        *wire.near.open_stream(protocol::StreamKind::stream, 0, {.metadata = *writer.finish()}, 1);
    messages::RegisterRequest request;
    request.service = kEcho;
    const std::string body = messages::encode(messages::RegisterMessage(request));
    static_cast<void>(wire.near.send_data(stream, {.payload = std::as_bytes(std::span(body))}));
  }
  Wire& wire;
  std::vector<std::uint8_t> seen;
};

std::shared_ptr<const router::QosRules> rules(std::string_view conditions, QosClass qos_class) {
  auto made = std::make_shared<router::QosRules>();
  auto rule = router::parse_qos_conditions(conditions);
  rule->qos_class = qos_class;
  made->add(*rule);
  return made;
}

TEST(RouterQos, a_rule_gives_a_method_another_class_and_keeps_the_urgency) {
  VirtualNetwork network(1, 1, {}, {.qos = rules("test.*/Slow", QosClass::telemetry)});
  Witness service(network);
  service.serve();
  Peer client(network);
  network.run();
  client.call(kEcho, "Fast", "x");
  client.call(kEcho, "Slow", "x");
  client.notify(kEcho, "Slow", "x");
  network.run();
  ASSERT_EQ(service.seen.size(), 3U);
  EXPECT_EQ(service.seen[0], protocol::kQosDefault);
  EXPECT_EQ(service.seen[1], protocol::qos_byte(QosClass::telemetry, protocol::kUrgencyDefault));
  EXPECT_EQ(service.seen[2], service.seen[1]);
  EXPECT_EQ(client.answers[1].count, 1) << "and the answer comes as ever";
  EXPECT_EQ(network.router_of(0).stats().reclassed, 2U);
}

TEST(RouterQos, a_rule_raises_up_to_the_ceiling_of_who_asks_and_no_further) {
  for (const QosClass ceiling : {QosClass::critical, QosClass::job}) {
    VirtualNetwork network(1, 1, {}, {.qos = rules("test.Echo", QosClass::critical)});
    network.node_config.qos_ceiling = ceiling;
    Witness service(network);
    service.serve();
    Peer client(network);
    network.run();
    client.call(kEcho, "M", "x");
    network.run();
    ASSERT_EQ(service.seen.size(), 1U);
    EXPECT_EQ(protocol::qos_class(service.seen[0]), ceiling);
  }
}

TEST(RouterQos, a_rule_classes_what_is_published_up_to_the_ceiling_of_the_publisher) {
  for (const QosClass ceiling : {QosClass::critical, QosClass::job}) {
    VirtualNetwork network(1, 2, {}, {.qos = rules("subject:alarm.*", QosClass::critical)});
    network.node_config.qos_ceiling = ceiling;
    PubSubPeer subscriber(network, 1);
    PubSubPeer publisher(network, 0);
    subscriber.subscribe(">");
    const std::uint32_t stream = publisher.publisher();
    network.run();
    EXPECT_TRUE(publisher.publish(stream, "alarm.fire", "x"));
    EXPECT_TRUE(publisher.publish(stream, "news", "x"));
    network.run();
    ASSERT_EQ(subscriber.subscriptions.size(), 1U);
    const auto& events = subscriber.subscriptions.begin()->second.events;
    ASSERT_EQ(events.size(), 2U);
    for (const Received& event : events) {
      const bool is_alarm = event.subject == "alarm.fire";
      EXPECT_EQ(protocol::qos_class(event.qos), is_alarm ? ceiling : QosClass::data);
    }
    EXPECT_EQ(network.router_of(0).stats().reclassed, 1U);
  }
}

TEST(RouterQos, a_frame_above_the_ceiling_ends_its_session_and_is_counted) {
  VirtualNetwork network;
  network.node_config.qos_ceiling = QosClass::data;
  Peer client(network);
  // A dialer that does not look at its ceiling.
  std::array<std::byte, protocol::kHeaderBytes + 2> open{};
  protocol::encode_header({.type = protocol::FrameType::stream_open,
                           .qos = protocol::qos_byte(QosClass::job, 16),
                           .stream = 1,
                           .body_bytes = 2},
                          std::span(open).first<protocol::kHeaderBytes>());
  open[protocol::kHeaderBytes] = std::byte{1};
  client.wire.far.receive(open, network.now);
  while (network.turn()) {
  }
  network.run();
  EXPECT_TRUE(client.closed);
  EXPECT_EQ(client.close_code, protocol::CloseCode::forbidden);
  EXPECT_EQ(network.router_of(0).stats().above_ceiling, 1U);
}

}  // namespace
}  // namespace valkyrie::simulation
