# Every target does its own set-up in a private environment (.venv). Nothing is installed outside this folder.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
WHEEL  := $(VENV)/wheels/lsmkv-*.whl
SOURCES := $(shell find src benchmarks/lsmkv_bench cluster -name '*.py' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.[ch]' -o -name '*.css') \
           pyproject.toml setup.py MANIFEST.in

.PHONY: help demo test soak fuzz sanitize coverage sim model nemesis abuse bench bench-kernels lint clean

help:
	@echo "make demo    build, index the Python standard library and query it; then a cluster that breaks"
	@echo "make test    build, then run everything that must be green"
	@echo "make soak MINUTES=30   build, then the heavy parts of the tests in turn; counters in .soak"
	@echo "make fuzz MINUTES=10   build, then coverage-guided fuzzing of all targets (needs clang)"
	@echo "make sanitize   the tests again, on a build with AddressSanitizer and UBSan"
	@echo "make coverage   which branches of the kernels and of recovery the tests take"
	@echo "make sim SEEDS=1000   build, then that many simulated clusters under faults, on all cores"
	@echo "make model STATES=1000000   build, then as many states of small clusters, in every order"
	@echo "make nemesis MINUTES=10 [SEED=1]   build, then strike five real nodes under load for so long"
	@echo "make abuse   build, then measure what others notice while a node is sent junk"
	@echo "make bench   compare with other embedded databases on this machine"
	@echo "make bench-kernels   nanoseconds per operation of each kernel, beside its floor"
	@echo "make lint    style and types only"
	@echo "make clean   remove everything that was built"

demo: $(VENV)/installed-cluster
	@$(BIN)/lsmkv demo engine --path .demo $(DEMO)
	@echo
	@$(BIN)/lsmkv demo cluster --tour

test: $(VENV)/installed-test
	@$(BIN)/python tools/run_tests.py $(TESTS)

# What was done is added to .soak/log.jsonl; SOAK names parts, see tests/soak/run.py.
MINUTES ?= 5
soak: $(VENV)/installed-test
	@$(BIN)/python -m tests.soak --minutes $(MINUTES) $(SOAK)

# FUZZ names targets or takes options of tests/fuzz/run.py; corpus and counters lie in .fuzz.
fuzz: $(VENV)/installed-test
	@$(PIP) install --quiet "$$(echo $(WHEEL))[fuzz]"
	@$(BIN)/python -m tests.fuzz.run --minutes $(MINUTES) $(FUZZ)

sanitize: $(VENV)/installed-test
	@$(BIN)/python -m tools.instrumented sanitize $(TESTS)

coverage: $(VENV)/installed-test
	@$(PIP) install --quiet "$$(echo $(WHEEL))[coverage]"
	@$(BIN)/python -m tools.instrumented coverage $(TESTS)

# Verdicts are kept in .sim, by the state of the sources; an interrupted run goes on.
SEEDS ?= 1000
sim: $(VENV)/installed-test
	@$(BIN)/python -m tests.sim.run --seeds $(SEEDS) --resume .sim/$$($(BIN)/python -c \
		"from tests.sim.results import FOLDERS; from tests.support.sources import sources_digest; \
		print(sources_digest(FOLDERS))") $(SIM)

# Of each scope; MODEL takes options of tests/model/run.py.
STATES ?= 1000000
model: $(VENV)/installed-test
	@$(BIN)/python -m tests.model.run --states $(STATES) $(MODEL)

# Verdicts are kept in .nemesis, by the state of the sources, and all that is left of a failed round.
MINUTES ?= 10
SEED ?= 1
nemesis: $(VENV)/installed-test
	@$(BIN)/python -m tests.cluster.processes.run --minutes $(MINUTES) --seed $(SEED) $(NEMESIS)

abuse: $(VENV)/installed-test
	@$(BIN)/python -m tests.cluster.processes.abuse $(ABUSE)

bench: $(VENV)/installed-bench
	@$(BIN)/lsmkv bench $(BENCH)

bench-kernels: $(VENV)/installed-bench
	@$(BIN)/python -m pytest benchmarks/kernels $(BENCH)

lint: $(VENV)/installed-test
	@$(BIN)/python tools/run_tests.py tests/test_style.py tests/test_checkers.py tests/test_layers.py

$(VENV)/created: tools/check_prerequisites.sh
	@PYTHON=$(PYTHON) sh tools/check_prerequisites.sh
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# One wheel is built; the extras are installed from it.
$(VENV)/installed: $(VENV)/created $(SOURCES)
	@echo "building lsmkv (about a minute the first time)"
	@rm -rf $(VENV)/wheels
	@$(PIP) wheel --quiet --no-deps --wheel-dir $(VENV)/wheels .
	@$(PIP) install --quiet --force-reinstall --no-deps $(WHEEL)
	@$(PIP) install --quiet $(WHEEL)
	@touch $@

$(VENV)/installed-cluster: $(VENV)/installed
	@$(PIP) install --quiet "$$(echo $(WHEEL))[cluster]"
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@$(PIP) install --quiet "$$(echo $(WHEEL))[test]"
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed
	@$(PIP) install --quiet "$$(echo $(WHEEL))[bench]"
	@touch $@

clean:
	rm -rf $(VENV) build dist .demo .sim .nemesis .soak .fuzz .instrumented .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name '__pycache__' -prune -exec rm -rf {} +
	find src -name '*.so' -delete
