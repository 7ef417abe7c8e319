# Builds the C core and the native test programs into one folder; run from the root of the repository:
#   make -f tests/c/build.mk BUILD=build/asan CC=gcc CFLAGS="-O1 -g -fsanitize=address,undefined" tests fuzzers
BUILD ?= build/native
CFLAGS ?= -O2 -g
LDFLAGS ?=
# plain IEEE arithmetic, as setup.py asks for it; a test that wants to see it refused overrides FLOATS
FLOATS ?= -ffp-contract=off
BASE = -std=c99 $(FLOATS) -Isrc_c -Itests/c
# main() of the fuzz targets: the replay driver, or nothing where libFuzzer brings its own
FUZZ_MAIN ?= $(BUILD)/fuzz/driver.o

OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard src_c/*.c src_c/*/*.c)))
TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/c/test_*.c)))
FUZZERS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard fuzz/fuzz_*.c)))

.PHONY: core tests fuzzers digest exhaustive
.SECONDARY:
core: $(BUILD)/libgradsz.a
tests: $(TESTS)
fuzzers: $(FUZZERS)
digest: $(BUILD)/tests/cross/digest
exhaustive: $(BUILD)/tests/exhaustive/exhaustive

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(BASE) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libgradsz.a: $(OBJECTS)
	@rm -f $@
	$(or $(AR),ar) rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libgradsz.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ -pthread

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/fuzz_%.o $(FUZZ_MAIN) $(BUILD)/libgradsz.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ -pthread

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
