# make demo        plan a real network and print the result
# make test        run the tests
# make install     .venv/bin/mapc with all a developer needs
# make lint        ruff and mypy
# make chromium    Debian's browser and driver, which some tests use (needs root)
# make docs        the documentation site in out/site, its links checked
# make quickstart  do what docs/quickstart.md says, in a new environment (asks the package index)
# make regress     hold every instance of instances/ to the quality recorded
# make bench       the benchmarks
# make clean       remove .venv, out and caches
#
# Python >= 3.11 and make are enough. PYTHON=... names the interpreter to use. Nothing is installed
# again while pyproject.toml and constraints.txt stay as they are, so all works offline afterwards.

VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.installed-demo
DEV_STAMP := $(VENV)/.installed-dev
INPUTS := pyproject.toml constraints.txt
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
PYTHON ?=
CANDIDATES := $(strip $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14)

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test install lint chromium docs quickstart regress bench clean environment

help:
	@sed -n 's/^# //p;/^$$/q' Makefile

# An interpreter that is gone (an upgrade, a copied folder) means a new environment; the stamps
# depend on that rule only then, since a phony prerequisite would renew them every time.
ifneq ($(shell $(BIN)/python -c 'print("ok")' 2>/dev/null),ok)
$(DEMO_STAMP) $(DEV_STAMP): environment
endif

environment:
	@python= ; bare= ; \
	for candidate in $(CANDIDATES); do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  bare="$${bare:-$$candidate}"; \
	  if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -n "$$python" ]; then \
	  "$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; \
	elif [ -n "$$bare" ]; then \
	  echo "make: $$bare has no ensurepip; install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; \
	else \
	  echo "make: no Python >= 3.11 among: $(CANDIDATES); install one, or name one with make PYTHON=..." >&2; exit 1; \
	fi

# A stamp is written only after its install has succeeded.
$(DEV_STAMP): $(INPUTS)
	@echo "installing mapc and its development tools into $(VENV)"
	@$(PIP_INSTALL) -e '.[dev]'
	@echo "compiling kernels, a few minutes at most"
	@$(BIN)/mapc warmup
	@touch $@

# What the development install brings is enough for the demo.
$(DEMO_STAMP): $(INPUTS)
	@if [ $(DEV_STAMP) -nt pyproject.toml ] && [ $(DEV_STAMP) -nt constraints.txt ]; then :; else \
	  echo "installing mapc into $(VENV)" && $(PIP_INSTALL) -e '.[onnx]'; \
	fi
	@touch $@

# after a change of kernels, too: what is compiled already costs nothing
install: $(DEV_STAMP)
	@$(BIN)/mapc warmup
	@echo "$(BIN)/mapc is ready"

# asked for when the recipe runs: the package is there only then
MODEL = $(shell $(BIN)/python -c 'import importlib.util as u, os; \
  print(os.path.relpath(os.path.dirname(u.find_spec("onnx").origin)))')/backend/test/data/light/light_densenet121.onnx

demo: $(DEMO_STAMP)
	@mkdir -p out
	$(BIN)/mapc import $(MODEL) --dtype int8 --fuse --scratchpad M_R -o out/densenet121.json
	$(BIN)/mapc solve out/densenet121.json --time-limit 60 -o out/densenet121.plan.json
	$(BIN)/mapc check out/densenet121.json out/densenet121.plan.json

# a worker for every core, four at most; files stay whole, as their tests share what is costly
test: $(DEV_STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# tests that open reports in a browser are skipped without it
chromium:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq -y --no-install-recommends chromium chromium-driver >/dev/null; }
	@chromium --version 2>/dev/null

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# strict: no page, link or reference that leads nowhere; the tests read what was built
docs: $(DEV_STAMP)
	@mkdir -p out
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	MAPC_SITE=out/site $(BIN)/python -m pytest tests/test_docs_site.py tests/browser/test_site.py

# with the versions of constraints.txt, which a reader would not need
quickstart: $(DEV_STAMP)
	MAPC_QUICKSTART=1 $(BIN)/python -m pytest tests/quickstart

# counted work, no clock: the same report on every machine; the wall only ends what hangs
regress: $(DEV_STAMP)
	$(BIN)/mapc regress instances --tier 1 --tier 2 --wall 1800 --quiet

# all but the first three read files that are not part of the repository
DATA := $(or $(MAPC_DATA),../shared/data)
EXPERTS := $(DATA)/placement/deepseek_v3_expert_counts.npz
LENGTHS := $(DATA)/sequence/wikipedia_lengths.npz

bench: $(DEV_STAMP)
	@mkdir -p out
	$(BIN)/python benchmarks/program_build.py
	$(BIN)/mapc bench instances --time-limit 10 -o out/bench.jsonl
	$(BIN)/python benchmarks/memory_irregular.py --json out/irregular.jsonl
	@[ -d $(DATA)/memory ] || { echo "make: no $(DATA)/memory; MAPC_DATA names the data" >&2; exit 1; }
	$(BIN)/python benchmarks/allocation.py $(DATA)/memory/*.1048576.csv --capacity 1MiB
	$(BIN)/python benchmarks/memory.py --minutes 12 --ilp-seconds 5
	$(BIN)/python benchmarks/memory.py --published --minutes 12
	$(BIN)/python benchmarks/memory_cosma.py $(DATA)/memory/graphs/tv_densenet121.json
	@[ -f $(EXPERTS) ] || { echo "make: no $(EXPERTS); MAPC_DATA names the data" >&2; exit 1; }
	$(BIN)/python benchmarks/placement.py --counts $(EXPERTS)
	$(BIN)/python benchmarks/placement_chain.py --trace $(DATA)/placement/mixtral_8x7b_humaneval_trace.npz --seconds 20
	$(BIN)/python benchmarks/placement_profiles.py --counts $(EXPERTS)
	$(BIN)/python benchmarks/placement_migration.py $(EXPERTS)
	$(BIN)/python benchmarks/placement_topology.py $(EXPERTS)
	$(BIN)/python benchmarks/sequence.py $(LENGTHS) --batches 20 --first 3 --flexsp 1 --minutes 20 --json out/sequence.jsonl
	$(BIN)/python benchmarks/sequence_scale.py $(LENGTHS)
	$(BIN)/python benchmarks/planner.py $(LENGTHS)

clean:
	rm -rf $(VENV) out build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
