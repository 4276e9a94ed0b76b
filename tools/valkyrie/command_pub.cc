// pub and sub: messages to subjects.
#include <cstdio>
#include <deque>
#include <fmt/format.h>
#include <iostream>
#include <optional>
#include <thread>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"
#include "tools/valkyrie/interrupt.h"
#include "tools/valkyrie/json.h"
#include "tools/valkyrie/options.h"

namespace valkyrie::tools {

namespace {

constexpr const char* kPubExamples =
    "A subject is tokens of A-Z a-z 0-9 _ - with dots between. Nothing is kept for subscribers "
    "who\n"
    "are not there. Without --ack the node has read every message when this ends; with --ack "
    "LEVEL\n"
    "it has said so of each: received (in its memory), persisted, replicated.\n"
    "Examples:\n"
    "  valkyrie pub sensors.kitchen 21.5\n"
    "  valkyrie pub builds.done @report.json --ack received\n"
    "  tail -f access.log | valkyrie pub logs.web - --lines\n"
    "  valkyrie pub ticks now --count 100";

constexpr const char* kSubExamples =
    "A filter is a subject in which * stands for one token and a final > for one or more. "
    "Messages\n"
    "that this subscriber was too slow for are lost and counted: on standard error, and as "
    "\"missed\"\n"
    "in JSON, which is one document a line. -o raw prints payloads only, each as it came.\n"
    "Ends after --count messages, or when interrupted (exit code 130).\n"
    "Examples:\n"
    "  valkyrie sub 'sensors.>'\n"
    "  valkyrie sub jobs.* --group workers --count 10\n"
    "  valkyrie -o json sub builds.done | jq .payload\n"
    "  valkyrie -o raw sub backup.image --count 1 > image";

// Receipts awaited at a time; the node's own limit is higher.
constexpr std::size_t kReceiptsMax = 1024;

struct PubArguments {
  std::string subject;
  std::string body;
  std::string ack;
  std::uint64_t count = 1;
  bool lines = false;
};

// Sends messages one after another and keeps the first failure.
class Sender {
 public:
  Sender(Client& client, const Globals& globals, const PubArguments& arguments)
      : client_(client), subject_(arguments.subject), level_(ack_level(arguments.ack)) {
    if (globals.timeout > Duration::zero()) options_.deadline = globals.timeout;
  }

  [[nodiscard]] Result<void> send(const std::string& body) {
    if (level_) {
      receipts_.push_back(client_.publish_acked(subject_, body, *level_, options_));
      return receipts_.size() < kReceiptsMax ? Result<void>() : settle_one();
    }
    Result<void> sent = client_.publish(subject_, body, options_);
    // The queue of this client is full: the node has to catch up.
    while (!sent && sent.error().code() == StatusCode::resource_exhausted && body.size() < kSmall) {
      if (auto flushed = client_.flush().wait(); !flushed) return flushed;
      sent = client_.publish(subject_, body, options_);
    }
    return sent;
  }

  [[nodiscard]] Result<void> finish() {
    while (!receipts_.empty()) {
      if (auto settled = settle_one(); !settled) return settled;
    }
    return client_.flush().wait();
  }

 private:
  // Of these, some always fit into the queue.
  static constexpr std::size_t kSmall = 4u << 20;

  Result<void> settle_one() {
    Pending<Receipt> oldest = std::move(receipts_.front());
    receipts_.pop_front();
    const auto receipt = std::move(oldest).wait();
    if (!receipt) return std::unexpected(receipt.error());
    return {};
  }

  Client& client_;
  const std::string subject_;
  const std::optional<AckLevel> level_;
  PublishOptions options_;
  std::deque<Pending<Receipt>> receipts_;
};

Result<void> send_all(Sender& sender, const PubArguments& arguments, const std::string& body,
                      std::uint64_t& sent) {
  for (std::string line; arguments.lines && std::getline(std::cin, line); ++sent) {
    if (auto result = sender.send(line); !result) return result;
  }
  for (; !arguments.lines && sent < arguments.count; ++sent) {
    if (auto result = sender.send(body); !result) return result;
  }
  return sender.finish();
}

int run_pub(const Globals& globals, const PubArguments& arguments) {
  std::expected<std::string, std::string> body;
  if (!arguments.lines) body = read_body(arguments.body);
  if (!body) {
    print_error(body.error());
    return kExitUsage;
  }
  auto client = connect(globals);
  if (!client) return client.error();
  Sender sender(*client, globals, arguments);
  std::uint64_t sent = 0;
  const auto result = send_all(sender, arguments, *body, sent);
  if (!result) return report(result.error());
  if (globals.verbose) note(globals, fmt::format("{} messages published", sent));
  return kExitDone;
}

struct SubArguments {
  std::string filter;
  std::string group;
  std::string overflow = "drop_oldest";
  std::uint64_t count = 0;
};

void print_publication(const Globals& globals, const Publication& publication) {
  const std::string_view payload = publication.payload().text();
  if (globals.format == Format::json || globals.format == Format::jsonl) {
    json::object document{{"subject", publication.subject()},
                          {"payload", bytes_json(payload)},
                          {"missed", publication.missed()}};
    if (publication.interrupted()) document["interrupted"] = true;
    print_json(document);
  } else {
    if (globals.format == Format::table) fmt::print("{}  ", publication.subject());
    std::fwrite(payload.data(), 1, payload.size(), stdout);
    if (globals.format == Format::table) std::fputc('\n', stdout);
    if (publication.missed() > 0) note(globals, fmt::format("missed {}", publication.missed()));
    if (publication.interrupted()) note(globals, "interrupted: messages may have been missed");
  }
  std::fflush(stdout);
}

// Prints until the count is reached, the subscription ends or fails.
Status print_all(const Globals& globals, const SubArguments& arguments,
                 Subscription& subscription) {
  for (std::uint64_t seen = 0; arguments.count == 0 || seen < arguments.count; ++seen) {
    const auto publication = subscription.next().wait();
    if (!publication) return publication.error();
    if (!*publication) break;
    print_publication(globals, **publication);
  }
  return {};
}

int run_sub(const Globals& globals, const SubArguments& arguments) {
  const Interrupt interrupt;
  auto client = connect(globals);
  if (!client) return client.error();
  SubscribeOptions options{.group = arguments.group};
  if (arguments.overflow == "drop_newest") options.overflow = Overflow::drop_newest;
  if (arguments.overflow == "reset") options.overflow = Overflow::reset;
  auto subscription = client->subscribe(arguments.filter, options);
  if (!subscription) return report(subscription.error());
  if (const auto known = client->flush().wait(); !known) return report(known.error());
  note(globals, fmt::format("subscribed to {} at {}", arguments.filter, client->node_url()));
  Status end;
  std::thread printer([&] {
    end = print_all(globals, arguments, *subscription);
    interrupt.wake();
  });
  const bool interrupted = interrupt.wait();
  subscription->unsubscribe();
  printer.join();
  if (!end.ok()) return report(end);
  return interrupted ? kExitInterrupted : kExitDone;
}

}  // namespace

void add_pub(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("pub", "Publishes messages to a subject");
  command->footer(kPubExamples);
  auto arguments = std::make_shared<PubArguments>();
  command->add_option("SUBJECT", arguments->subject, "Such as sensors.kitchen")->required();
  command->add_option("BODY", arguments->body, "Text, @FILE, or - for standard input");
  command->add_option("--ack", arguments->ack, "Wait for a receipt of each message")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"received", "persisted", "replicated"}));
  auto* lines = command->add_flag("--lines", arguments->lines,
                                  "Each line of standard input is a message; BODY is -");
  command->add_option("--count", arguments->count, "Publish it so many times (default 1)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}))
      ->excludes(lines);
  command->callback([&context, arguments] {
    if (arguments->lines && !arguments->body.empty() && arguments->body != "-") {
      throw CLI::ValidationError("--lines", "the messages come from standard input; BODY is -");
    }
    context.run = [&context, arguments] { return run_pub(context.globals, *arguments); };
  });
}

void add_sub(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("sub", "Prints the messages of a filter as they come");
  command->footer(kSubExamples);
  auto arguments = std::make_shared<SubArguments>();
  command->add_option("FILTER", arguments->filter, "Such as sensors.> or jobs.*.done")->required();
  command->add_option("--group", arguments->group, "Share the messages with the group's others");
  command
      ->add_option("--overflow", arguments->overflow,
                   "What is lost when this is too slow: drop_oldest (default), drop_newest or, "
                   "with reset, the subscription")
      ->check(CLI::IsMember({"drop_oldest", "drop_newest", "reset"}));
  command->add_option("--count", arguments->count, "End after so many (default: never)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000'000}));
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return run_sub(context.globals, *arguments); };
  });
}

}  // namespace valkyrie::tools
