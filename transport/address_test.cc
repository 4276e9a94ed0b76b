#include "transport/address.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace valkyrie::transport {
namespace {

constexpr AddressPolicy kInsecure{.insecure = true};

Address tcp(std::string host, std::uint16_t port) {
  return {.kind = AddressKind::tcp, .host = std::move(host), .port = port, .path = {}};
}

bool mentions(const TransportError& error, std::string_view word) {
  return error.message.find(word) != std::string::npos;
}

TEST(Address, the_documented_forms_are_understood) {
  EXPECT_EQ(parse_address("valkyrie://127.0.0.1"), tcp("127.0.0.1", kPortDefault));
  EXPECT_EQ(parse_address("valkyrie://localhost:1"), tcp("localhost", 1));
  EXPECT_EQ(parse_address("valkyrie://127.0.0.1:65535/"), tcp("127.0.0.1", 65535));
  EXPECT_EQ(parse_address("valkyrie://[::1]:22092"), tcp("::1", 22092));
  EXPECT_EQ(parse_address("[::1]"), tcp("::1", kPortDefault));
  EXPECT_EQ(parse_address("localhost"), tcp("localhost", kPortDefault));
  EXPECT_EQ(parse_address("127.0.0.1:0"), tcp("127.0.0.1", 0));
  EXPECT_EQ(parse_address("valkyrie://node-1.example:7", kInsecure), tcp("node-1.example", 7));
  EXPECT_EQ(parse_address("node-1.example:7", kInsecure), tcp("node-1.example", 7));
  EXPECT_EQ(parse_address("unix:///run/valkyrie/node.sock"),
            (Address{.kind = AddressKind::unix_path,
                     .host = {},
                     .port = 0,
                     .path = "/run/valkyrie/node.sock"}));
  EXPECT_EQ(
      parse_address("unix:@valkyrie"),
      (Address{.kind = AddressKind::unix_abstract, .host = {}, .port = 0, .path = "valkyrie"}));
}

TEST(Address, the_canonical_text_reads_back_as_the_same_address) {
  for (const char* text : {"valkyrie://127.0.0.1:22091", "valkyrie://[::1]:9", "unix:///a/b",
                           "unix:@name", "valkyrie://localhost:22091"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(Address, malformed_text_is_refused_with_the_way_out) {
  const std::vector<const char*> malformed{"",
                                           "valkyrie://",
                                           "valkyrie://:22091",
                                           "valkyrie://127.0.0.1:65536",
                                           "127.0.0.1:",
                                           "127.0.0.1:22o91",
                                           "127.0.0.1:-1",
                                           "127.0.0.1: 1",
                                           "::1",
                                           "[::1",
                                           "[::1]x",
                                           "[127.0.0.1]",
                                           "127.1",
                                           "256.0.0.1",
                                           "local host",
                                           "valkyrie://localhost/path",
                                           "unix:",
                                           "unix://relative",
                                           "unix:/one/slash",
                                           "unix:@",
                                           "unix:///",
                                           "unix:///directory/",
                                           "valkyrie://localhost?x=1",
                                           "valkyrie://localhost#x"};
  for (const char* text : malformed) {
    const auto address = parse_address(text, kInsecure);
    ASSERT_FALSE(address.has_value()) << text;
    EXPECT_EQ(address.error().kind, TransportErrorKind::bad_address) << text;
    EXPECT_FALSE(address.error().message.empty());
  }
}

TEST(Address, an_unknown_scheme_lists_the_known_ones) {
  const auto address = parse_address("nats://localhost");
  ASSERT_FALSE(address.has_value());
  for (const char* known : {"nats", "valkyrie", "unix", "tls", "quic", "noise", "wss"}) {
    EXPECT_TRUE(mentions(address.error(), known)) << known;
  }
}

TEST(Address, schemes_of_other_builds_say_what_to_use_instead) {
  for (const char* scheme : {"quic", "ws", "wss"}) {
    const auto address = parse_address(std::string(scheme) + "://localhost", kInsecure);
    ASSERT_FALSE(address.has_value());
    EXPECT_TRUE(mentions(address.error(), "not in this build")) << scheme;
    EXPECT_TRUE(mentions(address.error(), "unix:///PATH")) << scheme;
  }
}

TEST(Address, a_secret_is_refused_and_not_repeated) {
  for (const char* text :
       {"valkyrie://user:hunter2@localhost", "user:hunter2@localhost",
        "valkyrie://localhost?token=hunter2", "wss://localhost/valkyrie?auth=hunter2",
        "valkyrie://localhost?Password=hunter2"}) {
    const auto address = parse_address(text, kInsecure);
    ASSERT_FALSE(address.has_value()) << text;
    EXPECT_TRUE(mentions(address.error(), "credentials")) << address.error().message;
    EXPECT_FALSE(mentions(address.error(), "hunter2")) << address.error().message;
  }
}

TEST(Address, plain_tcp_beyond_this_machine_must_be_asked_for) {
  const auto written = parse_address("valkyrie://192.0.2.1");
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().kind, TransportErrorKind::insecure);
  EXPECT_TRUE(mentions(written.error(), "--insecure"));
  EXPECT_FALSE(parse_address("valkyrie://0.0.0.0").has_value());
  EXPECT_TRUE(parse_address("valkyrie://0.0.0.0", kInsecure).has_value());
}

TEST(Address, loopback_is_told_by_spelling) {
  for (const char* host :
       {"localhost", "LocalHost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"}) {
    EXPECT_TRUE(is_loopback_host(host)) << host;
  }
  for (const char* host :
       {"localhost.example", "128.0.0.1", "126.255.255.255", "::2", "0.0.0.0", "::"}) {
    EXPECT_FALSE(is_loopback_host(host)) << host;
  }
}

TEST(Address, a_unix_name_may_have_107_bytes_and_not_108) {
  const std::string fits = "/" + std::string(106, 'a');
  EXPECT_TRUE(parse_address("unix://" + fits).has_value());
  const auto over = parse_address("unix://" + fits + "a");
  ASSERT_FALSE(over.has_value());
  EXPECT_TRUE(mentions(over.error(), "107"));
  EXPECT_TRUE(parse_address("unix:@" + std::string(107, 'a')).has_value());
  EXPECT_FALSE(parse_address("unix:@" + std::string(108, 'a')).has_value());
}

TEST(Address, literals_and_unix_names_resolve_without_a_resolver) {
  const std::vector<std::pair<const char*, const char*>> cases{{"127.0.0.1:80", "127.0.0.1:80"},
                                                               {"[::1]:80", "[::1]:80"},
                                                               {"localhost:80", "127.0.0.1:80"},
                                                               {"unix:///tmp/x", "unix:///tmp/x"},
                                                               {"unix:@x", "unix:@x"}};
  for (const auto& [text, expected] : cases) {
    const Address address = parse_address(text).value();
    EXPECT_FALSE(needs_resolver(address));
    const auto resolved = resolve(address);
    ASSERT_TRUE(resolved.has_value());
    EXPECT_EQ(to_string(resolved->front()), expected);
  }
  EXPECT_EQ(resolve(tcp("localhost", 1))->size(), 2u) << "both families, IPv4 first";
  EXPECT_TRUE(needs_resolver(tcp("node.example", 1)));
}

TEST(Address, a_host_that_does_not_exist_is_not_found) {
  const auto resolved = resolve(tcp("no-such-host.invalid", 1));
  ASSERT_FALSE(resolved.has_value());
  EXPECT_EQ(resolved.error().kind, TransportErrorKind::not_found);
}

TEST(Address, tls_reaches_any_host) {
  for (const char* text :
       {"tls://node.example:4000", "valkyries://node.example:4000", "node.example:4000"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_TRUE(address->tls);
    EXPECT_EQ(address->host, "node.example");
    EXPECT_EQ(to_string(*address), "tls://node.example:4000");
  }
  EXPECT_EQ(to_string(parse_address("tls://[::1]").value()), "tls://[::1]:22091");
  EXPECT_FALSE(parse_address("node.example", kInsecure)->tls) << "plain was asked for";
  EXPECT_FALSE(parse_address("localhost")->tls);
  EXPECT_FALSE(parse_address("tls://node.example?key=1").has_value());
}

constexpr std::string_view kKey =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

TEST(Address, noise_reaches_any_host_and_pins_a_key) {
  const std::string text = fmt::format("noise://node.example:4000?key={}", kKey);
  const auto address = parse_address(text);
  ASSERT_TRUE(address.has_value());
  EXPECT_TRUE(address->noise);
  EXPECT_EQ(address->host, "node.example");
  EXPECT_EQ(address->port, 4000);
  EXPECT_EQ(address->key, kKey);
  EXPECT_EQ(to_string(*address), text);
}

TEST(Address, noise_without_a_key_is_what_a_node_listens_on) {
  const auto address = parse_address("noise://0.0.0.0");
  ASSERT_TRUE(address.has_value());
  EXPECT_EQ(to_string(*address), "noise://0.0.0.0:22091");
}

TEST(Address, noise_refuses_keys_that_are_none) {
  const std::string key(kKey);
  for (const std::string& query :
       {std::string("?key="), "?key=" + key.substr(1), "?key=" + key + "0",
        "?key=g" + key.substr(1), "?" + key, "?other=" + key, "?key=" + key + "&x=1"}) {
    const auto address = parse_address("noise://host" + query);
    ASSERT_FALSE(address.has_value()) << query;
    EXPECT_NE(address.error().message.find("64 hexadecimal digits"), std::string::npos);
  }
}

}  // namespace
}  // namespace valkyrie::transport
