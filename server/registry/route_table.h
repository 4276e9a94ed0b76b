// Every service one shard can route to. A stream's binding holds a Service by reference, so that
// no name is looked up after the stream was opened.
//
// No I/O, no clock, no threads. Not thread-safe: one shard owns it and applies, in order, the
// updates that shard 0 sends.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/registry/service.h"

namespace valkyrie::registry {

// Services looked at for a suggestion, which bounds the work of one refusal.
inline constexpr std::size_t kSuggestionsTriedMax = 512;

// Services by name and instances by id.
class RouteTable {
 public:
  // `rules` say how each service is treated; without any, all are by default. This is the table of
  // one of `shards`.
  explicit RouteTable(std::shared_ptr<const ServiceRules> rules = nullptr,
                      std::uint32_t shards = 1);

  // The entry of a SERVICE value, made where there is none, and one reference to it. It stays
  // valid, with the same address, until release(), whatever instances come and go.
  Service& refer(std::string_view target);
  // Gives a reference back. The entry goes with the last, if it has no instance.
  void release(Service& service);

  // Makes a service of the node itself known. REQUIRES: the name is new.
  void add_builtin(std::string_view name, std::uint32_t index);

  // Adds, changes or removes an instance. Returns it, or nullptr if it is unknown (a change after
  // the removal). A removed instance lives on until release() was called for each reference.
  Instance* apply(const RouteUpdate& update);
  // Takes an instance out of the routing, ahead of the update that says so. Idempotent.
  void withdraw(Instance& instance);
  // Gives one of Instance::references back.
  void release(Instance& instance);
  // The instance with the id, nullptr if it is unknown or withdrawn.
  [[nodiscard]] Instance* find(std::uint64_t id);

  // Why a call to the service cannot be routed, in the words for its caller, such as
  // `no service "hello.Greter"; did you mean "hello.Greeter" (2 instances)?`.
  [[nodiscard]] std::string explain(const Service& service, NoChoice why, std::string_view method);

  // The entry of a SERVICE value, nullptr if there is none.
  [[nodiscard]] Service* find_service(std::string_view target);

  // Entries and instances, for tests and counters.
  [[nodiscard]] std::size_t service_count() const { return services_.size(); }
  [[nodiscard]] std::size_t instance_count() const { return instances_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Services = std::unordered_map<std::string, std::unique_ptr<Service>, Hash, std::equal_to<>>;

  Service& entry(std::string_view target);
  void drop_if_unused(Service& service);
  void refresh(const Instance& instance);
  [[nodiscard]] std::string explain_unknown(const Service& service);
  [[nodiscard]] std::string other_versions(std::string_view name);

  std::shared_ptr<const ServiceRules> rules_;
  std::uint32_t shards_;
  Services services_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Instance>> instances_;
};

}  // namespace valkyrie::registry
