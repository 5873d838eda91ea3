# One command each. `make run` is all it takes to see a proxy; CI runs `make lint test docs`.
#
#   PYTHON=python3.12   the interpreter that .venv is made with (3.11 or newer)
#   ARGS="..."          more arguments, for run, test, bench and profile

PYTHON ?= python3
ARGS ?=

# Set in some images, and then every Python process that a test starts compiles all of pingap again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# A second environment, whose pingap is compiled; .venv keeps the one that can be edited.
COMPILED := .venv-compiled
COMPILED_PIP := $(COMPILED)/bin/python -m pip --disable-pip-version-check
WHEELS := dist/compiled

# The core with TLS, and every distribution below pingap_plugins/ and contrib/, installed so that edits
# take effect; but for the one that needs a C compiler.
SPEEDUPS := contrib/speedups
PROJECTS := pyproject.toml $(wildcard pingap_plugins/*/pyproject.toml contrib/*/pyproject.toml)
PROJECTS := $(filter-out $(SPEEDUPS)/%,$(PROJECTS))
DISTRIBUTIONS := $(addprefix -e ,$(filter-out ./,$(dir $(PROJECTS))))
EDITABLE := -e '.[tls]' $(DISTRIBUTIONS)

.PHONY: help setup speedups compiled run test fuzz lint docs bench profile clean
.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup: $(VENV)/setup.stamp ## Make .venv with the core and all plugin distributions.

speedups: $(VENV)/speedups.stamp ## Compile and install contrib/speedups, which nothing else needs.

compiled: $(COMPILED)/compiled.stamp ## Make .venv-compiled, in which the data path and the readers are compiled.

run: setup ## Serve conf.d: try http://127.0.0.1:8080/
	$(BIN)/pingap -c conf.d $(ARGS)

test: $(VENV)/dev.stamp ## Run all tests.
	$(BIN)/python -m pytest -n auto $(ARGS)

fuzz: $(VENV)/dev.stamp ## Send valid and broken sessions: make fuzz ARGS="--seconds 3600 --seed 1"
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

lint: $(VENV)/dev.stamp ## Check style, types and the direction of imports.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp ## Generate the reference pages and build the manual into site/.
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup ## Compare pingap with nginx, HAProxy, Caddy and aiohttp.
	$(BIN)/python contrib/bench/compare.py $(ARGS)

profile: setup ## Show where the CPU time of a request goes.
	$(BIN)/python contrib/bench/cpu_profile.py $(ARGS)

clean: ## Remove .venv and everything that was built or cached.
	rm -rf $(VENV) $(COMPILED) site dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf $(SPEEDUPS)/build $(SPEEDUPS)/*.egg-info $(SPEEDUPS)/pingap_speedups/*.c

# The stamps say what .venv holds; they are made again when a pyproject.toml changes.
# pip is upgraded first: groups need 25.1, and a Python may bring an older one.

$(VENV)/setup.stamp: $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'pingap needs Python 3.11 or newer: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet $(EDITABLE)
	@touch $@

$(VENV)/dev.stamp: $(VENV)/setup.stamp
	$(PIP) install --quiet --group dev
	@touch $@

$(VENV)/speedups.stamp: $(VENV)/setup.stamp $(wildcard $(addprefix $(SPEEDUPS)/,*.toml *.py */*.py*))
	$(PIP) install --quiet ./$(SPEEDUPS)
	@touch $@

# From a source distribution, because compiled files beside the sources would hide later edits.
$(COMPILED)/compiled.stamp: $(PROJECTS) $(shell find pingap $(SPEEDUPS) -name '*.py*')
	$(PYTHON) -m venv $(COMPILED)
	$(COMPILED_PIP) install --quiet --upgrade 'pip>=25.1' hatchling
	rm -rf $(WHEELS)
	$(COMPILED)/bin/hatchling build -t sdist -d $(WHEELS)
	HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(COMPILED_PIP) wheel --quiet --no-deps -w $(WHEELS) $(WHEELS)/pingap-*.tar.gz
	$(COMPILED_PIP) install --quiet "$$(echo $(WHEELS)/pingap-*.whl)[tls]" $(DISTRIBUTIONS) ./$(SPEEDUPS)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/setup.stamp
	$(PIP) install --quiet --group docs
	@touch $@
