"""Every fault of a recipe, as `file:line:column: sentence`: one line of a valid recipe changed, the exact answer."""

# ruff: noqa: E501 - tables of whole messages
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.errors import RecipeError
from cod_runner.recipe import LoadedRecipe, load_recipe
from cod_runner.registry import Registry

Load = Callable[..., LoadedRecipe]
FaultLines = Callable[..., list[str]]

FOLDER = "cannot name a folder; use letters, digits, `.`, `_`, `-` and `+`, no `..`, 100 at most"
DIVIDES = Path(__file__).with_name("conftest.py").read_text().splitlines().index("        return 1 // value") + 1
BALANCE = "classes and pairs of an original and its counterfactual: it must be a multiple of"

CHANGED = [
    # top level
    ("recipe: 1", "recipe: 2", "1:9: `recipe` must be `1`, not `2`"),
    ("recipe: 1\n", "", "1:1: `recipe` is missing"),
    ("recipe: 1", "recpe: 1", "1:1: unknown key `recpe`; did you mean `recipe`?"),
    ("name: small", "name: ../x", f"2:7: `name`: {FOLDER}"),
    ("name: small", "name: 3", "2:7: `name` must be text, not `3`"),
    ("name: small", "name: [a]", "2:7: `name` must be text, not a list"),
    # k
    ("k: [8, 16]", "k: [0, 16]", "4:5: `k.0` must be at least 2, not `0`"),
    ("k: [8, 16]", "k: [6]", f"4:5: k=6 cannot be balanced over 2 {BALANCE} 4; 4 or 8 would do"),
    ("k: [8, 16]", "k: [8, 2]", f"4:8: k=2 cannot be balanced over 2 {BALANCE} 4; 4 would do"),
    ("k: [8, 16]", "k: []", "4:4: `k` is empty"),
    ("k: [8, 16]", "k:", "4:1: `k` is empty"),
    ("k: [8, 16]", "k: 8", "4:4: `k` must be a list, not `8`"),
    ("k: [8, 16]", 'k: [8, "16"]', "4:8: `k.1` must be a whole number, not `16`; remove the quotes"),
    ("k: [8, 16]", "k: [8, true]", "4:8: `k.1` must be a whole number, not true"),
    ("k: [8, 16]", "k: [8, 8.5]", "4:8: `k.1` must be a whole number, not `8.5`"),
    ("k: [8, 16]", "k: [8, 8]", "4:4: `k`: lists `8` twice"),
    ("k: [8, 16]", "k: [8, 1_6]", "4:8: `k.1` must be a whole number, not `1_6`"),
    ("k: [8, 16]", "k: [8, null]", "4:8: `k.1` must be a whole number, not null"),
    ("seeds: [0, 1]", "seeds: [-1]", "5:9: `seeds.0` must be at least 0, not `-1`"),
    # components and their plugins' options
    ("use: csv", "use: cvs", "3:16: no dataset is named `cvs`; did you mean `csv`?"),
    ("use: csv, ", "", "3:10: `dataset.use` is missing"),
    ("path: data.csv", "paht: data.csv", "3:21: unknown key `dataset.paht`; did you mean `path`?"),
    ("path: data.csv, ", "", "3:10: `dataset.path` is missing"),
    ("path: data.csv", "path: 12", "3:27: `dataset.path` must be text, not `12`"),
    ("path: data.csv", "path: data.csv, rows: 0", "3:43: `dataset.rows` must be at least 1, not `0`"),
    ("labels: [negative, positive]", "labels: [a, a]", "3:45: `dataset.labels`: lists the same label twice"),
    (
        "generators: [lexicon]",
        "generators: [lexicno]",
        "8:32: no generator is named `lexicno`; did you mean `lexicon`?",
    ),
    ("generators: [lexicon]", "generators: []", "8:31: `counterfactuals.generators` is empty"),
    (
        "generators: [lexicon]",
        "generators: lexicon",
        "8:31: `counterfactuals.generators` must be a list, not `lexicon`",
    ),
    ("{generators: [lexicon]}", "{}", "8:18: `counterfactuals.generators` is missing"),
    (
        "[lexicon]",
        "[{use: lexicon, candidates: [1, 0]}]",
        "8:63: `counterfactuals.generators.0.candidates.1` must be at least 1, not `0`",
    ),
    ("model: big", "mdoel: big", "6:30: unknown key `teacher.mdoel`; did you mean `model`?"),
    (
        "model: big",
        "model: big, layers_from_teacher: [1]",
        "6:10: `teacher`: give either `model` or `layers_from_teacher`",
    ),
    (
        "model: big",
        "model: big, finetune: {rows: 10, epoch: 3}",
        "6:63: unknown key `teacher.finetune.epoch`; did you mean `epochs`?",
    ),
    (
        "model: big",
        "model: big, finetune: {rows: 0}",
        "6:59: `teacher.finetune.rows` must be at least 2, not `0`",
    ),
    ("model: big", "model: big, finetun: {}", "6:42: unknown key `teacher.finetun`; did you mean `finetune`?"),
    (
        "{use: transformers, model: small}",
        "3",
        "7:10: `student` must be a student, by name or as a mapping with `use`, not `3`",
    ),
    ("{use: transformers, model: small}", "''", "7:10: `student` is empty"),
    ("{use: transformers, model: small}", "", "7:1: `student` is empty"),
    # methods
    ("weight: 20", "weight: -1", "10:32: `methods.kd.1.weight` must be at least 0, not `-1`"),
    ("weight: 20", "wieght: 20", "10:24: unknown key `methods.kd.1.wieght`; did you mean `weight`?"),
    ("weight: 20", "weight: .inf", "10:32: `.inf` is not a finite number"),
    ("temperature: 2", "temperature: hot", "10:49: `methods.kd.1.temperature` must be a number, not `hot`"),
    ("temperature: 2", "temperature: 0", "10:49: `methods.kd.1.temperature` must be greater than 0, not `0`"),
    ("lwd: [hard, lwd]", "lwd: []", "11:8: `methods.lwd` is empty"),
    ("lwd: [hard, lwd]", "lwd:", "11:7: `methods.lwd` must be a list, not null"),
    ("lwd: [hard, lwd]", "../x: [hard]", f"11:3: the key `../x` {FOLDER}"),
    (
        "lwd: [hard, lwd]",
        "lwd: [hard, ldw]",
        "11:15: no loss is named `ldw`; did you mean `lwd`?",
    ),
    (
        "lwd: [hard, lwd]",
        "lwd: [{use: lwd, layers: lats}]",
        "11:28: `methods.lwd.0.layers` must be `uniform` or `last`, a whole number or a list, not `lats`",
    ),
    (
        "lwd: [hard, lwd]",
        "lwd: [{use: lwd, layers: [{teacher: 1, studnet: 2}]}]",
        "11:42: unknown key `methods.lwd.0.layers.0.studnet`; did you mean `student`?",
    ),
    (
        "lwd: [hard, lwd]",
        "lwd: [{use: lwd, layers: [{teacher: 1}]}]",
        "11:29: `methods.lwd.0.layers.0.student` is missing",
    ),
    (
        "lwd: [hard, lwd]",
        "lwd: [{use: lwd, pool: maen}]",
        "11:26: `methods.lwd.0.pool` must be `mean` or `cls`, not `maen`; did you mean `mean`?",
    ),
    (
        "lwd: [hard, lwd]",
        "lwd: [{use: brittle, value: 0}]",
        "11:9: the loss `brittle` (small) raised ZeroDivisionError: integer division or modulo by zero, at "
        f"{Path(__file__).with_name('conftest.py')}:{DIVIDES} in _divide, while it checked the options",
    ),
    # what cannot work together
    (
        "counterfactuals: {generators: [lexicon]}\n",
        "",
        "1:1: the arm `cod` needs `counterfactuals`; add them, or set `arms: [plain]`",
    ),
    ("counterfactuals:", "counterfactual:", "8:1: unknown key `counterfactual`; did you mean `counterfactuals`?"),
    (
        "[lexicon]}",
        "[lexicon], target: fixed}",
        "8:50: `target: fixed` needs `targets`, a mapping of each label to the one to flip to",
    ),
    (
        "[lexicon]}",
        "[lexicon], targets: {negative: positive}}",
        "8:42: `targets` has an effect only with `target: fixed`",
    ),
    (
        "[lexicon]}",
        "[lexicon], target: fixed, targets: {negative: postive, positive: negative}}",
        "8:77: `postive` is not a label; did you mean `positive`?",
    ),
    (
        "[lexicon]}",
        "[lexicon], target: fixed, targets: {negative: positive}}",
        "8:66: `targets` has no entry for `positive`",
    ),
    (
        "[lexicon]}",
        "[lexicon], target: fixed, targets: {negative: negative, positive: negative}}",
        "8:77: `negative` cannot be flipped to itself",
    ),
    (
        "[lexicon]}",
        "[lexicon], verify: false, on_failure: keep_unverified}",
        "8:69: `on_failure: keep_unverified` has no effect with `verify: false`, which accepts every answer",
    ),
    (
        "[lexicon]}",
        "[lexicon], length_ratio: [2, 1]}",
        "8:56: `counterfactuals.length_ratio`: must be two shares, the smaller one first, neither below 0",
    ),
    ("[lexicon]}", "[lexicon], budget: {usd: -1}}", "8:56: `counterfactuals.budget.usd` must be at least 0, not `-1`"),
]

ADDED = [
    ("arms: [plain, control]", "12:15: the arm `control` needs `control`, the generator of its copies"),
    ("trian: {epochs: 1}", "12:1: unknown key `trian`; did you mean `train`?"),
    ("trian:", "12:1: unknown key `trian`; did you mean `train`?"),
    ("train: 3", "12:8: `train` must be a mapping, not `3`"),
    ("train: {epochs: 1, steps: 2}", "12:8: `train`: give `steps` or `epochs`, not both"),
    ("train: {epochs: true}", "12:17: `train.epochs` must be a whole number, not true"),
    ("train: {compact_vocabulary: no}", "12:29: `train.compact_vocabulary` must be true or false, not `no`"),
    ("train: {lr: 0}", "12:13: `train.lr` must be greater than 0, not `0`"),
    ("train: {lr: .nan}", "12:13: `.nan` is not a finite number"),
    ("train: {warmup: 2}", "12:17: `train.warmup` must be less than 1, not `2`"),
    ("train: {betas: [0.9]}", "12:16: `train.betas` has 1 entries, too few"),
    ("train: {betas: [0.9, 0.9, 0.9]}", "12:16: `train.betas` has more than 2 entries"),
    ("train: {batch_size: 7}", "12:21: `train.batch_size` must be even, not 7: a batch of the arm `cod` holds whole pairs"),
    (
        "train: {schedule: linaer}",
        "12:19: `train.schedule` must be `linear`, `cosine` or `constant`, not `linaer`; did you mean `linear`?",
    ),
    ("evaluate: {metrics: [acuracy]}", "12:22: no metric is named `acuracy`; did you mean `accuracy`?"),
    ("evaluate: {metrics: []}", "12:21: `evaluate.metrics` is empty"),
    ("evaluate: {metrics: [kl, {use: kl}]}", "12:26: the metric `kl` is listed twice"),
    ("evaluate: {metric: [kl]}", "12:12: unknown key `evaluate.metric`; did you mean `metrics`?"),
    ("executor: procesess", "12:11: no executor is named `procesess`; did you mean `processes`?"),
    ("trackers: [{use: lg}]", "12:18: no tracker is named `lg`; did you mean `log`?"),
    ("arms: [plain, codd]", "12:15: no arm is named `codd`; did you mean `cod`?"),
    ("arms: [plain, near_miss]", "12:15: no arm is named `near_miss`; there are: cod, control, plain"),
    ("arms: [plain, plain]", "12:7: `arms`: lists `plain` twice"),
    ("arms: 3", "12:7: `arms` must be a mapping, not `3`"),
    ("arms: {x: 3}", "12:11: `arms.x` must be a mapping, not `3`"),
    ("arms: {a/b: {}}", f"12:8: the key `a/b` {FOLDER}"),
    ("arms: {teacher: {}}", "12:7: `arms`: has an arm `teacher`, which is the name of a table's first row; choose another"),
    ("arms: {x: {adds: flips}}", "12:12: unknown key `arms.x.adds`; did you mean `add`?"),
    ("arms: {x: {keep: same}}", "12:11: `arms.x`: `keep` is about what is added, and there is no `add`"),
    ("arms: {x: {per_original: 2}}", "12:11: `arms.x`: `per_original` is about what is added, and there is no `add`"),
    ("arms: {x: {of: others}}", "12:11: `arms.x`: `of` is about what is added, and there is no `add`"),
    ("arms: {x: {choose: middle}}", "12:11: `arms.x`: `choose` is about what is added, and there is no `add`"),
    ("arms: {x: {add: misses, keep: same}}", "12:11: `arms.x`: `keep` is about generators in `add`, and there is none"),
    (
        "arms: {x: {add: word_dropout, keep: flp}}",
        "12:37: `arms.x.keep` must be `flip`, `same` or `any`, not `flp`; did you mean `flip`?",
    ),
    ("arms: {x: {add: flips, choose: middel}}", "12:32: no chooser is named `middel`; did you mean `middle`?"),
    ("arms: {x: {select: typcal}}", "12:20: no selector is named `typcal`; did you mean `typical`?"),
    ("arms: {x: {add: flipz}}", "12:17: no generator is named `flipz`; did you mean `flips`?"),
    ("arms: {x: {add: word_dropot}}", "12:17: no generator is named `word_dropot`; did you mean `word_dropout`?"),
    (
        "arms: {x: {add: [{use: word_dropout, shear: 1}]}}",
        "12:38: unknown key `arms.x.add.0.shear`; did you mean `share`?",
    ),
    ("arms: {x: {add: {share: 0.3}}}", "12:17: `arms.x.add.use` is missing"),
    ("arms: {x: {add: [{share: 0.3}]}}", "12:18: `arms.x.add.0.use` is missing"),
    ("arms: {x: {add: ''}}", "12:17: `arms.x.add` is empty"),
    ("arms: {x: {add: [3]}}", "12:18: `arms.x.add.0` must be `flips`, `misses` or `control` or a generator, by name or as a mapping with `use`, not `3`"),
    (
        "arms: {x: {add: [{use: word_dropout, share: 0.3}, misses, {share: 0.3, use: word_dropout}]}}",
        "12:11: `arms.x`: `add` lists `word_dropout` twice; `per_original: 2` adds two of each entry",
    ),
    ("arms: {x: {add: [flips, flips]}}", "12:11: `arms.x`: `add` lists `flips` twice; `per_original: 2` adds two of each entry"),
    ("arms: {x: {add: 3}}", "12:17: `arms.x.add` must be a list, not `3`"),
    ("arms: {x: {add: {use: word_dropout, share: 3}}}", "12:44: `arms.x.add.share` must be less than 1, not `3`"),
    (
        "arms: {x: {unlabelled: {from: word_dropot, per_original: 3}}}",
        "12:31: no generator is named `word_dropot`; did you mean `word_dropout`?",
    ),
    ("arms: {x: {unlabelled: {rows: 3}}}", "12:24: `arms.x.unlabelled.from` is missing"),
    (
        "arms: {x: {unlabelled: {from: pool}}}",
        "12:24: `arms.x.unlabelled`: `from: pool` takes `rows`, the number of texts",
    ),
    (
        "arms: {x: {add: flips, unlabelled: {from: attempts, rows: 3}}}",
        "12:36: `arms.x.unlabelled`: takes `per_original`, the number of texts of each original",
    ),
    (
        "arms: {x: {unlabelled: {from: attempts, per_original: 3}}}",
        "12:11: `arms.x`: `from: attempts` needs a search, and there is no `add`",
    ),
    ("same_originals: 1", "12:17: `same_originals` must be true or false, not `1`"),
    ("arms: []", "12:7: `arms` is empty"),
    ("expect: 3", "12:9: `expect` must be a list, not `3`"),
    ("expect: [3]", "12:10: `expect.0` must be a mapping, not `3`"),
    (
        "expect: [{metric: accuracy, method: kdd, arm: cod, k: 8, at_least: 1}]",
        "12:37: the recipe has no method `kdd`; did you mean `kd`?",
    ),
    (
        "expect: [{metric: acuracy, method: kd, arm: cod, k: 8, at_least: 1}]",
        "12:19: the recipe has no metric `acuracy`; did you mean `accuracy`?",
    ),
    (
        "expect: [{metric: accuracy, method: kd, arm: cod, k: 9, at_least: 1}]",
        "12:54: the recipe has no k of 9; there are: 8, 16",
    ),
    (
        "expect: [{metric: accuracy, method: kd, arm: cdo, k: 8, at_least: 1}]",
        "12:46: the recipe has no arm `cdo`; did you mean `cod`?",
    ),
    (
        "expect: [{metric: accuracy, method: kd, k: 8, at_least: 1}]",
        "12:10: `expect.0`: `metric` goes with `arm` alone; `gain` and `ratio` compare with the cells that `over` names",
    ),
    (
        "expect: [{metric: accuracy, method: kd, arm: cod, over: plain, k: 8, at_least: 1}]",
        "12:10: `expect.0`: `metric` goes with `arm` alone; `gain` and `ratio` compare with the cells that `over` names",
    ),
    (
        "expect: [{gain: kl, method: kd, over: cod, k: 8, at_least: 1}]",
        "12:10: `expect.0`: `gain` compares the arm `cod` with itself",
    ),
    (
        "expect: [{gain: kl, method: kd, over: planc, k: 8, at_least: 1}]",
        "12:39: the recipe has no arm `planc`; did you mean `plain`?",
    ),
    (
        "arms: {plain: {}, x: {add: flips}}\nexpect: [{gain: kl, method: kd, k: 8, at_most: 0}]",
        "13:17: `gain` compares the arms `cod` and `plain` unless `arm` and `over` name others, so the recipe needs both arms",
    ),
    (
        "expect: [{gain: kl, method: kd, k: 8}]",
        "12:10: `expect.0`: give `at_least`, `at_most` or both, or else `within` and `of`",
    ),
    (
        "expect: [{method: kd, arm: cod, k: 8, at_least: 1}]",
        "12:10: `expect.0`: give one of `metric` (with `arm`), `gain`, `ratio` and `cfes`",
    ),
    (
        "expect: [{metric: kl, gain: kl, method: kd, k: 8, at_least: 1}]",
        "12:10: `expect.0`: give one of `metric` (with `arm`), `gain`, `ratio` and `cfes`",
    ),
    (
        "expect: [{ratio: train_seconds, k: 8, at_most: 1}]",
        "12:10: `expect.0`: `method` is missing; `ratio` is about cells, of a `method` and a `k`",
    ),
    (
        "expect: [{metric: kl, method: kd, arm: cod, at_most: 1}]",
        "12:10: `expect.0`: `k` is missing; `metric` is about cells, of a `method` and a `k`",
    ),
    (
        "expect: [{ratio: train_secs, method: kd, k: 8, at_most: 1}]",
        "12:18: the recipe has no metric `train_secs`; did you mean `train_seconds`?",
    ),
    (
        "expect: [{metric: yield, method: kd, arm: cod, k: 8, at_least: 1}]",
        "12:19: `yield` is a measure of the counterfactuals; write `cfes: yield`, without cells",
    ),
    (
        "expect: [{metric: key, method: kd, arm: cod, k: 8, at_least: 1}]",
        "12:19: the recipe has no metric `key`; there are: accuracy, agreement, ece, f1, kl",
    ),
    (
        "expect: [{gain: kl, method: kd, arm: cod, over: {method: kd}, k: 8, at_most: 1}]",
        "12:10: `expect.0`: `gain` compares the cells with themselves",
    ),
    (
        "expect: [{ratio: seconds, method: kd, over: {method: lwdd}, k: 8, at_most: 1}]",
        "12:54: the recipe has no method `lwdd`; did you mean `lwd`?",
    ),
    (
        "expect: [{ratio: seconds, method: kd, over: {arm: plian}, k: 8, at_most: 1}]",
        "12:51: the recipe has no arm `plian`; did you mean `plain`?",
    ),
    (
        "expect: [{ratio: seconds, method: kd, over: {k: 9}, k: 8, at_most: 1}]",
        "12:49: the recipe has no k of 9; there are: 8, 16",
    ),
    (
        "expect: [{ratio: seconds, method: kd, over: {kk: 16}, k: 8, at_most: 1}]",
        "12:46: unknown key `expect.0.over.kk`; did you mean `k`?",
    ),
    (
        "expect: [{ratio: seconds, method: kd, over: 3, k: 8, at_most: 1}]",
        "12:45: `expect.0.over` must be text or a mapping, not `3`",
    ),
    (
        "arms: [plain]\nexpect: [{ratio: seconds, method: kd, k: 8, at_most: 1}]",
        "13:18: `ratio` compares the arms `cod` and `plain` unless `arm` and `over` name others, so the recipe needs both arms",
    ),
    (
        "expect: [{cfes: minimalty, at_most: 1}]",
        "12:17: `expect.0.cfes` must be `yield`, `flip_rate`, `refused`, `edits`, `three_edits`, `minimality`, "
        "`probability_change`, `certainty`, `boundary_margin` or `diversity`, not `minimalty`; did you mean `minimality`?",
    ),
    (
        "expect: [{cfes: yield, k: 8, at_least: 1}]",
        "12:10: `expect.0`: `cfes` is about all counterfactuals of a run, not about cells; remove `k`",
    ),
    (
        "arms: [plain]\nexpect: [{cfes: yield, at_least: 1}]",
        "13:17: the recipe searches no counterfactuals: no arm adds `flips` or `misses`; add the arm `cod`, or remove the entry",
    ),
    (
        "expect: [{cfes: yield, within: 0.1}]",
        "12:10: `expect.0`: `within` and `of` go together: how near it must be to the number of another run's folder",
    ),
    (
        "expect: [{cfes: yield, of: base}]",
        "12:10: `expect.0`: `within` and `of` go together: how near it must be to the number of another run's folder",
    ),
    (
        "expect: [{cfes: yield, within: 0.1, of: base, at_least: 0.2}]",
        "12:10: `expect.0`: give `at_least`, `at_most` or both, or else `within` and `of`",
    ),
    (
        "expect: [{cfes: yield, within: -0.1, of: base}]",
        "12:32: `expect.0.within` must be at least 0, not `-0.1`",
    ),
    ("expect: [{cfes: yield, within: 0.1, of: ''}]", "12:41: `expect.0.of` is empty"),
    ("expect: [{cfes: yield, within: 0.1, of: [base]}]", "12:41: `expect.0.of` must be text, not a list"),
    (
        "expect: [{cfes: yield, within: 0.1, of: ~nobody-of-that-name/base}]",
        "12:41: `~nobody-of-that-name/base` cannot be a run's folder: Could not determine home directory.",
    ),
    (
        "expect: [{gain: kl, method: kd, k: 8, at_least: 1, at_most: 0}]",
        "12:10: `expect.0`: nothing is at least 1.0 and at most 0.0",
    ),
    (
        "arms: [plain]\nexpect: [{gain: kl, method: kd, k: 8, at_most: 0}]",
        "13:17: `gain` compares the arms `cod` and `plain` unless `arm` and `over` name others, so the recipe needs both arms",
    ),
    (
        "arms: [plain]\nexpect: [{metric: kl, method: kd, arm: cod, k: 8, at_most: 0}]",
        "13:40: the recipe has no arm `cod`; there are: plain",
    ),
    ("profiles: [ci]", "12:11: `profiles` must be a mapping of names to what each changes"),
    ("profiles: {ci: 3}", "12:16: the profile `ci` must be a mapping of what it changes"),
    ("profiles: {ci: {extends: x.yaml}}", "12:17: a profile cannot contain `extends`"),
    ("profiles: {ci: {trian: {steps: 5}}}", "12:17: unknown key `trian`; did you mean `train`?"),
    ("profiles: {ci: {k: [6]}}", f"12:21: k=6 cannot be balanced over 2 {BALANCE} 4; 4 or 8 would do"),
    ("k: [8]", "12:1: the key `k` is repeated; the first is on line 4"),
    ("describe: !!python/object/apply:os.system [ls]", "12:11: the tag `!!python/object/apply:os.system` is refused: a recipe is plain YAML and runs no code"),
    ("describe: !env HOME", "12:11: the tag `!env` is refused: a recipe is plain YAML and runs no code"),
    ("train: &t {steps: 1}\nevaluate: {<<: *t}", "13:12: the merge key `<<` is not part of YAML 1.2; write the keys out, or use `extends`"),
    ("extends: gone.yaml", "12:10: the parent `gone.yaml` does not exist"),
    ("extends: [a]", "12:10: `extends` must be the path of one recipe file"),
    ("extends: .", "12:10: the parent `.` is a folder"),
    ("extends: recipe.yaml", "12:10: `extends` goes in a circle: recipe.yaml -> recipe.yaml"),
]  # fmt: skip

BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)

UNREADABLE = [
    ("", "1:1: is empty; a recipe begins with `recipe: 1`"),
    ("# a comment\n", "1:1: is empty; a recipe begins with `recipe: 1`"),
    ("---\n", "1:1: is empty; a recipe begins with `recipe: 1`"),
    ("- a\n- b\n", "1:1: a recipe is a mapping (`key: value` lines), but this is a list"),
    ("words\n", "1:1: a recipe is a mapping (`key: value` lines), but this is a single value"),
    ("k: [1\nname: x\n", "2:5: is not YAML: did not find expected ',' or ']' while parsing a flow sequence"),
    ("a: b: c\n", "1:5: is not YAML: mapping values are not allowed in this context; text that contains `: ` needs quotes"),
    ("a: @x\n", "1:4: is not YAML: found character that cannot start any token while scanning for the next token"),
    (BOMB, "4:4: more than 50,000 values with the aliases expanded"),
    ("a: &a [*a]\n", "1:8: the alias `*a` is inside the value that it refers to"),
    ("a: *b\n", "1:4: the alias `*b` has no anchor `&b` before it"),
    ("[" * 100_000, "1:41: is nested more than 40 levels deep"),
    ("recipe: 1\nname: a\x07b\n", "2:8: the control character U+0007 is not allowed in YAML"),
    ("recipe: 1\n---\nrecipe: 1\n", "2:1: a second document begins here; a recipe is one"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "1:1: is a binary file, not YAML"),
    (b"PK\x03\x04", "1:3: the control character U+0003 is not allowed in YAML"),
    ("recipe: 1\nname: é\n".encode("latin-1"), "2:7: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    ("recipe: 1\n".encode("utf-16"), "1:1: is UTF-16 text; save it as UTF-8"),
    ("# " + "x" * 1_000_000, "1:1: is larger than 1,000,000 bytes, too large for a recipe"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), CHANGED)
def test_one_changed_line_gives_one_fault(old: str, new: str, fault: str, recipe: str, faults: FaultLines) -> None:
    assert old in recipe
    assert faults(recipe.replace(old, new, 1)) == [f"recipe.yaml:{fault}"]


@pytest.mark.parametrize(("line", "fault"), ADDED)
def test_one_added_line_gives_one_fault(line: str, fault: str, recipe: str, faults: FaultLines) -> None:
    assert faults(f"{recipe}{line}\n") == [f"recipe.yaml:{fault}"]


@pytest.mark.parametrize(("text", "fault"), UNREADABLE, ids=[line[:40] for _, line in UNREADABLE])
def test_what_is_not_a_recipe_at_all(text: str | bytes, fault: str, faults: FaultLines) -> None:
    assert faults(text) == [f"recipe.yaml:{fault}"]


def test_a_tab_is_named(faults: FaultLines) -> None:
    (line,) = faults("a:\n\tb: 2\n")
    assert line.startswith("recipe.yaml:2:1: is not YAML") and line.endswith("indent with spaces, not with a tab")


def test_all_faults_come_at_once_in_the_order_of_the_text(recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("k: [8, 16]", "k: [6]").replace("weight: 20", "weight: -1").replace("use: csv", "use: cvs")
    text += "trian: {}\nexpect: [{metric: kl, method: kdd, arm: cod, k: 6, at_least: 0}]\nseeds: [0]\n"
    assert [re.match(r"recipe.yaml:(\d+)", line).group(1) for line in faults(text)] == [  # type: ignore[union-attr]
        "3", "10", "12", "13", "14",
    ]  # fmt: skip


def test_an_empty_mapping_lists_what_is_missing(faults: FaultLines) -> None:
    lines = faults("recipe: 1\n")
    missing = ["dataset", "k", "methods", "name", "seeds", "student", "teacher"]
    assert lines[:-1] == [f"recipe.yaml:1:1: `{key}` is missing" for key in missing]


def test_missing_file_and_folder(registry: Registry, load: Load, tmp_path: Path) -> None:
    load()
    with pytest.raises(RecipeError, match=r"^gone\.yaml:1:1: there is no such file$"):
        load_recipe(Path("gone.yaml"), registry)
    with pytest.raises(RecipeError, match=r"recipe\.yaml/x\.yaml:1:1: there is no such file$"):
        load_recipe(Path("recipe.yaml/x.yaml"), registry)
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecipeError, match=r"^folder:1:1: is a folder, not a recipe file$"):
        load_recipe(Path("folder"), registry)


def test_long_values_are_not_echoed(recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("model: big", f"model: big, max_length: {'y' * 500}").replace("use: csv", f"use: {'z' * 900}")
    for line in faults(text):
        assert len(line) < 600 and "y" * 61 not in line


def test_a_fault_is_one_line_whatever_it_quotes(recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("use: csv", 'use: "a\\nb\\u2028c"').replace("name: small", 'name: "x\\r\\ny"')
    assert [line[:35] for line in faults(text)] == [
        "recipe.yaml:2:7: `name`: cannot nam", "recipe.yaml:3:16: no dataset is nam",
    ]  # fmt: skip


def test_a_long_list_of_one_value_is_one_fault(recipe: str, faults: FaultLines) -> None:
    """20,000 of them: what looked at each pair of items would not come back."""
    [fault] = faults(recipe.replace("k: [8, 16]", f"k: [{', '.join(['4'] * 20_000)}]"))
    assert "lists `4` twice" in fault


def test_k_follows_the_arms(recipe: str, load: Load) -> None:
    text = recipe.replace("k: [8, 16]", "k: [6]")
    assert load(text + "arms: [plain]\n").recipe.k == [6]
    three = text.replace("[negative, positive]", "[a, b, c]")
    assert load(three).recipe.k == [6]


def test_labels_that_a_preset_declares_are_known(recipe: str, faults: FaultLines) -> None:
    text = recipe.replace("{use: csv, path: data.csv, labels: [negative, positive]}", "preset")
    assert faults(text.replace("k: [8, 16]", "k: [10]")) == [
        f"recipe.yaml:4:5: k=10 cannot be balanced over 2 {BALANCE} 4; 8 or 12 would do"
    ]


def test_without_labels_k_must_be_even_for_pairs(recipe: str, load: Load, faults: FaultLines) -> None:
    text = recipe.replace(", labels: [negative, positive]", "")
    assert load(text.replace("k: [8, 16]", "k: [6]")).recipe.k == [6]
    assert faults(text.replace("k: [8, 16]", "k: [7]")) == [
        "recipe.yaml:4:5: k=7 cannot be balanced over pairs: it must be a multiple of 2; 6 or 8 would do"
    ]


@pytest.mark.parametrize("text", [BOMB, "[" * 300_000, "{a: " * 100_000], ids=["aliases", "lists", "mappings"])
def test_a_yaml_bomb_is_one_fault(text: str, faults: FaultLines) -> None:
    """What expanded the aliases, or fell into the brackets, would not come back."""
    assert len(faults(text)) == 1


def test_a_recipe_outside_the_working_folder_is_shown_in_full(
    registry: Registry, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("k: 1\n", "inside/recipe.yaml")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("../inside/recipe.yaml"), registry)
    assert {fault.file for fault in caught.value.faults} == {str(tmp_path / "inside/recipe.yaml")}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("k: [8, 16]", "k: []", "4:4: `k` is empty"),
        ("k: [8, 16]", "k: 16", "4:4: `k` must be a list, not `16`"),
        ("k: [8, 16]", "k: [0]", "4:5: `k.0` must be at least 2, not `0`"),
        ("seeds: [0, 1]", "seeds: [0, 1]\narms: [plane]", "6:8: no arm is named `plane`"),
        ("  kd: [hard, {use: kd, weight: 20, temperature: 2}]\n  lwd: [hard, lwd]\n", "", "9:1: `methods` is empty"),
    ],
)  # fmt: skip
def test_an_expectation_does_not_repeat_a_fault(
    old: str, new: str, fault: str, recipe: str, faults: FaultLines
) -> None:
    expect = "expect: [{metric: accuracy, method: kd, arm: cod, k: 16, at_least: 0.5}]\n"
    (line,) = faults(recipe.replace(old, new) + expect)
    assert line.startswith(f"recipe.yaml:{fault}")
