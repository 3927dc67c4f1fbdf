# Each target makes .venv and installs what it needs, once; a change of pyproject.toml
# or constraints.txt installs again. `make help` lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO_DIR ?= runs/demo

# Large arrays get huge pages (glibc 2.35 or newer; others ignore it): without them a
# fourth of a CPU's time goes into page faults.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: help demo test fuzz test-t5x test-hf lint bench notebooks docs wheel clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev,seqio]'
	@touch $@ $(VENV)/core.stamp

$(VENV)/t5x.stamp: $(VENV)/dev.stamp
	$(INSTALL) -e '.[dev,t5x]'
	@touch $@

$(VENV)/notebook.stamp: $(VENV)/dev.stamp
	$(INSTALL) -e '.[dev,notebook]'
	@touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	$(INSTALL) -e '.[dev,docs]'
	@touch $@

$(VENV)/hf.stamp: $(VENV)/dev.stamp
	$(INSTALL) -e '.[dev,hf]' trl  # trl: for tests alone
	@touch $@

demo: $(VENV)/core.stamp  ## run the embedded default: tune, probe, report
	$(BIN)/symtune run microworld --out $(DEMO_DIR)

test: $(VENV)/dev.stamp  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-t5x: $(VENV)/t5x.stamp  ## run the T5X tests; see CONTRIBUTING.md for PYTHONPATH
	$(BIN)/python -m pytest -m t5x

test-hf: $(VENV)/hf.stamp  ## run the tests that need PyTorch and Transformers
	$(BIN)/python -m pytest -m hf

fuzz: $(VENV)/dev.stamp  ## damage files at random, flip 500 bits of a run, kill it 25 times
	PYTHONPATH=tests/families $(BIN)/python tests/fuzz/mutate.py --rounds 300
	$(BIN)/python tests/fuzz/bit_flips.py 500
	$(BIN)/python tests/fuzz/kills.py 25

lint: $(VENV)/dev.stamp  ## ruff, pyright, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/codespell

# gpu needs a GPU, and score_decoder a model and rows; train_decoder is long without.
BENCHMARKS := $(filter-out gpu kernel_costs score_decoder,$(basename $(notdir $(wildcard benchmarks/*.py))))

bench: $(VENV)/hf.stamp  ## run the benchmarks that need no GPU and no files, beside peers
	for script in $(BENCHMARKS); do $(BIN)/python benchmarks/$$script.py || exit 1; done

notebooks: $(VENV)/notebook.stamp  ## write the .ipynb pairs, and run them in Jupyter
	$(BIN)/python docs/make_notebooks.py
	$(BIN)/jupyter execute notebooks/*.ipynb

docs: $(VENV)/docs.stamp  ## build the documentation site into docs/build
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/build

wheel:  ## build a wheel, install it elsewhere, run README's commands in an empty folder
	rm -rf build dist
	$(PYTHON) -m venv build/venv
	build/venv/bin/pip wheel --quiet --no-deps --wheel-dir dist .
	build/venv/bin/pip install --quiet -c constraints.txt dist/*.whl
	build/venv/bin/python tests/readme_commands.py

clean:  ## remove .venv, caches and runs
	rm -rf $(VENV) runs docs/build build dist .pytest_cache .ruff_cache .hypothesis
