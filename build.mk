# How the module, the install script, the client and the unit tests are built. Called by the Makefile; needs PGXS.

EXTENSION   = extension/tenantmig
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" extension/tenantmig.control)
MODULE_big  = tenantmig
PG_CONFIG  ?= pg_config

CORE_OBJS   = $(patsubst %.cpp,%.o,$(wildcard extension/src/core/*.cpp))
MODULE_OBJS = $(patsubst %.cpp,%.o,$(filter-out extension/src/core/% extension/src/bridge/fault.cpp,$(wildcard extension/src/*.cpp extension/src/*/*.cpp)))
CLIENT_OBJS = $(patsubst %.cpp,%.o,$(wildcard client/src/*.cpp))
UNIT_OBJS   = $(patsubst %.cpp,%.o,$(wildcard tests/unit/*.cpp))
BOUNDARY_OBJS = $(patsubst %.cpp,%.o,$(wildcard tests/boundary/*.cpp))
OBJS        = $(CORE_OBJS) $(MODULE_OBJS)

# The module once more, with its fault points (bridge/fault.hpp).
FAULT_SOURCES := extension/src/bridge/fault.cpp $(shell grep -lwE 'TENANTMIG_FAULT|TENANTMIG_FAULT_CLOCK' $(MODULE_OBJS:.o=.cpp))
FAULT_OBJS     = $(FAULT_SOURCES:.cpp=.fault.o)
FAULT_MODULE   = tests/faults/tenantmig$(DLSUFFIX)

INSTALL_SQL = extension/tenantmig--$(EXTVERSION).sql
DDL         = $(sort $(wildcard extension/ddl/*.sql))
DATA        = $(wildcard extension/upgrade/*.sql)
DATA_built  = $(INSTALL_SQL)

# One set of warnings for everything; -Wclobbered finds locals that a PostgreSQL error's long jump would spoil.
WARNINGS    = -Wall -Wextra -Wshadow -Wclobbered -Werror
OWN_FLAGS   = -std=c++20 $(WARNINGS) -fvisibility=hidden -fvisibility-inlines-hidden -MMD -MP \
              -DTENANTMIG_VERSION='"$(EXTVERSION)"' $(EXTRA_CXXFLAGS)
PG_CPPFLAGS = -Iextension/src -isystem $(shell $(PG_CONFIG) --includedir-server) \
              -DPGDLLEXPORT='__attribute__((visibility("default")))'
PG_CXXFLAGS = $(OWN_FLAGS)
SHLIB_LINK  = -lstdc++ -lfmt

# PGXS would compile every file a second time with clang for a JIT that never inlines C++.
override with_llvm = no

# `make installcheck`; the suites of `make check` are run by tests/run/check.
REGRESS        = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
ISOLATION      = $(filter-out race_%,$(patsubst tests/isolation/specs/%.spec,%,$(sort $(wildcard tests/isolation/specs/*.spec))))
ISOLATION_OPTS = --inputdir=tests/isolation --load-extension=tenantmig
ifneq ($(wildcard tests/tap/*.pl),)
TAP_TESTS      = 1
PROVE_TESTS    = tests/tap/*.pl
endif
EXTRA_CLEAN    = $(CLIENT_OBJS) $(UNIT_OBJS) $(BOUNDARY_OBJS) $(FAULT_OBJS) $(DEPFILES) client/tenantmig \
                 tests/unit/unit_tests $(BOUNDARY_TEST) $(FAULT_MODULE) extension/tenantmig--*.sql

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

DEPFILES = $(patsubst %.o,%.d,$(OBJS) $(CLIENT_OBJS) $(UNIT_OBJS) $(BOUNDARY_OBJS) $(FAULT_OBJS))
-include $(wildcard $(DEPFILES))

# The version and the flags are compiled in, so a change of either rebuilds all.
$(OBJS) $(CLIENT_OBJS) $(UNIT_OBJS) $(BOUNDARY_OBJS) $(FAULT_OBJS): extension/tenantmig.control build.mk

# The install script, one topic a file, joined in the order of the names.
$(INSTALL_SQL): $(DDL) extension/tenantmig.control build.mk
	rm -f extension/tenantmig--*.sql
	cat /dev/null $(DDL) > $@

# Pure C++: no include directory of the server, so that a PostgreSQL header in core/, the client or a unit test does
# not compile. Position independent because the module and the client link the same objects.
PURE_CXXFLAGS = $(OWN_FLAGS) -O2 -g -fPIC -Iextension/src

extension/src/core/%.o: extension/src/core/%.cpp
	$(CXX) $(PURE_CXXFLAGS) -c -o $@ $<

client/src/%.o: client/src/%.cpp
	$(CXX) $(PURE_CXXFLAGS) -Iclient/src -isystem $(shell $(PG_CONFIG) --includedir) -c -o $@ $<

tests/unit/%.o: tests/unit/%.cpp
	$(CXX) $(PURE_CXXFLAGS) -Itests/unit -c -o $@ $<

tests/unit/unit_tests: $(UNIT_OBJS) $(CORE_OBJS)
	$(CXX) $(EXTRA_CXXFLAGS) -o $@ $^ -lgtest_main -lgtest -lfmt -lyaml-cpp -pthread

# The module that sql/boundary.sql loads from the tree: the bridge's own objects, and functions that fail on purpose. It is
# built with the rest, and never installed.
BOUNDARY_TEST = $(if $(BOUNDARY_OBJS),tests/boundary/boundary_test$(DLSUFFIX))
all: $(BOUNDARY_TEST)
tests/boundary/boundary_test$(DLSUFFIX): $(BOUNDARY_OBJS) $(CORE_OBJS) $(filter extension/src/bridge/%,$(OBJS))
	$(CXX) $(EXTRA_CXXFLAGS) -shared -o $@ $^ -lfmt

# The same objects but for those that hold a fault point, which are compiled a second time. For the suites races, tap
# and crash; never installed.
%.fault.o: %.cpp
	$(COMPILE.cc) -DTENANTMIG_FAULTS $(OUTPUT_OPTION) $<
$(FAULT_MODULE): $(filter-out $(FAULT_SOURCES:.cpp=.o),$(OBJS)) $(FAULT_OBJS)
	$(CXX) $(EXTRA_CXXFLAGS) -shared -o $@ $^ -lfmt

client/tenantmig: $(CLIENT_OBJS) $(CORE_OBJS)
	$(CXX) $(EXTRA_CXXFLAGS) -o $@ $^ -L$(shell $(PG_CONFIG) --libdir) -lpq -lyaml-cpp -lfmt

# A client for the user's PATH, which PostgreSQL's own program folder is not on Debian.
CLIENT_BINDIR ?= /usr/local/bin

ifneq ($(CLIENT_OBJS),)
all: client/tenantmig
install: install-client
uninstall: uninstall-client
endif

.PHONY: install-client uninstall-client
install-client: client/tenantmig
	$(MKDIR_P) '$(DESTDIR)$(CLIENT_BINDIR)'
	$(INSTALL_PROGRAM) $< '$(DESTDIR)$(CLIENT_BINDIR)/tenantmig'
uninstall-client:
	rm -f '$(DESTDIR)$(CLIENT_BINDIR)/tenantmig'
