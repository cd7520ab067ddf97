# Every target sets up what it needs; none wants to be told anything first. PYTHON=… names another
# interpreter than python3: `build/venv.sh` finds one, or says what is needed.
VENV := .venv
EXTRAS ?= dev
BIN := $(VENV)/bin
SAMPLE := parakeet_coreml/samples/speech.wav

PARITY_VENV := .venv-parity
APP_VENV := .venv-app
LOCK_VENV := .venv-lock
# Recordings of `make ab`, and how many of them also in real time.
AB_COUNT ?= 200
AB_LIVE ?= 20
# What `make coverage` and `make as-mac` run, a folder at a time: one that breaks costs no figure of the others.
COVERED ?= $(sort $(dir $(wildcard tests/*/test_*.py)))
# What `make test` and `make fresh` run; all of it by default.
TESTS ?=
export TESTS
# What `make torture` draws its cases from.
SEED ?= 1
# How long `make soak` listens.
SOAK_MINUTES ?= 120
APP := dist/parakeet-coreml/parakeet-coreml

# An environment whose interpreter is gone, or is not the one PYTHON names now, is made again.
broken = $(if $(shell PYTHON='$(PYTHON)' build/venv.sh --whole $(1)),,again)

.PHONY: again help run test check fix parity bench ab ramp traced torture soak coverage as-mac app app-test lock dist fresh pictures clean
.DEFAULT_GOAL := run

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'
	@echo "PYTHON=/path/to/python3.13 after it chooses the interpreter; 3.11 to 3.13 will do"

run: $(VENV)/.run ## transcribe the bundled speech with the built-in model
	$(BIN)/parakeet-coreml progressive-record --model tiny-en --backend onnx --input $(SAMPLE)

test: $(VENV)/.dev ## run the tests; TESTS=tests/audio runs some
	$(BIN)/python -P -m pytest $(TESTS)

check: $(VENV)/.dev ## format, lint, types, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

fix: $(VENV)/.dev ## format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

parity: $(PARITY_VENV)/.parity ## compare every form of tiny-en with PyTorch, stage by stage, and the words
	$(PARITY_VENV)/bin/python -m models.convert.fixtures --check
	$(PARITY_VENV)/bin/python -m models.convert.parity models/tiny_en/checkpoint parakeet_coreml/tiny_en --sound $(SAMPLE) --fewer-bits

bench: $(VENV)/.dev ## print the figures of docs/BENCHMARKS.md for this machine
	$(BIN)/python tests/bench/bench.py

ab: $(VENV)/.ab ## compare the backends on a set made here; docs/AB.md and its pictures. AB_COUNT=20 AB_LIVE=2 for a taste; goes on where it was, `rm -r .work/ab` begins anew
	$(BIN)/python tests/bench/build_set.py .work/ab/data --count $(AB_COUNT)
	$(BIN)/parakeet-coreml bench --data .work/ab/data --out .work/ab/bench \
	  --backend onnx --backend coreml --backend mlx --live $(AB_LIVE)
	$(BIN)/python tests/bench/ceremony.py --data .work/ab/data --out .work/ab/ceremony
	$(BIN)/python tests/bench/publish.py .work/ab docs

ramp: $(VENV)/.dev ## 60 s of counted samples through a busy recorder (part of the tests at 20 s)
	PARAKEET_RAMP_SECONDS=60 $(BIN)/python -P -m pytest tests/audio -k lost_or_doubled --timeout 300

traced: $(VENV)/.dev ## 60 s of a recording under strace: no internet socket, no file (in the tests 5 s)
	PARAKEET_TRACE_SECONDS=60 $(BIN)/python -P -m pytest tests/host/test_privacy.py -k microphone --timeout 600

torture: $(VENV)/.dev ## harm by the thousand, for half an hour at most: headers, failing calls, kills, damaged models
	@status=0; for harm in 'headers.py --seconds 300' 'calls.py file --seconds 360' \
	  'calls.py microphone --seconds 420' 'calls.py worker --seconds 120' \
	  'kills.py --seconds 300' 'damage.py --seconds 240'; do \
	  echo "$$harm"; $(BIN)/python tests/torture/$$harm --seed $(SEED) || status=1; \
	done; exit $$status

soak: $(VENV)/.dev ## two hours at the microphone: nothing grows, nothing is lost; SOAK_MINUTES=10 for a taste
	$(BIN)/python -P tests/torture/soak.py --minutes $(SOAK_MINUTES)

coverage: $(VENV)/.dev ## branch coverage, the processes' too: slow, it is no part of the gate
	$(BIN)/python -P -m coverage erase
	-for part in $(COVERED); do $(BIN)/python -P -m coverage run -m pytest --timeout 900 $$part; done
	$(BIN)/python -P -m coverage combine --quiet
	$(BIN)/python -P -m coverage report

as-mac: $(VENV)/.dev ## run the tests as a Mac would: what only Linux has is hidden
	@status=0; for part in $(COVERED); do \
	  PARAKEET_AS_MAC=1 $(BIN)/python -P -m pytest $$part || status=1; \
	done; exit $$status

app: $(APP_VENV)/.app ## freeze the program into dist/parakeet-coreml, which needs no Python
	PYTHONHASHSEED=0 PYINSTALLER_ZLIB_COMPRESSION_LEVEL=0 $(APP_VENV)/bin/python -P -m PyInstaller --noconfirm --log-level WARN \
	  --distpath dist --workpath dist/.work build/parakeet-coreml.spec
	$(APP_VENV)/bin/python -P build/commands.py dist/parakeet-coreml
	$(APP_VENV)/bin/python -P build/check_bundle.py dist/parakeet-coreml \
	  --report dist/.work/parakeet-coreml/warn-parakeet-coreml.txt

app-test: $(VENV)/.dev ## run the tests of the contract and of the folder on what `make app` made
	PARAKEET_BIN=$(CURDIR)/$(APP) $(BIN)/python -P -m pytest \
	  tests/build/frozen.py tests/host tests/checks tests/examples

lock: $(LOCK_VENV)/.uv ## write requirements-dev.lock anew, for every Python and platform we run on
	rm -f requirements-dev.lock
	$(LOCK_VENV)/bin/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --quiet \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements-dev.lock

dist: $(VENV)/.dev ## make sdist and wheel, man page and completions; try the wheel where nothing else is
	rm -f dist/*.whl dist/*.tar.gz
	$(BIN)/python -P -m build --outdir dist .
	$(BIN)/python -P build/commands.py dist
	build/smoke.sh dist/*.whl $(BIN)/python

pictures: $(VENV)/.dev ## draw the pages' pictures anew, from real recordings
	$(BIN)/python -m pip install --quiet pyte
	$(BIN)/python build/terminal_picture.py docs/pictures/terminal.svg
	$(BIN)/python build/window_pictures.py docs/pictures

fresh: ## try the README's commands on a bare Debian, as an ordinary user (needs root, debootstrap)
	build/fresh.sh

clean: ## remove everything that was made
	rm -rf .coverage .coverage.* $(VENV) $(PARITY_VENV) $(APP_VENV) $(LOCK_VENV) dist .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/.run $(VENV)/.dev $(LOCK_VENV)/.uv $(PARITY_VENV)/.parity $(APP_VENV)/.app: export PYTHON := $(PYTHON)

$(VENV)/.run: pyproject.toml $(call broken,$(VENV))
	@build/venv.sh $(VENV) .
	@touch $@

# First what is locked, by hash; then ourselves, with the locked build tool, and what EXTRAS adds.
$(VENV)/.dev: pyproject.toml requirements-dev.lock $(call broken,$(VENV))
	@LOCK=requirements-dev.lock build/venv.sh $(VENV) '.[$(EXTRAS)]' --no-build-isolation
	@touch $@

# Of its own: a large program that nothing but `make lock` needs.
$(LOCK_VENV)/.uv:
	@build/venv.sh $(LOCK_VENV) 'uv>=0.9'
	@touch $@

$(VENV)/.ab: $(VENV)/.dev
	@build/venv.sh $(VENV) '.[dev,mlx]'
	@touch $@

# Of its own: PyTorch and coremltools' converters are large, and neither the program nor its tests use them.
$(PARITY_VENV)/.parity: pyproject.toml models/convert/requirements.txt
	@build/venv.sh $(PARITY_VENV) . --requirement models/convert/requirements.txt
	@touch $@

# Of its own: PyInstaller takes whatever it finds, and the tests bring much that must not get in.
$(APP_VENV)/.app: pyproject.toml
	@rm -rf $(APP_VENV)
	@build/venv.sh $(APP_VENV) '.[app]'
	@touch $@
