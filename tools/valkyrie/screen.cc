#include "tools/valkyrie/screen.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "protocol/assert.h"

namespace valkyrie::tools {
namespace {

// Control sequences of ECMA-48, and the private modes that every terminal took over from xterm.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // The other screen, without cursor.
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

void put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // The terminal has gone; wait() says so.
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

bool Screen::is_possible() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1; }

Screen::Screen() {
  VALKYRIE_ASSERT(::tcgetattr(STDIN_FILENO, &before_) == 0);
  termios keys = before_;
  keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  keys.c_cc[VSUSP] = _POSIX_VDISABLE;
  keys.c_cc[VMIN] = 1;
  keys.c_cc[VTIME] = 0;
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &keys);
  put(kEnter);
}

Screen::~Screen() {
  put(kLeave);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
}

void Screen::draw(const std::vector<std::string>& lines) const {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  }
  std::string text(kHome);
  for (std::size_t row = 0; row < lines.size() && row < size.ws_row; ++row) {
    if (row > 0) text += "\r\n";
    text.append(first_characters(lines[row], size.ws_col)).append(kClearLine);
  }
  put(text.append(kClearBelow));
}

Screen::Woken Screen::wait(Duration time, const Interrupt& interrupt, char& key) const {
  std::array<pollfd, 2> watched = {
      pollfd{.fd = interrupt.fd(), .events = POLLIN, .revents = 0},
      pollfd{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
  };
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (time - seconds).count()};
  static_cast<void>(::ppoll(watched.data(), watched.size(), &timeout, nullptr));
  if (interrupt.requested()) return Woken::interrupt;
  if (watched[1].revents == 0) return Woken::time;
  return ::read(STDIN_FILENO, &key, 1) == 1 ? Woken::key : Woken::closed;
}

std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t end = 0;
  while (end < text.size()) {
    // The bytes after the first of a character are 10xxxxxx.
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (begins && count-- == 0) break;
    ++end;
  }
  return text.substr(0, end);
}

}  // namespace valkyrie::tools
