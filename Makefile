# make compare   set up .venv, fit Old Faithful by EM and by NUTS, write reports/old_faithful/index.html
# make test      lint, types, import direction, tests
# make bench     figures and times beside public packages, written to reports/benchmarks (half an hour)
# make fuzz      5,000 random fits on data that break careless arithmetic, and how they end
# make clean     remove every environment and every cache

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
# Two workers, a whole file each, so that what one file compiles is compiled once.
PYTEST_ARGS ?= -n 2 --dist loadfile
# "--only em_iteration" runs one program and prints its rows.
BENCH_ARGS ?=

# "5000 20000" runs 5,000 of them from number 20,000 on.
FUZZ_ARGS ?= 5000

.PHONY: help .venv compare test bench fuzz clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

.venv: .venv/.installed

# One word a package as pip meets it; pip's own errors are not hidden.
define install
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '$(1)' | awk ' \
	    /^Collecting/ { name = $$2; sub(/[^A-Za-z0-9_.-].*/, "", name); printf "%s ", name; fflush(); n = 1 } \
	    /^Installing collected/ && n { printf "\nInstalling them.\n"; fflush() } \
	    /^Successfully installed/ { print "Installed." }'
endef

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12) and "emvsmcmc needs Python 3.12 or newer: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)")'
	@test -x $(BIN)/python || { echo "Creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "Installing emvsmcmc and what it needs into .venv (a minute or two the first time)"
	@$(call install,.)
	@touch $@

.venv/.tested: .venv/.installed
	@echo "Adding what the tests need"
	@$(call install,.[test])
	@touch $@

compare: .venv/.installed
	$(BIN)/emvsmcmc compare old_faithful

# pytest goes last: its closing line ends the output. The order of imports is tests/test_imports.py, the wheel tests/test_wheel.py.
test: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Peers live apart, so that nothing of theirs is needed or met elsewhere; those that cannot be installed are named in the report.
.venv-bench/.installed: BIN := .venv-bench/bin
.venv-bench/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || { echo "Creating .venv-bench"; $(PYTHON) -m venv .venv-bench; }
	@echo "Installing emvsmcmc and scikit-learn into .venv-bench"
	@$(call install,.[bench])
	@touch $@

bench: .venv-bench/.installed
	.venv-bench/bin/python tests/benchmarks/peers.py
	.venv-bench/bin/python tests/benchmarks/bench.py $(BENCH_ARGS)

fuzz: .venv/.tested
	$(BIN)/python tests/random_fits.py $(FUZZ_ARGS)

clean:
	rm -rf .venv .venv-bench* .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
