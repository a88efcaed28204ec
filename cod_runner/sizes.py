"""What a run leaves on the disk, estimated before it happens: signals, students, what the store keeps of the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cod_runner.api import Kept, ShapeEstimate
from cod_runner.disk import free_bytes, told_size, warning_of_a_full_disk
from cod_runner.errors import standing_at
from cod_runner.recipe.answering import STAND_IN
from cod_runner.recipe.arms import Arm
from cod_runner.recipe.grammar import Recipe, WeightedLoss
from cod_runner.registry import Registry
from cod_runner.runs.cells import Cell
from cod_runner.runs.folder import RunFolder
from cod_runner.runs.folds import folds_of
from cod_runner.runs.identity import possible_teacher_keys
from cod_runner.store import CHECKPOINT, Store

BYTES_A_NUMBER = 4
"""Hidden states, logits and token ids are stored as float32 and int32."""
BYTES_A_TEXT, BYTES_A_LAYER = 1_024, 128
"""What a text's row and file, and each layer in that file, take besides; enough for up to 200 classes."""


@dataclass(frozen=True)
class SignalSize:
    """The teacher's word on the training texts, at most: every text as long as the teacher reads, none shared between
    arms and seeds, nothing of it in the store already."""

    texts: int
    """Originals of every arm and seed, and what is made of them."""
    layers: int | None
    """Layers whose hidden states some loss wants; None where some are wanted and the teacher's depth is unknown."""
    tokens: int | None
    """Of the longest text that the teacher reads."""
    width: int | None
    bytes: int | None
    """None where the teacher's sizes are unknown."""

    def __str__(self) -> str:
        of = f"for at most {self.texts:,} training texts"
        if self.bytes is None:
            return f"{'logits alone' if self.layers == 0 else 'size unknown until the teacher is loaded'}, {of}"
        what = "logits alone"
        if self.layers:
            layers = f"{self.layers} layer{'' if self.layers == 1 else 's'}"
            what = f"{layers} x {self.tokens} tokens x {self.width} x {BYTES_A_NUMBER} bytes per text"
        return f"at most {told_size(self.bytes)} in the store, {of} ({what})"


CHECKPOINTS_AT_ONCE, STATES_A_WEIGHT = 2, 3
"""While a checkpoint is replaced there are two; each has a weight and two moments of the optimiser for it."""


@dataclass(frozen=True)
class StudentsSize:
    """The students of a run, in its folder."""

    folder: str
    kept: int
    """How many lie there at most, at any time of the run."""
    stay: int
    """How many of these lie there in the end."""
    there: int
    """How many lie there now."""
    each: int | None
    """Bytes, about; None where the student's size is unknown."""

    @property
    def bytes(self) -> int | None:
        """Of all of them, about."""
        return None if self.each is None else self.kept * self.each

    def __str__(self) -> str:
        if self.bytes is None or self.each is None:
            return f"{self.kept:,} in {self.folder}, size unknown until one is trained"
        there = f" ({self.there:,} there already)" if self.there else ""
        of = f" of about {told_size(self.each)} each" if self.kept > 1 else ""
        if self.stay < self.kept:
            then = f", then {told_size(self.stay * self.each)}{there}"
            stays = f"at most {self.kept:,} at a time{of}, {self.stay:,} of which stays"
            return f"{stays}: about {told_size(self.bytes)} in {self.folder}{then}"
        return f"{self.kept:,}{of}, about {told_size(self.bytes)} in {self.folder}{there}"

    def warnings(self) -> Iterator[str]:
        """That they will not fit on the disk of the run's folder."""
        if self.each is not None:
            warning = warning_of_a_full_disk(self.kept - self.there, self.each, Path(self.folder).parent)
            if warning is not None:
                yield warning


@dataclass(frozen=True)
class StoredSize:
    """Something that the store keeps, so that it is made once for all runs."""

    what: str
    there: bool
    bytes: int | None
    """About; None where it is unknown."""
    besides: int | None = None
    """What lies beside it while it is made, at most."""
    begun: bool = False
    """Whether a checkpoint of its making is there."""

    def warnings(self, root: Path) -> Iterator[str]:
        """That it will not fit on the disk of the store."""
        needed, free = (self.bytes or 0) + (self.besides or 0), free_bytes(root)
        if not self.there and free is not None and needed > free:
            yield (
                f"{self.what} takes about {told_size(needed)} in the store {root} while it is made, whose disk has "
                f"{told_size(free)} free; set CODRUN_HOME to a folder on another one"
            )

    def __str__(self) -> str:
        if self.there:
            return f"{self.what} is there"
        if self.bytes is None:
            return f"{self.what}, size unknown until it is made"
        beside = f", and at most {told_size(self.besides)} of checkpoints while it is made" if self.besides else ""
        begun = " (begun: a checkpoint is there)" if self.begun else ""
        return f"{self.what}, about {told_size(self.bytes)}{beside}{begun}"


def students_size(
    recipe: Recipe, registry: Registry, folder: RunFolder, cells: Sequence[Cell], *, kept: int
) -> StudentsSize:
    """Of a run into ``folder`` that keeps at most ``kept`` of its students at a time; it reads no weights, only what
    they say of their shapes."""
    _, student = shapes(recipe, registry)
    there = sum((folder.students / cell.name).is_dir() for cell in cells)
    each = None if student is None else student.bytes
    stay = min(kept, 1) if recipe.students == "best" else kept
    return StudentsSize(str(folder.students), kept, stay, min(there, kept), each)


def stored_sizes(recipe: Recipe, registry: Registry, store: Store) -> list[StoredSize]:
    """The fine-tuned teacher, and what components say that they keep in another form."""
    found = []
    teacher, _ = shapes(recipe, registry)
    if recipe.teacher.finetune is not None:
        size = None if teacher is None else teacher.bytes
        besides = None if size is None else CHECKPOINTS_AT_ONCE * STATES_A_WEIGHT * size
        folds: list[int | None] = [*folds_of(recipe)] or [None]
        for fold in folds:
            with standing_at("teacher"):
                keys = possible_teacher_keys(recipe, registry, fold)
            there = any((store.root / "teachers" / key).is_dir() for key in keys)
            begun = any((store.root / "teachers" / f"{key}{CHECKPOINT}").is_file() for key in keys)
            what = "the fine-tuned teacher" if fold is None else f"the fine-tuned teacher of fold {fold}"
            found.append(StoredSize(what, there, size, besides, begun))
    with registry.asked("teacher", recipe.teacher.use, recipe.teacher.options) as options:
        kept = options.keeps()
    return [*found, *(_stored(store, each) for each in kept)]


def _stored(store: Store, kept: Kept) -> StoredSize:
    there = kept.place is not None and (store.root / kept.place).is_dir()
    return StoredSize(kept.what, there, kept.bytes)


def shapes(recipe: Recipe, registry: Registry) -> tuple[ShapeEstimate | None, ShapeEstimate | None]:
    """(teacher, student), each None where nothing is known of it."""
    with standing_at("teacher"):
        teacher = registry.options("teacher", recipe.teacher.use, recipe.teacher.options).shape(None)
    with standing_at("student"):
        return teacher, registry.options("student", recipe.student.use, recipe.student.options).shape(teacher)


def training_texts(recipe: Recipe) -> int:
    """Originals of every arm and seed, and what is made of them, at most."""
    beside = sum(_unlabelled(arm, max(recipe.k)) for arm in recipe.arms.values())
    return len(recipe.seeds) * (max(recipe.k) * len(recipe.arms) + beside)


def signal_size(recipe: Recipe, registry: Registry) -> SignalSize:
    """Reckon with the largest k of every arm and seed.

    Raises :class:`SettingError` where a loss names layers that a model is known not to have.
    """
    texts = training_texts(recipe)
    teacher, _ = shapes(recipe, registry)
    wanted: set[int] = set()
    for method in recipe.methods:
        wanted |= read_layers(recipe, method, registry)
    if teacher is None:
        return SignalSize(texts, None if wanted else 0, None, None, None)
    tokens, width = teacher.longest, teacher.shape.width
    per_text = BYTES_A_TEXT + BYTES_A_NUMBER * tokens
    per_text += len(wanted) * (BYTES_A_LAYER + BYTES_A_NUMBER * tokens * width)
    return SignalSize(texts, len(wanted), tokens, width, texts * per_text)


def read_layers(recipe: Recipe, method: str, registry: Registry) -> set[int]:
    """The teacher's layers that a method's losses want.

    Raises :class:`SettingError` where a loss names layers that a model is known not to have.
    """
    teacher, student = shapes(recipe, registry)
    wanted: set[int] = set()
    for index, term in enumerate(recipe.methods[method]):
        with standing_at("methods", method, index):
            wanted |= _layers(term, registry, teacher, student)
    return wanted


def _layers(
    term: WeightedLoss, registry: Registry, teacher: ShapeEstimate | None, student: ShapeEstimate | None
) -> set[int]:
    """The teacher's layers that a loss wants; all, where it wants some and which is unknown."""
    shapes = [model.shape if model else STAND_IN for model in (teacher, student)]
    needs = registry.options("loss", term.use, term.options).needs(*shapes)
    if not needs.teacher or (teacher and student):
        return set(needs.teacher)
    return set(range(shapes[0].layers + 1))


def _unlabelled(arm: Arm, k: int) -> int:
    """Texts beside k, at most."""
    if arm.unlabelled is None:
        return 0
    return arm.unlabelled.rows or (arm.unlabelled.per_original or 0) * (k // arm.group)
