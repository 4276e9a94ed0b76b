#include "server/registry/names.h"

#include <algorithm>

#include "protocol/messages/registry.h"

namespace valkyrie::registry {
namespace {

bool alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool length_fits(std::string_view text) {
  return !text.empty() && text.size() <= messages::kRegistryNameBytesMax;
}

bool made_of(std::string_view text, std::string_view punctuation) {
  return length_fits(text) && std::ranges::all_of(text, [&](char c) {
           return alphanumeric(c) || punctuation.find(c) != std::string_view::npos;
         });
}

bool dotted(std::string_view text) {
  return made_of(text, "_-.") && text.front() != '.' && text.back() != '.' &&
         text.find("..") == std::string_view::npos;
}

}  // namespace

ServiceTarget parse_target(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos) return {.name = text, .version = {}};
  return {.name = text.substr(0, at), .version = text.substr(at + 1)};
}

bool valid_service_name(std::string_view name) { return dotted(name); }
bool valid_version(std::string_view version) { return made_of(version, "_.+-"); }
bool valid_instance_name(std::string_view name) { return made_of(name, "_.:@/-"); }
bool valid_method_name(std::string_view name) { return dotted(name); }

bool reserved(std::string_view name) {
  return name.starts_with(kReservedPrefix) ||
         name == kReservedPrefix.substr(0, kReservedPrefix.size() - 1);
}

}  // namespace valkyrie::registry
