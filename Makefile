# Makefile -- builds nnc and its runtime, runs the tests and the demonstration.
#
#   make          build/nnc and build/libnn.a, and build/libnn_images.a for trainers that read pictures
#   make demo     compiles LeNet-5, trains it on Fashion-MNIST, shows what it reaches
#   make check    all tests (under ten minutes)
#   make bench    speed, side by side with what is installed
#   make soak     long fuzzing and full training
#   make clean

B      := build
CC     := cc
CFLAGS := -O2 -g
WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
          -Wconversion -Wno-sign-conversion -Wdouble-promotion -Wvla -Wno-psabi -Werror
ALL    := -std=c11 -D_GNU_SOURCE $(CFLAGS)

COMPILER := $(sort $(wildcard compiler/*/*.c) $(wildcard compiler/*.c))
RUNTIME  := $(sort $(wildcard runtime/*.c))
IMAGES   := $(sort $(wildcard runtime/images/*.c))
LIBRARY  := $(sort $(wildcard lang/*.nn)) lang/foreign.txt
UNIT     := $(sort $(wildcard tests/unit/*.c))

# Compiler objects without main.o: the unit tests link with them.
PARTS   := $(patsubst %.c,$B/%.o,$(filter-out compiler/main.c,$(COMPILER))) \
           $B/gen/parse.o $B/gen/lex.o $B/gen/library.o $B/gen/embedded.o
RUNOBJ  := $(patsubst %.c,$B/%.o,$(RUNTIME))
IMGOBJ  := $(patsubst %.c,$B/%.o,$(IMAGES))
TESTS   := $(patsubst tests/unit/%.c,$B/tests/%,$(UNIT))

# What runs is said in short; V=1 shows it whole.
ifeq ($V,1)
Q   :=
say := @:
else
Q   := @
say := @echo
endif

.DELETE_ON_ERROR: # a grammar with conflicts must not leave parse.c behind
.PHONY: all check demo bench soak clean unit numeric errors golden driver bless

all: $B/nnc $B/libnn.a $B/libnn_images.a
	@echo "build/nnc is ready; try: build/nnc examples/xor/xor.nn -o xor && ./xor"

# What everything is built with is there, or is installed.
$B/ready: tests/setup
	@mkdir -p $B
	@tests/setup
	@touch $@

$B/nnc: $(PARTS) $B/compiler/main.o
	$(say) "  LINK  $@"
	$Q$(CC) $(CFLAGS) -o $@ $^ -lm

$B/libnn.a: $(RUNOBJ)
	@rm -f $@
	$(say) "  AR    $@"
	$Qar rcs $@ $^

# Apart, because it needs libpng and libjpeg.
$B/libnn_images.a: $(IMGOBJ)
	@rm -f $@
	$(say) "  AR    $@"
	$Qar rcs $@ $^

$B/compiler/%.o: compiler/%.c | $B/gen/parse.h
	@mkdir -p $(@D)
	$(say) "  CC    $@"
	$Q$(CC) $(ALL) $(WARN) -Icompiler -I$B/gen -MMD -MP -c -o $@ $<

$B/runtime/%.o: runtime/%.c | $B/ready
	@mkdir -p $(@D)
	$(say) "  CC    $@"
	$Q$(CC) $(ALL) $(WARN) -Iruntime -MMD -MP -c -o $@ $<

# Lemon keeps parse.h untouched when no token changed; the touch keeps make content.
$B/gen/parse.c $B/gen/parse.h &: compiler/syntax/parse.y | $B/ready
	@mkdir -p $(@D)
	$(say) "  LEMON $@"
	$Qlemon -q -c -d$B/gen $<
	@touch $B/gen/parse.h
$B/gen/lex.c: compiler/syntax/lex.re $B/gen/parse.h | $B/ready
	$(say) "  RE2C  $@"
	$Qre2c -W -Werror --no-generation-date -o $@ $<
$B/gen/parse.o $B/gen/lex.o: $B/gen/%.o: $B/gen/%.c
	$(say) "  CC    $@"
	$Q$(CC) $(ALL) -w -Icompiler -I$B/gen -MMD -MP -c -o $@ $<

# The library and the C that every model carries become part of the compiler, as text.
embed = printf '{"%s",\n' $(1); sed 's/[\\"]/\\&/g; s/.*/    "&\\n"/' $(1); echo '},'
$B/gen/library.c: $(LIBRARY)
	@mkdir -p $(@D)
	@{ echo '#include "base/embedded.h"'; echo 'const Embedded library_files[] = {'; \
	  $(foreach f,$^,$(call embed,$f);) echo '{0, 0}};'; } > $@
$B/gen/embedded.c: runtime/nn_vec.h runtime/nn_math.h runtime/nn_random.h runtime/nn_image.h
	@mkdir -p $(@D)
	@{ echo '#include "base/embedded.h"'; echo 'const Embedded prelude_files[] = {'; \
	  $(foreach f,$^,$(call embed,$f);) echo '{0, 0}};'; } > $@
$B/gen/library.o $B/gen/embedded.o: $B/gen/%.o: $B/gen/%.c
	$(say) "  CC    $@"
	$Q$(CC) $(ALL) -Icompiler -MMD -MP -c -o $@ $<

$B/tests/%: tests/unit/%.c $(PARTS) $B/libnn_images.a $B/libnn.a
	@mkdir -p $(@D)
	$(say) "  CC    $@"
	$Q$(CC) $(ALL) $(WARN) -Icompiler -Iruntime -I$B/gen -MMD -MP -o $@ $< $(PARTS) $B/libnn_images.a $B/libnn.a \
	    -lcheck -lsubunit -lrt -lpthread -lpng -ljpeg -lz -lm

unit: $(TESTS)
	@for t in $(TESTS); do $$t || exit 1; done

# The library against PyTorch's stored results and against finite differences, in double.
NUMERIC := tests/numeric/numeric.c tests/numeric/test.c tests/numeric/cases.c
$B/tests/numeric/numeric: $(NUMERIC) tests/numeric/test.h tests/numeric/cases.h $(PARTS)
	@mkdir -p $(@D)
	$(say) "  CC    $@"
	$Q$(CC) $(ALL) $(WARN) -Icompiler -I$B/gen -o $@ $(NUMERIC) $(PARTS) -lm

numeric: $B/tests/numeric/numeric
	$<

# What nnc says about mistakes, and what its passes make: stored texts. `make bless` stores the new ones; read them.
errors golden driver: all
	@tests/$@/run
driver: folders
folders:
	@tests/driver/folders
bless: all
	@tests/errors/run bless
	@tests/golden/run bless

check:
	@tests/setup check
	@$(MAKE) --no-print-directory all $(TESTS) $B/tests/numeric/numeric
	@tests/check

soak:
	@tests/setup check demo
	@$(MAKE) --no-print-directory all
	@tests/soak

demo:
	@tests/setup demo
	@$(MAKE) --no-print-directory all
	@tests/demo

# Beside what is installed; QUICK=1 for five minutes, BENCH="--rounds=5 a c" for other options of tests/bench/run.
bench: all
	@tests/bench/run $(if $(QUICK),--quick) $(BENCH)

clean:
	rm -rf $B

-include $(shell find $B -name '*.d' 2>/dev/null)
