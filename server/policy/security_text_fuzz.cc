// Reads files of providers, roles and bindings, of API keys and of Noise keys, of the input's
// choice, and asks what came of them. Finds crashes, and names of the node that a rule gave away
// without spelling them.
#include "server/policy/security_text.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/assert.h"
#include "server/policy/noise_keys.h"

using namespace valkyrie::policy;

namespace {

constexpr std::size_t kNoiseKeyDigits = 64;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(ApiKeys::parse(text));
  if (const auto keys = NoiseKeys::parse(text)) {
    VALKYRIE_ASSERT(keys->size() <= size / kNoiseKeyDigits && !keys->name_of(""));
  }
  auto draft = parse_security_text(text);
  if (!draft) return 0;
  for (const ProviderDraft& provider : draft->providers) {
    static_cast<void>(make_provider(provider, text));
  }
  auto policy = Policy::compile(std::move(draft->policy));
  if (!policy) return 0;
  const Identity identity{
      .method = AuthenticationMethod::token, .subject = "ci@example.com", .groups = {"devs"}};
  const Grants grants = policy->grants_of(identity);
  for (std::size_t i = 0; i < kActions; ++i) {
    const auto action = static_cast<Action>(i);
    for (const std::string_view name : {"valkyrie.Node/Echo", "a.b", "a.>", ""}) {
      const Decision decision = grants.decide(action, parse_name(action, name));
      VALKYRIE_ASSERT(!decision.allowed || decision.ground == Ground::allowed);
    }
  }
  const Decision node = grants.decide(Action::call, {.name = "valkyrie.Node", .method = "Echo"});
  VALKYRIE_ASSERT(!node.allowed || node.rule == "*" || node.rule.starts_with("call:valkyrie"));
  VALKYRIE_ASSERT(!policy->decide({}, Action::call, {.name = "a", .method = "b"}).allowed ||
                  text.find("none") != std::string_view::npos);
  return 0;
}
