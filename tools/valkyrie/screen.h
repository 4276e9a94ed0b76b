// A terminal that a command redraws in place.
#pragma once

#include <string>
#include <termios.h>
#include <vector>

#include "tools/valkyrie/interrupt.h"

namespace valkyrie::tools {

// While it lives, the terminal shows what draw() says and gives keys one by one; after it the
// terminal is as it was, with what it had shown. Ctrl-C stays a signal; Ctrl-Z does nothing.
class Screen {
 public:
  // REQUIRES: is_possible()
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Whether standard input and output are a terminal.
  [[nodiscard]] static bool is_possible();

  // Shows these lines; those that do not fit, and ends of those too long, are left out.
  void draw(const std::vector<std::string>& lines) const;
  // What ended a wait().
  enum class Woken { time, key, interrupt, closed };
  // Waits until `time` is over, a key was pressed (which goes into `key`), `interrupt` came, or the
  // terminal has gone.
  [[nodiscard]] Woken wait(Duration time, const Interrupt& interrupt, char& key) const;

 private:
  termios before_{};
};

// The beginning of UTF-8 text: at most so many characters.
[[nodiscard]] std::string_view first_characters(std::string_view text, std::size_t count);

}  // namespace valkyrie::tools
