# `make search` and `make test` on a fresh machine need Python 3.11-3.13, make and the package registry, nothing else.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
UV = $(shell command -v uv 2>/dev/null || echo $(VENV)/bin/uv)
ARGS ?=
# What is compiled once, the libraries' bytecode and the tests' with it, is there for the next process and the next run.
TESTS := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: setup search test test-fast test-thorough mutate lint format typecheck bench bench-metrics bench-adversarial wheel docs constraints clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.ready ## the environment, with pinned versions

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null 2>&1 || test -x $(VENV)/bin/uv || $(RUN) -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip install --quiet --python $(RUN) --constraint constraints.txt --editable . --group dev
	@# auto_LiRPA declares torch<1.13, which it no longer needs: without its dependencies it installs beside any torch.
	@$(UV) pip install --quiet --python $(RUN) --no-deps auto-lirpa==0.3 appdirs==1.4.4
	@touch $@

search: setup ## the main job on the embedded default data; ARGS="+experiment=… key=value"
	$(RUN) -m dsrna.search $(ARGS)

test: setup ## all tests (a machine without a GPU or real data skips those that need them)
	$(TESTS) $(ARGS)

test-fast: setup ## the unit tests that take no quarter of a second each: the inner loop
	$(TESTS) tests/unit -m "not slow" $(ARGS)

test-thorough: setup ## all tests with every row and more drawn examples
	DSRNA_THOROUGH=1 $(TESTS) $(ARGS)

mutate: setup ## deliberate mistakes in the source, each of which a named test must notice; takes long
	$(RUN) tests/mutations/mutate.py $(ARGS)

lint: setup ## ruff: rules and format
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: setup ## ruff: mend what can be mended
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

typecheck: setup ## mypy
	$(RUN) -m mypy

bench: setup ## what search steps cost: compiled kernels, modules one by one, and the published method transcribed
	$(RUN) experiments/bench/supernet_step.py $(ARGS)

bench-metrics: setup ## cost of an architecture step per metric, as multiples of a plain one
	$(RUN) experiments/bench/architecture_step.py $(ARGS)

bench-adversarial: setup ## adversarial training and attacks against a plain loop
	$(RUN) experiments/bench/adversarial.py $(ARGS)

wheel: setup ## a wheel with kernels for x86-64 processors (AVX2 and AVX-512), in dist/; needs a C++ compiler
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(UV) build --wheel --out-dir dist $(ARGS)

docs: setup ## the documentation as a site, in site/; a link that leads nowhere ends it
	@$(UV) pip install --quiet --python $(RUN) --constraint constraints.txt --group docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict $(ARGS)

constraints: setup ## write constraints.txt anew from the newest versions that pyproject allows
	@$(UV) pip compile --quiet --no-header --no-annotate --universal --upgrade --all-extras --group dev --group docs \
	  pyproject.toml -o constraints.txt

clean: ## caches and build output (runs/ and data/ stay)
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
