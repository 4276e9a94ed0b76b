// top: what the services of a node do, as it changes.
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/options.h"
#include "tools/valkyrie/screen.h"
#include "tools/valkyrie/top_view.h"

namespace valkyrie::tools {

namespace {

constexpr const char* kTopExamples =
    "Rates, errors and latencies are those since the sample before. On a terminal the table is\n"
    "redrawn: q quits, s sorts by the next key, i shows and hides instances. In a pipe each "
    "sample\n"
    "is printed, with an empty line between; with -o json each is an object on a line.\n"
    "Examples:\n"
    "  valkyrie top\n"
    "  valkyrie top hello. --sort latency --interval 5s\n"
    "  valkyrie top --once --instances\n"
    "  valkyrie -o json top --once | jq '.services[0].p99_us'";

constexpr std::array kSorts = {TopSort::name,    TopSort::rate,  TopSort::errors,
                               TopSort::latency, TopSort::queue, TopSort::in_flight};

// What the node has to answer in, unless --timeout says otherwise: a table that stands still for
// longer is no live one.
constexpr Duration kAnswerTime = std::chrono::seconds(5);

struct TopArguments {
  std::string prefix;
  std::string sort = "rate";
  Duration interval = std::chrono::seconds(1);
  bool once = false;
  bool instances = false;
};

// Asks a node what it has counted.
class Sampler {
 public:
  Sampler(Client& client, const Globals& globals, std::string prefix, std::stop_token stop)
      : client_(client),
        prefix_(std::move(prefix)),
        stop_(std::move(stop)),
        deadline_(globals.timeout > Duration::zero() ? globals.timeout : kAnswerTime) {}

  [[nodiscard]] Result<TopSample> operator()() {
    auto node = ask<messages::NodeInfoReply>("valkyrie.Node/Info",
                                             messages::encode(messages::NodeInfoRequest{}));
    if (!node) return std::unexpected(node.error());
    auto services = ask<messages::ListServicesReply>(
        "valkyrie.Registry/List", messages::encode(messages::ListServicesRequest{prefix_}));
    if (!services) return std::unexpected(services.error());
    return TopSample{.node = std::move(*node),
                     .services = std::move(*services),
                     .at = std::chrono::steady_clock::now().time_since_epoch()};
  }

 private:
  template <class T>
  Result<T> ask(Target method, const std::string& body) {
    const auto reply = client_.call(method, body, {.deadline = deadline_, .cancel = &stop_}).wait();
    if (!reply) return std::unexpected(reply.error());
    auto decoded = messages::decode<T>(BytesView(*reply).span());
    if (!decoded) {
      return fail(StatusCode::internal,
                  "the node's answer cannot be read; is it of a newer version?");
    }
    return std::move(*decoded);
  }

  Client& client_;
  const std::string prefix_;
  const std::stop_token stop_;
  const Duration deadline_;
};

// What is shown of the last sample, and how.
class Display {
 public:
  Display(const Globals& globals, const TopArguments& arguments)
      : globals_(globals),
        sort_(*std::ranges::find(kSorts, arguments.sort,
                                 [](TopSort sort) { return std::string(to_string(sort)); })),
        instances_(arguments.instances) {
    if (globals.format == Format::table && !arguments.once && Screen::is_possible()) {
      screen_.emplace();
    }
  }

  void show(TopView view) {
    view_ = std::move(view);
    show_again();
  }
  // Waits for the next sample, and does what keys say. An exit code: the user wants to end it.
  [[nodiscard]] std::optional<int> wait(Duration time, const Interrupt& interrupt) {
    if (!screen_) {
      return interrupt.wait_for(time) ? std::optional(kExitInterrupted) : std::nullopt;
    }
    const auto end = std::chrono::steady_clock::now() + time;
    while (true) {
      const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), {});
      char key = 0;
      switch (screen_->wait(left, interrupt, key)) {
        case Screen::Woken::time:
          return std::nullopt;
        case Screen::Woken::interrupt:
          return kExitInterrupted;
        case Screen::Woken::closed:
          return kExitDone;
        case Screen::Woken::key:
          if (key == 'q') return kExitDone;
          if (key == 's') sort_ = next(sort_);
          if (key == 'i') instances_ = !instances_;
          if (view_) show_again();
      }
    }
  }

 private:
  void show_again() {
    sort_services(*view_, sort_);
    if (globals_.format == Format::json || globals_.format == Format::jsonl) {
      print_json(top_json(*view_));
    } else if (screen_) {
      std::vector<std::string> lines = top_lines(*view_, instances_);
      lines.insert(
          lines.begin() + 3,
          fmt::format("sorted by {}  (s: another key, i: instances, q: quit)", to_string(sort_)));
      return screen_->draw(lines);
    } else {
      if (std::exchange(is_later_, true)) fmt::print("\n");
      for (const std::string& line : top_lines(*view_, instances_)) fmt::print("{}\n", line);
    }
    std::fflush(stdout);
  }

  const Globals& globals_;
  TopSort sort_;
  bool instances_;
  bool is_later_ = false;  // A sample was printed before.
  std::optional<TopView> view_;
  std::optional<Screen> screen_;
};

// Shows samples until the user ends it, or one was shown that is enough.
std::expected<int, Status> show_samples(const Globals& globals, const TopArguments& arguments,
                                        Sampler& sample, const Interrupt& interrupt) {
  Result<TopSample> before = sample();
  if (!before) return std::unexpected(before.error());
  Display display(globals, arguments);
  while (true) {
    if (const auto code = display.wait(arguments.interval, interrupt)) return *code;
    Result<TopSample> after = sample();
    if (!after) return std::unexpected(after.error());
    display.show(top_view(*before, *after));
    if (arguments.once) return kExitDone;
    before = std::move(after);
  }
}

int run_top(const Globals& globals, const TopArguments& arguments) {
  const Interrupt interrupt;
  auto client = connect(globals);
  if (!client) return client.error();
  std::stop_source stop;
  std::jthread canceller([&] {
    if (interrupt.wait()) stop.request_stop();
  });
  Sampler sample(*client, globals, arguments.prefix, stop.get_token());
  const auto result = show_samples(globals, arguments, sample, interrupt);
  interrupt.wake();
  if (interrupt.requested()) return kExitInterrupted;
  return result ? *result : report(result.error());
}

}  // namespace

void add_top(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("top", "Rates, latencies and queues of services, live");
  command->footer(kTopExamples);
  auto arguments = std::make_shared<TopArguments>();
  command->add_option("PREFIX", arguments->prefix, "Only services whose names begin so");
  std::vector<std::string> words;
  for (const TopSort sort : kSorts) words.emplace_back(to_string(sort));
  command->add_option("--sort", arguments->sort, "By what, the largest first (default rate)")
      ->type_name("KEY")
      ->check(CLI::IsMember(words));
  add_duration(*command, "-i,--interval", arguments->interval, "Between samples (default 1s)");
  command->add_flag("--once", arguments->once, "End after the first");
  command->add_flag("--instances", arguments->instances, "A row for each instance too");
  command->callback([&context, arguments] {
    if (arguments->interval <= Duration::zero()) {
      throw CLI::ValidationError("--interval", "rates need some time between two samples");
    }
    context.run = [&context, arguments] { return run_top(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
