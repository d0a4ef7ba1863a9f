# Every target makes or reuses its own virtual environment.
#   make demo | demo-composed | demo-synthesis | demo-aptm
#   make search                     find images of the demo by sentences
#   make test | test-gpu | lint | docs | test-next | test-onedl
#   PYTHON=python3.11 make test     another interpreter
#   make test ARGS='tests/test_filtering -x'
PYTHON ?=
VENV ?= .venv
ARGS ?=
# A file of tests stays in one process. In the order of their names: those with
# few tests, which take minutes, would come last and alone.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
NEXT_MMENGINE ?= 0.11.0rc3
export PYTHON
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help venv venv-next venv-onedl demo demo-composed demo-synthesis \
	demo-aptm search test test-gpu lint docs test-next test-onedl clean

help:
	@grep -E '^#  ' Makefile

venv:
	@bash scripts/make_venv.sh $(VENV) openmmlab,tests

demo: venv
	$(VENV)/bin/python tools/demo.py $(ARGS)

# After `make demo`.
search: venv
	$(VENV)/bin/python tools/demo_search.py $(ARGS)

demo-synthesis: venv
	$(VENV)/bin/python tools/demo_synthesis.py $(ARGS)

demo-composed: venv
	$(VENV)/bin/python tools/demo_composed.py $(ARGS)

# BERT comes from transformers.
demo-aptm:
	@bash scripts/make_venv.sh $(VENV) openmmlab,tests,blip2
	$(VENV)/bin/python tools/demo_aptm.py $(ARGS)

test: venv
	$(VENV)/bin/python -m pytest $(PARALLEL) $(ARGS)

# Needs a GPU; skips everything where there is none.
test-gpu: venv
	PYTHON=$(VENV)/bin/python bash scripts/gpu_check.sh $(ARGS)

lint:
	@bash scripts/make_venv.sh $(VENV) lint,openmmlab
	$(VENV)/bin/pre-commit run --all-files --show-diff-on-failure
	$(VENV)/bin/mypy

docs:
	@bash scripts/make_venv.sh $(VENV) docs,openmmlab
	$(VENV)/bin/python -m sphinx -W --keep-going -b html docs \
	  docs/_build/html $(ARGS)

# The smoke subset on mmengine's release candidate.
venv-next:
	@bash scripts/make_venv.sh $(VENV)-next openmmlab,tests \
	  mmengine==$(NEXT_MMENGINE)

test-next: venv-next
	$(VENV)-next/bin/python -m pytest -m smoke $(PARALLEL) $(ARGS)

# The smoke subset on the maintained forks, which declare Python <= 3.12.
venv-onedl:
	@PYTHON_MAX=12 bash scripts/make_venv.sh $(VENV)-onedl onedl,tests

test-onedl: venv-onedl
	$(VENV)-onedl/bin/python -m pytest -m smoke $(PARALLEL) $(ARGS)

clean:
	rm -rf build dist *.egg-info docs/_build mmtpr/.mim
