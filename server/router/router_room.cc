// Whom the room at an instance goes to, where calls wait for it on several shards. The shard that
// owns the instance knows how many calls it has; a shard whose offer it refused as busy makes no
// more offers and is told `room` in its turn, with a place for one call kept until it is used or
// given back. So nobody starves, and no request travels in vain.
#include <bit>

#include "server/router/router_core.h"

namespace valkyrie::router {

using Type = ShardMessage::Type;

// An instance is busy with one more call or stream of a caller of this shard.
void RouterCore::occupy(registry::Instance& instance) {
  ++instance.outstanding;
  ++instance.ours;
  ++instance.home->ours;
}

// And with one less; `ours` if the caller is of this shard.
void RouterCore::vacate(registry::Instance& instance, bool ours) {
  --instance.outstanding;
  if (ours) {
    --instance.ours;
    --instance.home->ours;
  }
  wake(*instance.home);
  if (instance.hungry != 0) roomy_.push_back(instance.info->id);
}

// Shares the room of an instance of this shard out, shard after shard. This shard's own turn ends
// it: its queue is served then, and with `others_only` the rest.
void RouterCore::feed(registry::Instance& instance, bool others_only) {
  while (instance.hungry != 0 && instance.has_room()) {
    std::uint64_t candidates = instance.hungry;
    if (!others_only && instance.home->queue != 0) candidates |= std::uint64_t{1} << config_.shard;
    // The next after the last, going round.
    const std::uint64_t later = candidates & ~((std::uint64_t{2} << instance.fed) - 1);
    const auto next = static_cast<std::uint32_t>(std::countr_zero(later != 0 ? later : candidates));
    instance.fed = next;
    if (next == config_.shard) return;
    instance.hungry &= ~(std::uint64_t{1} << next);
    ++instance.outstanding;  // Until it is used or given back.
    ShardMessage room = letter(Type::room, 0);
    room.number = instance.info->id;
    post(next, std::move(room));
  }
}

// Sends what is for an instance of another shard, and says whether it uses the room that was kept.
void RouterCore::post_to_instance(ShardMessage&& message, registry::Instance& instance) {
  if (kept_ == &instance) {
    kept_ = nullptr;
    message.has_room = true;
    message.is_hungry = instance.home->queue != 0;
    instance.is_full = message.is_hungry;
  }
  post(instance.info->shard, std::move(message));
}

// On the shard of the instance: what comes uses the room that was kept for it. If it cannot, as its
// session is full or takes no message so long, the room is the next one's.
void RouterCore::take_room(registry::Instance& instance, std::uint32_t from,
                           const ShardMessage& message) {
  if (!message.has_room) return;
  --instance.outstanding;
  if (message.is_hungry) instance.hungry |= std::uint64_t{1} << from;
  wake(*instance.home);
  if (instance.hungry != 0) roomy_.push_back(instance.info->id);
}

// On the shard of those that wait.
void RouterCore::on_room(std::uint32_t from, const ShardMessage& message) {
  if (registry::Instance* instance = table_.find(message.number)) {
    instance->is_full = false;
    kept_ = instance;
    if (instance->home->queue != 0) serve(instance->home->queue);
    if (std::exchange(kept_, nullptr) == nullptr) return;
  }
  ShardMessage back = letter(Type::room_back, 0);
  back.number = message.number;
  post(from, std::move(back));
}

// An instance of this shard ended a call with this code.
void RouterCore::note_answer(const registry::Instance& instance, StatusCode code) {
  const std::uint32_t most = instance.home->settings().ejection.failures;
  if (instance.info->gauge.note_answer(code, most)) suspect(instance.info->id);
}

void RouterCore::suspect(std::uint64_t instance) {
  if (config_.shard == 0) {
    if (observer != nullptr) observer->on_suspect(instance, now_);
    return;
  }
  ShardMessage message = letter(Type::suspect, 0);
  message.number = instance;
  post(0, std::move(message));
}

// Back on the shard of the instance.
void RouterCore::on_room_back(const ShardMessage& message) {
  registry::Instance* instance = table_.find(message.number);
  if (instance == nullptr) return;
  --instance->outstanding;
  wake(*instance->home);
  if (instance->hungry != 0) roomy_.push_back(instance->info->id);
}

}  // namespace valkyrie::router
