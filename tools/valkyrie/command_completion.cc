#include <fmt/format.h>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "tools/valkyrie/commands.h"

namespace valkyrie::tools {

namespace {

const std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_name().empty(); });
}

// Long options and subcommands: the words that may follow a command.
std::string words_of(const CLI::App& app) {
  std::string words;
  for (const CLI::App* sub : subcommands_of(app)) words += sub->get_name() + " ";
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  }
  if (!words.empty()) words.pop_back();
  return words;
}

// One case of the shell's `case` for a command and those below it: "path) words ;;".
void add_cases(const CLI::App& app, const std::string& path, std::string& cases) {
  cases += fmt::format("    '{}') words='{}' ;;\n", path, words_of(app));
  for (const CLI::App* sub : subcommands_of(app)) {
    add_cases(*sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), cases);
  }
}

// The words on the line that are commands so far decide which words may come. Zsh runs it too.
std::string bash_script(const CLI::App& app) {
  std::string cases;
  add_cases(app, "", cases);
  return fmt::format(
      "_valkyrie() {{\n"
      "  local path='' word words='' i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${{COMP_WORDS[i]}}\n"
      "    case $word in --) return ;; -*) continue ;; esac\n"
      "    path=\"${{path:+$path }}$word\"\n"
      "  done\n"
      "  case $path in\n{}"
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n"
      "}}\n"
      "complete -o default -F _valkyrie valkyrie\n",
      cases);
}

void add_fish_lines(const CLI::App& app, const std::string& seen, std::string& script) {
  const std::string condition =
      seen.empty() ? "__fish_use_subcommand" : fmt::format("__fish_seen_subcommand_from {}", seen);
  for (const CLI::App* sub : subcommands_of(app)) {
    script += fmt::format("complete -c valkyrie -n '{}' -a {} -d '{}'\n", condition,
                          sub->get_name(), sub->get_description());
    add_fish_lines(*sub, sub->get_name(), script);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      script += fmt::format("complete -c valkyrie -n '{}' -l {}\n", condition, name);
    }
  }
}

int print_script(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") {
    std::string script;
    add_fish_lines(app, "", script);
    fmt::print("{}", script);
    return kExitDone;
  }
  if (shell == "zsh") fmt::print("autoload -U +X bashcompinit && bashcompinit\n");
  fmt::print("{}", bash_script(app));
  return kExitDone;
}

}  // namespace

void add_completion(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("completion", "Prints a completion script for a shell");
  command->footer(
      "Examples:\n"
      "  valkyrie completion bash > ~/.local/share/bash-completion/completions/valkyrie\n"
      "  valkyrie completion fish > ~/.config/fish/completions/valkyrie.fish\n"
      "  source <(valkyrie completion zsh)");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, &context, shell] {
    context.run = [&app, shell] { return print_script(app, *shell); };
  });
}

}  // namespace valkyrie::tools
