// Uses the installed SDK as an application does.
#include <cstdio>
#include <string>

#include "valkyrie/bytes.h"
#include "valkyrie/status.h"

int main() {
  const valkyrie::Bytes whole = valkyrie::Bytes::copy("routed call");
  if (whole.slice(0, 6).text() != "routed") {
    std::puts("a slice is not the part it was cut from");
    return 1;
  }
  const valkyrie::Result<int> failed =
      valkyrie::fail(valkyrie::StatusCode::unavailable, "no node", valkyrie::Outcome::not_executed);
  if (failed.error().message() != "no node" || !failed.error().retry_is_safe()) {
    std::puts("a status lost what it was made with");
    return 1;
  }
  std::puts("sdk works");
  return 0;
}
