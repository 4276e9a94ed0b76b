#include <fmt/format.h>
#include <map>

#include <CLI/CLI.hpp>

#include "server/policy/base64url.h"
#include "server/policy/strict_json.h"
#include "server/policy/token.h"
#include "tools/valkyrie/command_security.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"
#include "tools/valkyrie/signing_key.h"
#include "transport/text_file.h"

namespace valkyrie::tools {

namespace {

constexpr std::size_t kTokenIdBytes = 16;

struct NewArguments {
  std::string key;
  std::string issuer;
  std::string audience;
  std::string subject;
  std::string tenant;
  std::vector<std::string> groups;
  std::vector<std::pair<std::string, std::string>> claims;
  std::chrono::seconds lifetime = std::chrono::hours(1);
  std::string out;
};

struct InspectArguments {
  std::string token;
  std::string keys;
  std::string issuer;
  std::string audience;
};

// What a token says, and whether it may be believed.
struct Inspected {
  json::object header;
  json::object claims;
  std::optional<policy::WallTime> expires{};
  std::optional<std::string> problem{};  // Of its signature or its claims.
  bool verified = false;
};

std::string new_token_id() {
  std::array<std::byte, kTokenIdBytes> bytes{};
  protocol::crypto::random_bytes(bytes);
  return policy::encode_base64url(bytes);
}

std::expected<json::object, std::string> claims_of(const NewArguments& arguments,
                                                   policy::WallTime now) {
  json::object claims{{"iss", arguments.issuer},
                      {"aud", arguments.audience},
                      {"sub", arguments.subject},
                      {"iat", now.time_since_epoch().count()},
                      {"exp", (now + arguments.lifetime).time_since_epoch().count()},
                      {"jti", new_token_id()}};
  if (!arguments.groups.empty()) {
    claims["groups"] = json::array(arguments.groups.begin(), arguments.groups.end());
  }
  if (!arguments.tenant.empty()) claims["tenant"] = arguments.tenant;
  for (const auto& [name, value] : arguments.claims) {
    if (claims.contains(name)) {
      return std::unexpected(fmt::format("--claim {}: another option says this", name));
    }
    claims[name] = value;
  }
  return claims;
}

int run_new(const Globals& globals, const NewArguments& arguments) {
  const auto text = transport::read_secret_file(arguments.key);
  if (!text) return fail(text.error());
  const auto key = SigningKey::parse(*text);
  if (!key) return fail(fmt::format("{}: {}", arguments.key, key.error()));
  const policy::WallTime now = wall_now();
  const auto claims = claims_of(arguments, now);
  if (!claims) return fail(claims.error());
  const std::string token = (*key)->token(*claims);
  if (token.size() > policy::kTokenBytesMax) {
    return fail(fmt::format("the token has {} bytes, and nodes take {}: leave groups or claims out",
                            token.size(), policy::kTokenBytesMax));
  }
  const std::string until = policy::wall_time_text(now + arguments.lifetime);
  if (!arguments.out.empty()) {
    const auto written = transport::write_text_file(
        arguments.out, token + "\n", transport::FileAccess::owner, transport::Existing::replaced);
    if (!written) return fail(written.error());
  }
  if (wants_json(globals)) {
    json::object result{{"subject", arguments.subject}, {"expires", until}};
    if (arguments.out.empty()) result["token"] = token;
    if (!arguments.out.empty()) result["file"] = arguments.out;
    print_json(result);
  } else if (arguments.out.empty()) {
    fmt::print("{}\n", token);
  }
  note(globals, fmt::format("good until {}; who has it is {}", until, arguments.subject));
  return kExitDone;
}

std::expected<json::object, std::string> part_of(std::string_view part, std::string_view what) {
  const auto bytes = policy::decode_base64url(part);
  if (!bytes) return std::unexpected(fmt::format("it is no token: its {} is not base64url", what));
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  auto object = policy::parse_strict_json(text, {.bytes_max = policy::kTokenBytesMax});
  if (!object) {
    return std::unexpected(
        fmt::format("it is no token: its {}: {}", what, to_string(object.error())));
  }
  return std::move(*object);
}

std::string text_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value != nullptr && value->is_array() && !value->get_array().empty()) {
    value = &value->get_array().front();
  }
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

// Header and claims; the signature is left out, since it makes the token.
std::expected<Inspected, std::string> read_token(std::string_view token) {
  const std::size_t first = std::min(token.find('.'), token.size());
  const std::size_t second = token.find('.', std::min(first + 1, token.size()));
  if (second == std::string_view::npos) {
    return std::unexpected("it is no token: those have three parts with dots between");
  }
  auto header = part_of(token.substr(0, first), "header");
  if (!header) return std::unexpected(std::move(header.error()));
  auto claims = part_of(token.substr(first + 1, second - first - 1), "claims");
  if (!claims) return std::unexpected(std::move(claims.error()));
  Inspected found{.header = std::move(*header), .claims = std::move(*claims)};
  if (const json::value* exp = found.claims.if_contains("exp"); exp != nullptr && exp->is_int64()) {
    const std::int64_t seconds = exp->get_int64();
    if (seconds >= 0 && seconds < 253'402'300'800) {
      found.expires = policy::WallTime(std::chrono::seconds(seconds));
    }
  }
  return found;
}

// Asks the question that a node asks, with its keys.
std::expected<void, std::string> verify(Inspected& found, std::string_view token,
                                        const InspectArguments& arguments) {
  const auto text = transport::read_text_file(arguments.keys);
  if (!text) return std::unexpected(text.error());
  auto keys = policy::KeySet::parse(*text, policy::SymmetricKeys::accepted);
  if (!keys) return std::unexpected(fmt::format("{}: {}", arguments.keys, keys.error()));
  const auto or_own = [&](const std::string& given, std::string_view claim) {
    return given.empty() ? text_in(found.claims, claim) : given;
  };
  const auto verified = policy::verify_token(token,
                                             {.keys = std::move(*keys),
                                              .issuer = or_own(arguments.issuer, "iss"),
                                              .audience = or_own(arguments.audience, "aud")},
                                             wall_now());
  found.verified = verified.has_value();
  if (!verified) found.problem = std::string(to_string(verified.error()));
  return {};
}

void print_inspected(const Globals& globals, const Inspected& found) {
  const std::string until = found.expires ? policy::wall_time_text(*found.expires) : "never said";
  if (wants_json(globals)) {
    json::object result{
        {"header", found.header}, {"claims", found.claims}, {"verified", found.verified}};
    if (found.expires) result["expires"] = until;
    if (found.problem) result["problem"] = *found.problem;
    print_json(result);
    return;
  }
  fmt::print("header   {}\nclaims   {}\nexpires  {}\nverdict  {}\n", json_text(found.header),
             json_text(found.claims), until,
             found.problem    ? *found.problem
             : found.verified ? "verified"
                              : "the signature was not checked; --keys names who may sign");
}

int run_inspect(const Globals& globals, const InspectArguments& arguments) {
  auto body = read_body(arguments.token);
  if (!body) return fail(body.error());
  while (body->ends_with('\n')) body->pop_back();
  auto found = read_token(*body);
  if (!found) return fail(found.error());
  if (!arguments.keys.empty()) {
    if (const auto asked = verify(*found, *body, arguments); !asked) return fail(asked.error());
  } else if (found->expires && *found->expires <= wall_now()) {
    found->problem = "the token has expired";
  }
  print_inspected(globals, *found);
  return found->problem ? kExitNo : kExitDone;
}

void add_new(CLI::App& token, Context& context) {
  auto* command = token.add_subcommand("new", "Signs a token");
  command->footer(
      "Issuer and audience are those of the node's provider. The token is a secret: --out keeps "
      "it\n"
      "out of sight.\nExamples:\n"
      "  valkyrie security token new --key signing.jwk --issuer https://id.example \\\n"
      "    --audience valkyrie --subject ci --group deployers --lifetime 12h --out ci.token");
  auto arguments = std::make_shared<NewArguments>();
  command->add_option("--key", arguments->key, "Signing key, of keygen token")
      ->type_name("FILE")
      ->required();
  command->add_option("--issuer", arguments->issuer, "Who signs")->required();
  command->add_option("--audience", arguments->audience, "Whom it is for")->required();
  command->add_option("--subject", arguments->subject, "Who its owner is")->required();
  command->add_option("--tenant", arguments->tenant, "Claim \"tenant\"");
  command->add_option("--group", arguments->groups, "One of the claim \"groups\"; repeatable")
      ->allow_extra_args(false);
  add_pairs(*command, "--claim", arguments->claims, "Another claim, a text; repeatable");
  add_lifetime(*command, arguments->lifetime, "How long it is good (default 1h)");
  command->add_option("--out", arguments->out, "File for it, for its owner alone")
      ->type_name("FILE");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_new(context.globals, *arguments); };
  });
}

void add_inspect(CLI::App& token, Context& context) {
  auto* command = token.add_subcommand("inspect", "What a token says, and whether it is good");
  command->footer(
      "Never prints the signature. Exits with 1 if the token is not good.\nExamples:\n"
      "  valkyrie security token inspect @ci.token\n"
      "  valkyrie security token inspect @ci.token --keys keys.json --audience valkyrie");
  auto arguments = std::make_shared<InspectArguments>();
  command->add_option("TOKEN", arguments->token, "The token, @FILE, or - for standard input")
      ->required();
  command->add_option("--keys", arguments->keys, "JWK set that has to verify it")
      ->type_name("FILE");
  command->add_option("--issuer", arguments->issuer, "With --keys: who has to have signed it");
  command->add_option("--audience", arguments->audience, "With --keys: whom it has to be for");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_inspect(context.globals, *arguments); };
  });
}

}  // namespace

void add_security_token(CLI::App& security, Context& context) {
  auto* token = security.add_subcommand("token", "Tokens that say who a client is");
  token->require_subcommand(1);
  add_new(*token, context);
  add_inspect(*token, context);
}

}  // namespace valkyrie::tools
