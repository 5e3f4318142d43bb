# What people type. Whatever needs PostgreSQL's build system is in build.mk, so that this file works on a machine that
# has nothing but make: the test targets install what is missing first, then call make again.

.DEFAULT_GOAL := all
.NOTPARALLEL: # `make all install` builds once; the build itself runs in parallel all the same
SHELL := /bin/bash
PG_CONFIG ?= pg_config
export PG_CONFIG

# Settings of the targets below; each can be given on the command line.
SUITES ?=
CASES  ?=
SEED   ?=
ROUNDS ?=
N      ?= 1000000
TIDY   ?=
export SUITES CASES SEED ROUNDS N TIDY

BUILD := $(MAKE) --no-print-directory -f build.mk
RUN   := tests/run

# Files that the build makes; `make clean` and friends are handed on as they are.
HANDED_ON := all install uninstall installcheck clean distclean tenantmig.so client/tenantmig tests/unit/unit_tests

.PHONY: help deps all install uninstall installcheck clean distclean check demo unit lint format bench oracle soak mutants

help: ## this list
	@echo 'tenantmig: make TARGET [SETTING=value …]'
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-15s %s\n", $$1, $$2}'

all: ## build the extension and the client (the default)
install: ## install both (DESTDIR=, CLIENT_BINDIR=/usr/local/bin)
uninstall: ## remove what install put there
installcheck: ## run the SQL, isolation and TAP tests against the server that is installed and running
clean: ## remove everything that the build made

$(HANDED_ON): | have-headers
	@$(BUILD) $@

.PHONY: have-headers
have-headers:
	@test -e "$$($(PG_CONFIG) --pgxs 2>/dev/null)" || { \
	  echo 'tenantmig: PostgreSQL'\''s server headers are missing; "make deps" installs the packages:' >&2; \
	  $(RUN)/packages --list >&2; exit 1; }

deps: ## install the Debian packages that building and testing need, if any is missing
	@$(RUN)/packages

check: ## run all tests on throw-away servers (SUITES="unit lint regress isolation races tap oracle crash docs scenarios", TESTS="name …" within one, KEEP=1)
	@$(RUN)/packages promtool && $(RUN)/throwaway tests/run/check

demo: ## show a migration from plan to undo, then one with a million rows
	@$(RUN)/packages && $(RUN)/throwaway tests/run/demo

unit: ## run the unit tests of the pure C++ part (no server needed)
	@$(RUN)/packages && SUITES=unit $(RUN)/throwaway tests/run/check

lint: ## check the tree's rules, layers and format (TIDY=1: clang-tidy too, slow)
	@$(RUN)/packages $(if $(TIDY),tidy) && SUITES=lint $(RUN)/throwaway tests/run/check

format: ## lay out all C++ files in place
	@$(RUN)/packages && $(RUN)/format

bench: ## measure against hand-written SQL (ROUNDS=5 N=1000000 VARIANTS="b0 run1" PARTS="online baselines shapes size latency resume")
	@$(RUN)/packages && $(RUN)/throwaway tests/bench/run

oracle: ## compare random cases with an independent model (CASES=1000 SEED=random)
	@$(RUN)/packages && SUITES=oracle CASES=$(or $(CASES),1000) SEED=$(or $(SEED),random) $(RUN)/throwaway tests/run/check

soak: ## kill -9 at random moments under load, resume, compare with an undisturbed run (ROUNDS=500 SEED=random)
	@$(RUN)/packages && SUITES=crash ROUNDS=$(or $(ROUNDS),500) SEED=$(or $(SEED),random) $(RUN)/throwaway tests/run/check

mutants: ## seed errors into the engine and see each one caught by a test
	@$(RUN)/packages && tests/mutants/run
