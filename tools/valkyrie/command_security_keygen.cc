#include <fmt/format.h>
#include <map>

#include <CLI/CLI.hpp>

#include "protocol/hex_text.h"
#include "protocol/noise/key_text.h"
#include "protocol/noise/primitives.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/signing_key.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

namespace crypto = protocol::crypto;
namespace noise = protocol::noise;
using policy::TokenAlgorithm;

// Both halves of a key as texts.
struct KeyTexts {
  std::string secret;     // For the file.
  std::string public_id;  // For everybody; empty if there is none.
};

KeyTexts noise_key() {
  noise::KeyPair pair;
  noise::make_key(noise::system_entropy(), pair);
  return {.secret = noise::key_text(pair.secret) + "\n", .public_id = noise::key_text(pair.shared)};
}

KeyTexts audit_key() {
  crypto::Ed25519Seed seed;
  crypto::random_bytes(seed.bytes());
  return {.secret = protocol::hex_text(seed.bytes()) + "\n",
          .public_id = protocol::hex_text(crypto::ed25519_key(seed))};
}

// A secret that both sides have: it has no public half.
KeyTexts shared_key() {
  crypto::Secret<32> secret;
  crypto::random_bytes(secret.bytes());
  return {.secret = protocol::hex_text(secret.bytes()) + "\n", .public_id = {}};
}

KeyTexts token_key(TokenAlgorithm algorithm) {
  const auto key = SigningKey::make(algorithm);
  KeyTexts texts{.secret = key->private_text(), .public_id = key->public_text()};
  if (texts.public_id.ends_with('\n')) texts.public_id.pop_back();
  return texts;
}

int write(const Globals& globals, const std::string& path, KeyTexts texts) {
  const auto written = transport::write_text_file(path, texts.secret, transport::FileAccess::owner,
                                                  transport::Existing::kept);
  crypto::wipe(std::as_writable_bytes(std::span(texts.secret)));
  if (!written) {
    print_error(fmt::format("{}; a key is not replaced: move the old one away", written.error()));
    return kExitUsage;
  }
  if (wants_json(globals)) {
    json::object result{{"file", path}};
    if (!texts.public_id.empty()) result["public"] = texts.public_id;
    print_json(result);
  } else if (!texts.public_id.empty()) {
    fmt::print("{}\n", texts.public_id);
  }
  return kExitDone;
}

struct Kind {
  const char* name;
  const char* sense;
  const char* footer;
  KeyTexts (*make)();
};

constexpr Kind kKinds[] = {
    {"noise", "A static key of Noise: who a client is, or a node",
     "Prints the public half, by which the other side knows this one.\nExamples:\n"
     "  valkyrie security keygen noise ~/.config/valkyrie-noise.key\n"
     "  export VALKYRIE_NOISE_KEY=~/.config/valkyrie-noise.key",
     noise_key},
    {"psk", "A secret that a node and its clients share, for Noise",
     "Give the file to the node (noise.psk) and to its clients, by a way that nobody can read.\n"
     "Examples:\n"
     "  valkyrie security keygen psk /etc/valkyrie/psk\n"
     "  export VALKYRIE_NOISE_PSK=/etc/valkyrie/psk",
     shared_key},
    {"audit", "A key that signs an audit log",
     "A node makes its own, audit.key of its state directory; one that was made before has a\n"
     "public half, which is printed, that can be noted before the node starts.\nExamples:\n"
     "  valkyrie security keygen audit /var/lib/valkyrie/audit.key > audit.pub",
     audit_key},
};

void add_kind(CLI::App& keygen, Context& context, const Kind& kind) {
  auto* command = keygen.add_subcommand(kind.name, kind.sense);
  command->footer(kind.footer);
  auto path = std::make_shared<std::string>();
  command->add_option("FILE", *path, "For the secret half; readable by its owner alone")
      ->required();
  command->callback([&context, path, make = kind.make] {
    context.run = [&context, path, make] { return write(context.globals, *path, make()); };
  });
}

void add_token_kind(CLI::App& keygen, Context& context) {
  auto* command = keygen.add_subcommand("token", "A key that signs tokens");
  command->footer(
      "Prints the JWK set for the node (keys= of its provider). HS256 has none: there the file\n"
      "itself is for the node, with secrets=accept, and who reads it can sign.\nExamples:\n"
      "  valkyrie security keygen token signing.jwk > keys.json\n"
      "  valkyrie security keygen token signing.jwk --algorithm ES256 > keys.json");
  auto path = std::make_shared<std::string>();
  auto algorithm = std::make_shared<std::string>("EdDSA");
  command->add_option("FILE", *path, "For the secret half; readable by its owner alone")
      ->required();
  command->add_option("--algorithm", *algorithm, "EdDSA, ES256 or HS256 (default EdDSA)")
      ->check(CLI::IsMember({"EdDSA", "ES256", "HS256"}));
  command->callback([&context, path, algorithm] {
    context.run = [&context, path, algorithm] {
      const auto known = policy::parse_algorithm(*algorithm);
      return write(context.globals, *path, token_key(known.value_or(TokenAlgorithm::eddsa)));
    };
  });
}

}  // namespace

void add_security_keygen(CLI::App& security, Context& context) {
  auto* keygen = security.add_subcommand("keygen", "Keys that need no authority");
  keygen->require_subcommand(1);
  for (const Kind& kind : kKinds) add_kind(*keygen, context, kind);
  add_token_kind(*keygen, context);
}

}  // namespace valkyrie::tools
