# `make demo` shows it, `make test` checks it. Each makes the environment first if it is missing.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
EXTRAS := lite0,export,consensus,deidentify,engines,dicomweb,node,mlflow,test,docs

DEPLOY      := $(VENV)-deploy
DEPLOY_PINS := fetal_monai/apps/deploy/requirements.txt

DEMO         ?= demo
DEMO_CONFIGS := bundle/configs/train.yaml','bundle/configs/networks/lite0_lite0.yaml','bundle/configs/recipes/quick.yaml
RUN          := $(BIN)/fetal-monai run
DEMO_FOLDERS := --dataset_dir $(DEMO)/data --ckpt_dir $(DEMO)/model --output_dir $(DEMO)/evaluation

.DEFAULT_GOAL := help
.PHONY: help install demo label deploy test lint fast thorough slow docs wheel lock clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## Make .venv with everything, from the lock

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "the lock needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing, about two minutes ...'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: install ## Synthetic DICOM -> training -> evaluation, five to ten minutes on two cores
	$(BIN)/fetal-monai phantom $(DEMO)/data --overwrite
	$(RUN) training --config_file "['$(DEMO_CONFIGS)']" $(DEMO_FOLDERS) --overwrite True
	$(RUN) evaluating --config_file "['$(DEMO_CONFIGS)','bundle/configs/evaluate.yaml']" $(DEMO_FOLDERS)
	@echo
	@echo 'Look at:'
	@echo '  $(DEMO)/evaluation/report.html            everything, in one page'
	@echo '  $(DEMO)/evaluation/confusion_matrix.png   what it confuses'
	@echo '  $(DEMO)/evaluation/per_class.csv          precision, recall and F1 of each class'
	@echo '  $(DEMO)/evaluation/predictions.csv        every test image with its probabilities'
	@echo '  $(DEMO)/model                             the trained model: model.pt and model.json'
	@echo '  $(BIN)/tensorboard --logdir $(DEMO)/evaluation/tensorboard'

label: $(VENV)/.label-ready ## Add MONAI Label, for labelling in the browser (docs/label.md)

$(VENV)/.label-ready: $(READY) fetal_monai/apps/label/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r fetal_monai/apps/label/requirements.txt
	@touch $@
	@echo 'ready: $(BIN)/fetal-monai label --studies FOLDER_OR_DICOMWEB_URL --model MODEL_FOLDER'

deploy: $(DEPLOY)/.ready ## Make .venv-deploy, a layer on .venv with the MONAI Deploy App SDK (docs/deploy.md)

# MONAI Deploy lies inside MONAI's folder and changes what `import monai` needs: hence a MONAI of its own, above the rest.
$(DEPLOY)/.ready: $(READY) $(DEPLOY_PINS)
	test -x $(DEPLOY)/bin/python || $(BIN)/python -m venv $(DEPLOY)
	site='import site; print(site.getsitepackages()[0])'; below=$$($(BIN)/python -c "$$site") && \
	  echo "import site; site.addsitedir('$$below')" > "$$($(DEPLOY)/bin/python -c "$$site")/below.pth"
	$(DEPLOY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-installed \
	  --requirement $(DEPLOY_PINS)
	@touch $@

test: lint fast ## Lint, types and the fast tests (under eight minutes on two cores)

lint: install ## Style, the plan of the house (pyproject.toml) and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

# One thread a process: two processes on two cores are faster than two threads in each. A test that hangs ends its process
# and fails; the rest goes on. Counting lines takes half as long again, so only `make thorough COVERAGE=90` does: it fails below
# 90 % of all tests together. The workplaces count where they are installed; elsewhere their tests are skipped.
ABSENT = $(if $(wildcard $(VENV)/.label-ready),,fetal_monai/apps/label/*,)$(if $(wildcard $(DEPLOY)/.ready),,fetal_monai/apps/deploy/*,)
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --timeout-method=thread
COUNT  = $(if $(COVERAGE),--cov --cov-append --cov-report=)

fast: install
	rm -f .coverage .coverage.*
	$(PYTEST) $(COUNT)

thorough: fast ## After the fast tests: trainings, servers, browsers, engines, this site (about 20 minutes in all)
	$(PYTEST) $(COUNT) -m 'thorough and not slow'
	$(if $(COVERAGE),$(BIN)/python -m coverage report --skip-covered --fail-under=$(COVERAGE) --omit='$(ABSENT)tests/*')

slow: install ## The tests that take minutes: the default network, exports of the whole family, the wheel in an empty environment
	$(BIN)/python -m pytest -m slow

docs: install ## Build the documentation as a site into build/site, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo 'Look at build/site/index.html'

# Tools of their own, so that nobody needs them who publishes nothing. The wheel is built from the source distribution.
wheel: ## Build wheel and source distribution into dist/, and check that PyPI would take them
	test -x build/tools/bin/twine || $(PYTHON) -m venv build/tools
	build/tools/bin/python -m pip install --quiet --disable-pip-version-check build==1.6.1 twine==7.0.0
	rm -rf dist && build/tools/bin/pyproject-build --outdir dist .
	build/tools/bin/twine check --strict dist/*

lock: ## Write constraints.txt from a fresh environment with all extras
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet torch==2.13.0
	build/lock/bin/python -m pip install --quiet --editable '.[$(EXTRAS),lite1,lite2,video,jpegxl,notebook,federated,ray]'
	(sed -n '/^#/p' constraints.txt; build/lock/bin/python -m pip freeze --exclude-editable \
	  | sed -E 's/^torch==.*/torch==2.13.0/' | sort --ignore-case) > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## Remove everything that was made here
	rm -rf $(VENV) $(DEPLOY) $(DEMO) build dist
