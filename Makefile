# The front door: `make help` says what there is. CMake does the work; its presets are in CMakePresets.json.

PROMPT ?= a fluffy cat
OUTPUT ?= cat.png
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

BUILD = cmake --build --parallel $(JOBS) --preset
# Only looks at what changed when the folder was configured before.
CONFIGURE = cmake --preset
# What a user needs: the command and the library, without tests.
USER_TARGETS = --target inkstone_cli inkstone

.PHONY: build run test install format format-check lint asan tsan coverage fuzz bench clean help

build: ## build the command (build/inkstone) and the library
	@$(CONFIGURE) release
	@$(BUILD) release $(USER_TARGETS)

run: build ## draw a picture: make run PROMPT="a dog" OUTPUT=dog.png
	@build/inkstone generate -p "$(PROMPT)" -o "$(OUTPUT)"

test: ## build everything and run all tests
	@$(CONFIGURE) release
	@$(BUILD) release
	@ctest --preset release --parallel $(JOBS)

install: build ## install under PREFIX (/usr/local); DESTDIR is obeyed
	@cmake --install build --prefix "$(PREFIX)"

format: ## format all C files
	@tools/check_format.sh --fix

format-check: ## fail if a C file is not formatted
	@tools/check_format.sh

lint: ## clang-tidy, shellcheck and the checks of the tree
	@$(CONFIGURE) clang
	@tools/check_lint.sh build-clang
	@tools/check_structure.sh

asan: ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(CONFIGURE) asan
	@$(BUILD) asan
	@ctest --preset asan --parallel $(JOBS)

tsan: ## the tests that use threads under ThreadSanitizer
	@$(CONFIGURE) tsan
	@$(BUILD) tsan
	@ctest --preset tsan --tests-regex 'threads|api' --parallel $(JOBS)

coverage: ## which lines the tests reach (needs gcovr)
	@$(CONFIGURE) coverage
	@$(BUILD) coverage
	@ctest --preset coverage --parallel $(JOBS)
	@gcovr --root . --filter src/ --txt-summary build-coverage

fuzz: ## every fuzz target for FUZZ_SECONDS (60)
	@$(CONFIGURE) fuzz
	@$(BUILD) fuzz
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS)

bench: ## build the benchmarks and say where they are
	@$(CONFIGURE) release
	@$(BUILD) release
	@ls build/bench/bench_*

clean: ## remove all build folders
	@rm -rf build build-*

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile
