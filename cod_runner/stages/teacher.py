"""The teacher: built from its checkpoint, fine-tuned once, kept in the store and found again."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cod_runner.api import BuildContext, Classifier, Example
from cod_runner.engine.device import resolve_precision, threads
from cod_runner.engine.finetune import finetune_teacher
from cod_runner.engine.seeds import derived_seed
from cod_runner.errors import SettingError
from cod_runner.files import folder_written_whole, lock, write_whole
from cod_runner.machine import cores
from cod_runner.progress import Progress
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.cells import teacher_identity
from cod_runner.store import Store, content_key


@dataclass(frozen=True)
class TeacherSource:
    """All a process needs to have the teacher again: how it is built, and where its weights lie, if fine-tuned."""

    recipe: Recipe
    labels: tuple[str, ...]
    device: str
    offline: bool
    weights: Path | None = None

    def load(self, registry: Registry, progress: Progress | None = None) -> Classifier:
        """Build the teacher, with its fine-tuned weights where there are some."""
        say = progress.warn if progress else (lambda sentence: None)
        finetune = self.recipe.teacher.finetune
        context = BuildContext(
            labels=self.labels,
            describe=self.recipe.describe,
            device=self.device,
            seed=finetune.seed if finetune else 0,
            offline=self.offline,
            say=say,
        )
        teacher: Classifier = registry.build("teacher", self.recipe.teacher.use, self.recipe.teacher.options, context)
        if self.weights is not None:
            teacher.load(self.weights)
        teacher.to(self.device)
        teacher.eval()
        return teacher


def refuse_untrained(teacher: Classifier, recipe: Recipe) -> None:
    """A checkpoint without a head would be a random teacher."""
    if recipe.teacher.finetune is None and teacher.untrained_head:
        raise SettingError(
            "the teacher's checkpoint has no trained classification head for these labels, so its answers would be "
            "random; add `finetune: {rows: ..., epochs: ...}` to `teacher`, or name a fine-tuned checkpoint"
        )


def finetuned(
    source: TeacherSource,
    untrained: Classifier,
    pool: Sequence[Example],
    registry: Registry,
    store: Store,
    progress: Progress,
) -> tuple[TeacherSource, Classifier]:
    """Fine-tune the teacher on gold labels, or take it from the store if that was done before.

    Two runs that want one teacher wait for each other; a killed one leaves nothing half-written.
    """
    settings = source.recipe.teacher.finetune
    if settings is None:
        return source, untrained
    settings = settings.model_copy(update={"precision": resolve_precision(settings.precision, source.device)})
    identity = teacher_identity(source.recipe, registry)
    key = content_key({**identity, "finetune": settings.model_dump(mode="json"), "device": source.device})
    weights = store.teachers / key
    with lock(store.teachers / f".{key}.lock"):
        if not (weights / "teacher.json").exists():
            rows = _rows(pool, settings.rows, settings.seed, progress)
            progress.say(f"fine-tuning the teacher on {len(rows)} rows (once; it is kept in the store)")
            with progress.bar("fine-tuning the teacher") as step, threads(cores()):
                record = finetune_teacher(untrained, rows, settings, device=source.device, progress=step)
            if weights.exists():
                shutil.rmtree(weights)
            with folder_written_whole(weights) as folder:
                untrained.save(folder)
                write_whole(folder / "teacher.json", json.dumps({"key": key, "training": record}, indent=2))
        else:
            progress.say("the fine-tuned teacher is in the store")
    kept = replace(source, weights=weights)
    # The teacher that goes on is always the one read back, so that a first run and a later one use the same.
    untrained.load(weights)
    untrained.to(source.device)
    untrained.eval()
    return kept, untrained


def _rows(pool: Sequence[Example], wanted: int, seed: int, progress: Progress) -> list[Example]:
    if wanted >= len(pool):
        if wanted > len(pool):
            progress.warn(f"the teacher's `rows: {wanted}` is more than the pool has; all {len(pool)} rows are used")
        return list(pool)
    return random.Random(derived_seed(seed, "teacher rows")).sample(list(pool), wanted)
