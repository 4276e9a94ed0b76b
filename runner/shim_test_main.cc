// The smallest program that can be a shim; what the tests of attempts start.
#include "runner/shim.h"

int main(int argc, char** argv) {
  int exit_code = 2;
  (void)valkyrie::runner::run_if_shim(argc, argv, exit_code);
  return exit_code;
}
