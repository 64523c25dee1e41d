# The front door: what a person types. CMake does the work, in build/PRESET.
#
# On a Debian 12 with git, gcc and make, `make demo` and `make test` install the other
# packages they need (conf/install-dependencies), as root or through sudo.

PREFIX ?= /usr/local
DESTDIR ?=
SOAK_SECONDS ?= 600
FUZZ_SECONDS ?= $(if $(CI),60,10)
# A test waits half of its time, so more of them than there are cores run at a time.
TEST_JOBS := $(shell expr $$(nproc) '*' 3 / 2)

.PHONY: help build demo test soak bench install format clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

build: ## build the program, in build/release
	conf/install-dependencies build
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	cmake --build build/release

demo: build ## load an nginx on loopback with examples/loadtest.c, and show the report
	conf/install-dependencies demo
	tests/demo

test: ## build with and without sanitizers, and run all tests
	conf/install-dependencies build test
	cmake --preset sanitize
	cmake --build build/sanitize
	cmake --preset ci
	cmake --build build/ci
	cmake --preset tsan
	cmake --build build/tsan --target thread_tests
	printf 'subdirs(ci sanitize tsan)\n' > build/CTestTestfile.cmake
	FUZZ_SECONDS=$(FUZZ_SECONDS) \
	    ctest --test-dir build -j $(TEST_JOBS) --output-on-failure --no-tests=error

soak: ## the tests that take long: exactness ten times, faults, and SOAK_SECONDS without growth
	conf/install-dependencies build test
	cmake --preset ci
	cmake --build build/ci
	for test in test_soak test_cluster_soak; do \
	    SOAK_SECONDS=$(SOAK_SECONDS) MOLOTOV_RUNNER=build/ci/bin/molotov-runner \
	        /usr/bin/python3 -B tests/soak/$$test.py -v || exit 1; \
	done

bench: build ## print the README's table: beside wrk, h2load, hey, locust, Molotov 2
	conf/install-dependencies bench
	cmake --build build/release --target curl_loop agents wrap_slave
	bench/run readme

install: build ## install below PREFIX (and DESTDIR in front of it)
	DESTDIR=$(DESTDIR) cmake --install build/release

format: ## write all C files as clang-format would
	conf/install-dependencies test
	git ls-files -co --exclude-standard -- '*.c' '*.h' | xargs clang-format -i

clean: ## remove all that was built
	rm -rf build
