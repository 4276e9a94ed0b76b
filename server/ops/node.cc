#include "server/ops/node.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fmt/format.h>
#include <latch>
#include <pthread.h>
#include <string_view>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "protocol/hex_text.h"
#include "transport/clock.h"

namespace valkyrie::server {
namespace {

// Bans that outlive the node, in its state directory, and how old the file may be.
constexpr std::string_view kBansFile = "bans";
constexpr protocol::Duration kBansInterval = std::chrono::seconds(10);

std::uint64_t unix_milliseconds() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(since / std::chrono::milliseconds(1));
}

// The epoch leads the fencing tokens, so that no later run of this node gives one out again.
jobs::JobPlaneOptions job_options(const NodeState& state, const RandomSource& random) {
  constexpr std::uint32_t kEpochMask = (1U << 24U) - 1;
  const std::string_view digits = std::string_view(state.id).substr(state.id.size() - 3);
  std::uint16_t node_bits = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), node_bits, 16);
  return {.node = state.id,
          .node_bits = node_bits,
          .epoch = state.starts & kEpochMask,
          .unix_ms = unix_milliseconds,
          .random = random};
}

}  // namespace

std::expected<std::unique_ptr<Node>, std::string> Node::start(const ServerOptions& options,
                                                              NodeState state,
                                                              const RandomSource& random,
                                                              spdlog::logger& log) {
  std::unique_ptr<Node> node(new Node(options, std::move(state), log));
  if (!node->drained_event_) {
    return std::unexpected(std::generic_category().message(errno));
  }
  auto security = load_security(options.security_file);
  if (!security) return std::unexpected(std::move(security.error()));
  node->security_ = *std::move(security);
  node->context_->security = node->security_;
  if (auto opened = node->open_audit(); !opened) return std::unexpected(opened.error());
  if (auto loaded = node->load_bans(); !loaded) return std::unexpected(loaded.error());
  if (auto opened = node->open_jobs(random); !opened) return std::unexpected(opened.error());
  if (auto opened = node->open_doors(); !opened) return std::unexpected(opened.error());
  node->describe();
  if (auto made = node->make_shards(random); !made) return std::unexpected(made.error());
  node->follow_job_storage();
  for (const auto& shard : node->shards_) {
    node->threads_.emplace_back([&reactor = shard->reactor()] { reactor.run(); });
    pthread_setname_np(node->threads_.back().native_handle(),
                       fmt::format("shard-{}", node->threads_.size() - 1).c_str());
  }
  return node;
}

Node::Node(const ServerOptions& options, NodeState state, spdlog::logger& log)
    : options_(options),
      state_(std::move(state)),
      gauges_(static_cast<std::uint32_t>(options.shards)),
      guard_(options.limits.doors),
      log_(log),
      drained_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      shards_busy_(options.shards),
      links_(std::make_unique<NodeLinks>(options.shards)) {
  context_ =
      std::make_unique<ShardContext>(ShardContext{.options = options_,
                                                  .identity = identity_,
                                                  .gauges = gauges_,
                                                  .links = *links_,
                                                  .closes = closes_,
                                                  .guard = guard_,
                                                  .refusals = refusals_,
                                                  .usages = usages_,
                                                  .log = log,
                                                  .on_drained = [this] { on_shard_drained(); }});
}

Node::~Node() {
  static_cast<void>(stop());
  shards_.clear();
  links_.reset();
}

std::expected<void, std::string> Node::open_doors() {
  if (!options_.shared_parent.empty()) {
    if (auto safe = secure_directory(options_.shared_parent); !safe) return safe;
  }
  if (std::ranges::any_of(options_.listen, &transport::Address::noise)) {
    if (auto opened = open_noise(); !opened) return opened;
  }
  if (std::ranges::any_of(options_.listen, &transport::Address::tls)) {
    if (auto opened = open_tls(); !opened) return opened;
  }
  if (noise_ != nullptr || tls_ != nullptr) {
    handshakes_ = std::make_unique<transport::HandshakeWorkers>(
        std::max<std::size_t>(1, options_.shards / 2));
    context_->handshakes = handshakes_.get();
  }
  for (const transport::Address& address : options_.listen) {
    auto listener = transport::Listener::listen(address, {.shards = options_.shards});
    if (!listener) return std::unexpected(std::move(listener.error().message));
    listeners_.push_back(std::move(*listener));
  }
  return {};
}

// The key outlives the node's runs, as its clients have pinned it.
std::expected<void, std::string> Node::open_noise() {
  noise_ = std::make_unique<NoiseDoor>(options_.noise);
  context_->noise = noise_.get();
  if (options_.state_directory.empty()) return noise_->reload();
  const auto secret =
      keep_secret(options_.state_directory, "noise.key", [this] { return noise_->secret_key(); });
  if (!secret) return std::unexpected(secret.error());
  if (noise_->take_key(*secret)) return noise_->reload();
  return std::unexpected(fmt::format(
      "{}/noise.key holds no key; move it away and the node makes another, which its clients must "
      "be told",
      options_.state_directory));
}

std::expected<void, std::string> Node::open_jobs(const RandomSource& random) {
  const jobs::JobPlaneOptions options = job_options(state_, random);
  auto opened = JobStorage::open(options_.state_directory, options.epoch, unix_milliseconds, log_);
  if (!opened) return std::unexpected(std::move(opened.error()));
  job_storage_ = *std::move(opened);
  jobs_ = std::make_unique<jobs::JobServices>(options, job_storage_->jobs(), job_storage_->logs());
  jobs_->recover(job_storage_->take_stored(), transport::monotonic_now());
  return {};
}

// Many commits and writes make one look, as long as shard 0 has not come to it.
void Node::follow_job_storage() {
  const auto look = [this, &shard = *shards_.front()] {
    if (job_news_.exchange(true)) return;
    shard.post([this] {
      job_news_ = false;
      jobs_->on_durable();
      jobs_->on_log_news();
    });
  };
  job_storage_->on_news(look);
  look();  // At what recovery changed.
}

// Begins the log with the start: where that cannot be written, and must be, there is none.
std::expected<void, std::string> Node::open_audit() {
  if (options_.audit_directory.empty()) return {};
  protocol::crypto::Ed25519Seed seed;
  protocol::crypto::random_bytes(seed.bytes());
  if (!options_.state_directory.empty()) {
    const auto text = keep_secret(options_.state_directory, "audit.key",
                                  [&seed] { return protocol::hex_text(seed.bytes()); });
    if (!text) return std::unexpected(text.error());
    if (!protocol::read_hex_text(*text, seed.bytes())) {
      return std::unexpected(
          fmt::format("{}/audit.key holds no key; move it away and the node makes another, whose "
                      "public half whoever verifies the log must be told",
                      options_.state_directory));
    }
  }
  auto opened = AuditLog::open(
      disk_audit_directory(options_.audit_directory),
      {.settings = options_.audit, .node = state_.id, .seed = seed, .unix_ms = unix_milliseconds},
      log_);
  if (!opened) return std::unexpected(opened.error());
  if (!(*opened)->write({.action = "node.start", .what = VALKYRIE_VERSION})) {
    return std::unexpected(
        fmt::format("cannot write the audit log in {}", options_.audit_directory));
  }
  audit_ = std::move(*opened);
  audit_timer_ = std::make_unique<IntervalThread>(options_.audit.checkpoint_interval,
                                                  [this] { audit_->checkpoint(); });
  context_->audit = audit_.get();
  log_.info("audit log in {}, key {}", options_.audit_directory, protocol::hex_text(audit_->key()));
  return {};
}

void Node::close_audit(std::size_t cut) {
  if (!audit_timer_) return;
  audit_timer_.reset();
  const std::string reason = cut > 0 ? fmt::format("{} connections were cut", cut) : "";
  static_cast<void>(audit_->write({.action = "node.stop", .reason = reason}));
  audit_->close();
  log_.info("audit log closed, head {}", protocol::hex_text(audit_->head().hash));
}

std::expected<void, std::string> Node::open_tls() {
  auto door = TlsDoor::open(options_.tls);
  if (!door) return std::unexpected(std::move(door.error()));
  tls_ = std::move(*door);
  return {};
}

// What those speak who come in at this address; nullptr: sessions without a channel.
protocol::ChannelSource* Node::channels_of(const transport::Address& address) const {
  if (address.noise) return noise_.get();
  return address.tls ? tls_.get() : nullptr;
}

// Each file by itself: one that is faulty keeps only its own old content.
void Node::reload() {
  if (tls_ != nullptr) tell_reload("TLS", tls_->reload());
  if (noise_ != nullptr) tell_reload("Noise", noise_->reload());
  // Last, as it holds everyone to what is known by then.
  if (!options_.security_file.empty()) reload_security();
  if (options_.security_file.empty() && tls_ == nullptr && noise_ == nullptr) {
    log_.info("reload: there is nothing to read again");
  }
}

void Node::reload_security() {
  auto security = load_security(options_.security_file);
  if (!security) {
    log_.error("reload failed, the policy stays as it was: {}", security.error());
    return audit_reload(security.error());
  }
  security_ = *std::move(security);
  on_each_shard([this](Shard& shard) { shard.set_security(security_); });
  log_.info("reloaded: everyone is held to {} as it is now", options_.security_file);
  audit_reload({});
}

// Whose policy it is has to know; it is in force either way.
void Node::audit_reload(std::string_view fault) {
  if (audit_ == nullptr) return;
  static_cast<void>(audit_->write(
      {.action = "policy.reload",
       .what = options_.security_file,
       .decision = fault.empty() ? policy::AuditDecision::done : policy::AuditDecision::refused,
       .reason = fault}));
}

void Node::tell_reload(std::string_view what, const std::expected<void, std::string>& loaded) {
  if (!loaded) return log_.error("reload failed, all stays as it was: {}", loaded.error());
  log_.info("reloaded: new connections see the {} files as they are now", what);
}

std::expected<void, std::string> Node::load_bans() {
  if (!options_.limits.keep_bans) return {};
  const auto text = read_state(options_.state_directory, kBansFile);
  if (!text) return std::unexpected(text.error());
  if (!guard_.load_bans(*text, transport::monotonic_now(), unix_milliseconds())) {
    log_.warn("{}/{} is damaged: what could be read of it is in force", options_.state_directory,
              kBansFile);
  }
  bans_timer_ = std::make_unique<IntervalThread>(kBansInterval, [this] { save_bans(); });
  return {};
}

void Node::save_bans() {
  const auto saved = write_state(options_.state_directory, kBansFile,
                                 guard_.save_bans(transport::monotonic_now(), unix_milliseconds()));
  if (!saved) log_.error("cannot keep bans: {}", saved.error());
}

void Node::describe() {
  identity_.name = state_.id;
  identity_.version = VALKYRIE_VERSION;
  identity_.started = transport::monotonic_now();
  for (const transport::Listener& listener : listeners_) {
    transport::Address address = listener.address();
    if (address.noise) address.key = noise_->public_key();
    identity_.doors.push_back({.url = transport::to_string(address), .protocols = {"native"}});
  }
  const protocol::SessionLimits limits;
  identity_.limits = {{"requests_in_flight", options_.requests_in_flight_max},
                      {"call_message_bytes", limits.call_message_bytes_max},
                      {"frame_body_bytes", limits.frame_body_bytes_max},
                      {"half_open", options_.half_open_max},
                      {"streams", limits.peer_streams_max}};
}

std::expected<void, std::string> Node::make_shards(const RandomSource& random) {
  bans_ = std::make_unique<BanService>(guard_, audit_.get(), ::geteuid());
  for (std::uint32_t index = 0; index < options_.shards; ++index) {
    auto reactor = transport::Reactor::create(transport::monotonic_now, options_.skipped_time);
    if (!reactor) {
      return std::unexpected(
          fmt::format("cannot start shard {}: {}; use fewer --shards or raise "
                      "the limit of open files",
                      index, reactor.error().message()));
    }
    reactors_.push_back(std::move(*reactor));
    shards_.push_back(std::make_unique<Shard>(index, static_cast<std::uint32_t>(random()),
                                              *context_, *reactors_.back()));
    NodeShard& node = shards_.back()->node();
    node.set_audit(audit_.get());
    node.add_service(BanService::kInfo, index == 0 ? bans_.get() : nullptr);
    node.add_service(jobs::JobServices::kJobsInfo, index == 0 ? &jobs_->jobs() : nullptr);
    node.add_service(jobs::JobServices::kRunnersInfo, index == 0 ? &jobs_->runners() : nullptr);
  }
  for (const auto& shard : shards_) {
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
      const transport::Listener& listener = listeners_[i];
      const protocol::QosClass ceiling = options_.qos->listener_ceiling(options_.listen[i]);
      protocol::ChannelSource* const channels = channels_of(listener.address());
      if (const auto accepting = shard->accept_from(listener, ceiling, channels); !accepting) {
        return std::unexpected(fmt::format("cannot listen on {}: {}",
                                           transport::to_string(listener.address()),
                                           accepting.error().message()));
      }
    }
  }
  return {};
}

// Returns when each shard has done the work.
void Node::on_each_shard(const std::function<void(Shard&)>& work) {
  // Shared with the shards, which may still be leaving count_down() when the wait is over.
  const auto done = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(shards_.size()));
  for (const auto& shard : shards_) {
    shard->reactor().post([done, shard = shard.get(), &work] {
      work(*shard);
      done->count_down();
    });
  }
  done->wait();
}

void Node::post_to_shards(const std::function<void()>& task) {
  for (const auto& shard : shards_) shard->reactor().post([copy = task] { copy(); });
}

void Node::cut() {
  on_each_shard([](Shard& shard) { shard.abort(); });
}

void Node::drain(protocol::Duration grace) {
  on_each_shard([grace](Shard& shard) { shard.drain(grace); });
  // From here on nobody connects: dialers are refused at once and go elsewhere.
  listeners_.clear();
}

void Node::on_shard_drained() {
  if (shards_busy_.fetch_sub(1) != 1) return;
  const std::uint64_t one = 1;
  static_cast<void>(::write(drained_event_.fd(), &one, sizeof one) == sizeof one);
}

std::size_t Node::stop() {
  for (const auto& shard : shards_) shard->reactor().stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (job_storage_) job_storage_->on_news({});
  std::size_t cut = 0;
  for (const auto& shard : shards_) cut += shard->connection_count();
  if (bans_timer_) {
    bans_timer_.reset();
    save_bans();
  }
  close_audit(cut);
  return cut;
}

}  // namespace valkyrie::server
