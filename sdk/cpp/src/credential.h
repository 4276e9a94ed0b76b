// What a client shows its node to say who it is. Private to this folder.
#pragma once

#include <functional>
#include <string>

#include "valkyrie/options.h"
#include "valkyrie/status.h"

namespace valkyrie::detail {

// Where the credential comes from, each time that it is needed.
class Credential {
 public:
  // None.
  Credential() = default;
  // As ClientOptions says, else the environment, which is read here.
  explicit Credential(const ClientOptions& options);

  // The credential as it is now, without white space around it; empty: there is none. The error is
  // invalid_argument and holds nothing of it: the file cannot be read, other users may read it, or
  // it is too long. Calls the program's function: on the loop only.
  [[nodiscard]] Result<std::string> read() const;
  // Whether reading a file fails now, which connect() is to say. Calls nothing of the program's.
  [[nodiscard]] Result<void> check() const;

 private:
  [[nodiscard]] Result<std::string> read_file() const;

  std::function<std::string()> function_;
  std::string path_;
  std::string text_;
};

}  // namespace valkyrie::detail
