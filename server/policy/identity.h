// Who a peer was proven to be. Spec: docs/spec/metadata.md, IDENTITY.
//
// No I/O, no clock, no threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace valkyrie::policy {

// How it was proven: the first byte of IDENTITY.
enum class AuthenticationMethod : std::uint8_t {
  none = 0,         // It was not: a peer that showed nothing.
  unix_user = 1,    // The kernel's word on a Unix socket.
  noise_key = 2,    // The static key of a Noise channel.
  certificate = 3,  // A client certificate of a TLS channel.
  token = 4,        // A signed token (JWT).
  api_key = 5,
};

// The one word for a method in policies, texts and logs.
[[nodiscard]] std::string_view to_string(AuthenticationMethod method);
// The method that a word names; nullopt if none.
[[nodiscard]] std::optional<AuthenticationMethod> parse_method(std::string_view word);

// A caller as policies see it.
struct Identity {
  AuthenticationMethod method = AuthenticationMethod::none;
  std::string tenant{};               // Empty: the node's own.
  std::string subject{};              // Such as `uid:1000` or `ci@example.com`.
  std::vector<std::string> groups{};  // As its token claims them; never what the peer says itself.

  bool operator==(const Identity&) const = default;
};

// The subject in a value of IDENTITY, which it borrows from; empty if it has none.
[[nodiscard]] std::string_view subject_of_value(std::string_view value);

// What a value of IDENTITY says; a peer that proved nothing if it is too short. It has no groups.
[[nodiscard]] Identity identity_of_value(std::string_view value);

// The value of IDENTITY that says this; empty for a peer that proved nothing. REQUIRES: tenant and
// subject fit into it
[[nodiscard]] std::string identity_value(const Identity& identity);

// The identity as people read it: `token ci@example.com`, `token acme/ci@example.com`. Bytes that
// are not printable ASCII become `?`.
[[nodiscard]] std::string describe(const Identity& identity);

// `text` with every byte that is not printable ASCII made a `?`: what a peer sent, fit for a line
// of a log.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace valkyrie::policy
