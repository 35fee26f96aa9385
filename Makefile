# Each target does all its own set-up: a virtual environment in .venv with the versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-quick lint types bench docs clean

demo: $(STAMP)
	$(BIN)/filial demo recipes/demo.yaml

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-quick: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not train"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py

docs: $(STAMP)
	$(BIN)/python docs/build.py

# torch comes first and pinned: the plain name would bring gigabytes of CUDA libraries with it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[data,train,lora,clean,dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
