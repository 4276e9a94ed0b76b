# One command for each thing a developer does. `make` alone prints what there is.
#
# Every target first runs scripts/bootstrap for the groups it needs: a no-op when all is there.

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
JOBS ?= $(shell nproc)
BUILD ?= build
CLANG ?= clang++-19
# GCC 12 is the reference compiler; `make build CXX=...` takes another one.
ifeq ($(origin CXX),default)
CXX := g++-12
endif

MAKEFLAGS += --no-print-directory
export NINJA_STATUS ?= [%f/%t %es] #

# $(call configure,folder,compiler,options): once; ninja re-runs CMake by itself afterwards.
configure = test -f $(1)/build.ninja || \
	cmake -S . -B $(1) -G Ninja --log-level=WARNING -DCMAKE_CXX_COMPILER=$(2) $(3)

.PHONY: help
help:  ## what there is (this text)
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: build  ## a node, a service, a runner, a call and a job, live (KEEP=1 leaves the node up)
	@KEEP=$(KEEP) scripts/demo

.PHONY: build
build:  ## the programs, into build/bin
	@scripts/bootstrap build test
	@$(call configure,$(BUILD),$(CXX))
	@ninja -C $(BUILD) -j $(JOBS) programs

.PHONY: test
test:  ## everything, built and tested with the reference compiler
	@scripts/bootstrap build test
	@$(call configure,$(BUILD),$(CXX))
	@ninja -C $(BUILD) -j $(JOBS) all
	@ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --no-label-summary --no-tests=error

.PHONY: lint
lint:  ## format, scripts/tidy, generated files, scripts, warnings of the second compiler
	@scripts/bootstrap build test lint
	@JOBS=$(JOBS) CLANG=$(CLANG) scripts/lint

.PHONY: analyze
analyze:  ## clang-tidy over the product's sources (minutes; not part of lint)
	@scripts/bootstrap build test lint
	@$(call configure,build-lint,$(CLANG),-DCMAKE_BUILD_TYPE=Lint -DVALKYRIE_CHECK_HEADERS=ON)
	@git ls-files '*.cc' | grep -vE '_(test|fuzz|bench)\.cc$$|^(tests|bench|examples|cmake)/' | \
		xargs -r -P $(JOBS) -n 1 clang-tidy-19 -p build-lint --quiet

.PHONY: format
format:  ## rewrite every C++ file in the tree's format
	@scripts/bootstrap lint
	@git ls-files -z '*.h' '*.cc' | xargs -0 clang-format-19 -i

.PHONY: testssl
testssl: build  ## testssl.sh looks at the TLS door of a node; above LOW it fails (80 s)
	@scripts/bootstrap testssl
	@tests/interop/testssl --build $(BUILD)

.PHONY: fuzz
fuzz:  ## every fuzz target, FUZZ_SECONDS=20 each
	@scripts/bootstrap build fuzz
	@$(call configure,build-fuzz,$(CLANG),\
		-DVALKYRIE_FUZZ=ON -DVALKYRIE_SANITIZE=address$(comma)undefined -DBUILD_TESTING=OFF)
	@ninja -C build-fuzz -j $(JOBS) fuzzers
	@scripts/fuzz build-fuzz $(FUZZ_SECONDS)

.PHONY: sanitize
sanitize: sanitize-address sanitize-thread  ## all tests under ASan+UBSan, then under TSan

.PHONY: sanitize-address
sanitize-address:  ## the first of the two lanes
	@scripts/bootstrap build test fuzz
	@$(call configure,build-asan,$(CLANG),-DVALKYRIE_SANITIZE=address$(comma)undefined)
	@ninja -C build-asan -j $(JOBS) all
	@$(sanitizer_options) ctest --test-dir build-asan $(lane_tests)

.PHONY: sanitize-thread
sanitize-thread:  ## the second of the two lanes
	@scripts/bootstrap build test fuzz
	@$(call configure,build-tsan,$(CLANG),-DVALKYRIE_SANITIZE=thread)
	@ninja -C build-tsan -j $(JOBS) all
	@$(sanitizer_options) ctest --test-dir build-tsan $(lane_tests)

# `install` and `tree` tests look at the tree, not at compiled code: one lane is enough for them.
lane_tests = -j $(JOBS) --output-on-failure --no-label-summary -LE 'install|tree'
sanitizer_options = ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
	UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
comma := ,

.PHONY: coverage
coverage:  ## line coverage of the C++ core; pages in build-coverage/html
	@scripts/bootstrap build test coverage
	@$(call configure,build-coverage,$(CLANG),-DVALKYRIE_COVERAGE=ON)
	@ninja -C build-coverage -j $(JOBS) all
	@JOBS=$(JOBS) scripts/coverage build-coverage

.PHONY: bench
bench: build  ## the table of floors, peers and ours, measured in one run
	@scripts/bootstrap bench
	@cmake -S . -B $(BUILD) --log-level=WARNING  # Finds the peers that were just installed.
	@ninja -C $(BUILD) -j $(JOBS) bench-programs
	@bench/run --build $(abspath $(BUILD))
	@bench/plot -o $(BUILD)/bench/plot.html

.PHONY: docs
docs:  ## reference of the public headers, in build/docs; undocumented symbols are errors
	@scripts/bootstrap docs
	@scripts/docs $(BUILD)/docs

.PHONY: install
install: build  ## programs, headers, libraries and package files, under PREFIX=/usr/local
	@ninja -C $(BUILD) -j $(JOBS) packages
	@cmake --install $(BUILD) --prefix $(PREFIX)

.PHONY: clean
clean:  ## remove every build folder (the compiler cache outside the tree stays)
	@rm -rf build build-asan build-tsan build-fuzz build-coverage build-lint
