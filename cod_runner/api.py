"""The contracts between codrun's core and its plugins: the only module of the core that a plugin imports.

Importing this module costs milliseconds: torch appears in annotations alone. A plugin declares its
components from a light module; the classes behind them are imported when a cell needs them::

    from cod_runner.api import Component, hookimpl

    @hookimpl
    def codrun_components():
        yield Component(kind="loss", name="mine", options=MineOptions, build="my_plugin.loss:Mine", summary="...")

Vocabulary: an *example* is one labelled input; an *input* is a text, a tuple of numbers for vector models, or two
texts mixed; *signals* are what the teacher said about an example; layers ("blocks") are counted from 1, hidden state 0
is what enters block 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import pluggy
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from cod_runner.checkpoints import (
    checkpoint_folder,
    checkpoint_identity,
    checkpoint_name,
    checkpoint_sizes,
    file_digests,
    is_on_the_hub,
    packaged_folder,
)
from cod_runner.errors import CodrunError, DataError, ProviderError, SettingError
from cod_runner.figure_style import default_figure_style
from cod_runner.files import file_digest, folder_written_whole, lock
from cod_runner.fixed_batches import FixedBatch, fixed_batches, in_order, one_thread
from cod_runner.hidden_states import head_pooled, layer_mapping, masked_mean, pooled
from cod_runner.hugging_face import fetched_checkpoint, hub_errors, only_data, pretrained, quiet_transformers
from cod_runner.label_prompts import LabelPrompt, LabelPromptFields, one_line
from cod_runner.llm.budget import Reservation, Spending
from cod_runner.llm.ledger import Ledger
from cod_runner.llm.requests import LLMAnswer, LLMRequest
from cod_runner.recipe_files import recipe_file
from cod_runner.reliability import expected_calibration_error
from cod_runner.text_encoder import TextEncoder
from cod_runner.text_files import csv_rows, file_bytes, json_lines, read_text
from cod_runner.word_edits import WORD, text_distance

if TYPE_CHECKING:
    import numpy
    from torch import Tensor, nn

__all__ = [
    "WORD", "Answerer", "Answering", "Attempt", "Attribution", "Batch", "BatchSource", "Binding", "BuildContext",
    "CallEstimate", "CfeMeasure", "CheckpointOption", "Choice", "Chooser", "Choosing", "Classifier", "CodrunError",
    "Component", "DataError", "Dataset", "Destination", "EmbeddingStep", "Encoded", "Example", "Executor",
    "ExportReport", "ExportRequest", "Exporter", "FinetuneSettings", "FixedBatch", "Generator", "GradientCheckpointing",
    "HiddenStateScorer", "Input", "Kept", "Kind", "LLMAnswer", "LLMRequest", "LabelPrompt", "LabelPromptFields",
    "LabelScorer", "Ledger", "LoadedData", "Loss", "Metric", "Mixture", "ModelShape", "Needs", "Options", "Origin",
    "Outputs", "OwnTraining", "PathOption", "Predictions", "Proposal", "ProviderError", "Request", "Reservation",
    "Selection", "Selector", "SettingError", "ShapeEstimate", "Spending", "Teacher", "TeacherView", "TextEncoder",
    "TrainSettings", "TrainsItself", "VocabularyCut", "WordVectors", "checkpoint_folder", "checkpoint_identity",
    "checkpoint_origin", "checkpoint_sizes", "csv_rows", "default_figure_style", "expected_calibration_error",
    "fetched_checkpoint", "file_bytes", "file_digest", "file_digests", "fixed_batches", "folder_written_whole",
    "head_pooled", "hookimpl", "hookspec", "hub_destination", "hub_destinations", "hub_errors", "in_order",
    "input_as_json", "input_from_json", "is_on_the_hub", "json_lines", "layer_mapping", "lock", "masked_mean",
    "one_line", "one_thread", "only_data", "packaged_folder", "pooled", "pretrained", "quiet_transformers", "read_text",
    "recipe_file", "text_distance",
]  # fmt: skip

hookimpl = pluggy.HookimplMarker("codrun")
hookspec = pluggy.HookspecMarker("codrun")

Kind = Literal[
    "dataset", "teacher", "student", "selector", "generator", "chooser", "loss", "metric", "cfe_measure", "executor",
    "tracker", "exporter",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Mixture:
    """Two texts as one input: their embeddings, mixed position by position, as ``share`` of the first and the rest of
    the second. A classifier that cannot mix refuses it in ``encode``. (Vectors mix by themselves.)"""

    first: str
    second: str
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a mixture's share is a number from 0 to 1, not {self.share!r}")


Input: TypeAlias = str | tuple[float, ...] | Mixture
"""What a teacher or student reads: a text, one vector, or two texts mixed."""


def input_as_json(value: Input) -> str | list[float] | dict[str, str | float]:
    """An input as JSON spells it; different inputs are spelled differently."""
    if isinstance(value, Mixture):
        return {"first": value.first, "second": value.second, "share": float(value.share)}
    return value if isinstance(value, str) else [float(number) for number in value]


def input_from_json(value: Any) -> Input:
    """What :func:`input_as_json` spelled; raises :class:`ValueError` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(type(number) in (int, float) for number in value):
        return tuple(map(float, value))
    if isinstance(value, dict) and value.keys() == {"first", "second", "share"}:
        first, second, share = value["first"], value["second"], value["share"]
        if isinstance(first, str) and isinstance(second, str) and type(share) in (int, float):
            return Mixture(first, second, float(share))
    raise ValueError(f"{value!r} is no text, no vector and no mixture of two texts")


# --- options and declarations -------------------------------------------------------------------------------


class Options(BaseModel):
    """Base of a component's options: unknown keys are refused, NaN and infinity too, values do not change.

    The methods say what codrun must know of a component before anything heavy is imported; ``codrun plan`` calls them
    with neither data nor models at hand, so they import nothing heavy either. Each has a default, and each may raise
    :class:`SettingError` about an option.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of options that exclude each other: an overlay that sets one of a group clears the rest."""

    def identity(self) -> dict[str, Any]:
        """JSON-able data that decides what the component does, for the keys of cells, pairs and teachers.

        By default the options themselves. Where an option names a file, give its content's hash rather than its path;
        leave out what cannot change a result (a time-out, say).
        """
        return self.model_dump(mode="json")

    def estimate(self, examples: int, mean_characters: float) -> CallEstimate | None:
        """Generators and teachers that call paid models: what ``examples`` inputs of this mean length may cost; None:
        no calls."""
        return None

    def destinations(self) -> Sequence[Destination]:
        """Everywhere that the component sends texts, keys or requests, for ``plan`` and for the user's consent.

        Texts or keys that go to another address than a provider's own are refused unless the user allows the host.
        """
        return ()

    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate | None:
        """Teachers and students: the size of the model before it is loaded; None where nothing is known of it.

        ``teacher`` is the teacher's, for a student that is cut from it.
        """
        return None

    def keeps(self) -> Sequence[Kept]:
        """Teachers: what the component keeps in the store in another form, so that it is made once: a converted
        model."""
        return ()

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        """Losses: the layers of both whose hidden states the loss reads; by default none.

        Raise :class:`CodrunError` where the two models cannot be matched.
        """
        return Needs()

    def answering(self) -> Answering | None:
        """Teachers: what is known of one that only answers (a :class:`LabelScorer`) before it is built; None for a
        :class:`Classifier`."""
        return None

    def asks_for_attribution(self) -> bool:
        """Generators: whether they ask the teacher which words of a text weigh most with it."""
        return False

    def asks_for_gradients(self) -> bool:
        """Generators: whether they take steps along the teacher's gradient, which no other than a network has."""
        return False

    def questions(self, examples: int) -> int | None:
        """Generators and choosers: about how many texts the teacher is asked for ``examples`` originals, at most, the
        candidates included. Selectors: for one order of the pool from which ``examples`` originals are drawn, beside
        these. None where it cannot be said."""
        return None

    def advice(self) -> str:
        """Generators: what the user can do with these options where too few originals get what is asked for, as in
        "give it more `rounds`"; "" where there is nothing."""
        return ""

    def from_teacher(self) -> bool:
        """Students: whether they start from the teacher's weights, so that none of them has learnt without it."""
        return False

    def trains_itself(self) -> bool:
        """Students: whether what is built is a :class:`TrainsItself`. Its methods are losses on hard labels alone."""
        return False

    def uses_teacher(self) -> bool:
        """Losses: whether the teacher's word enters the loss. A method none of whose losses uses it is the floor."""
        return True

    def origins(self) -> Sequence[Origin]:
        """What of other people's it is made of, for a student's model card: by default the model that each
        :data:`CheckpointOption` names."""
        names = (getattr(self, name) for name, option in type(self).model_fields.items() if _is_a_checkpoint(option))
        return [checkpoint_origin(name) for name in names if name is not None]

    def reads_labels_alone(self) -> bool:
        """Losses: whether the loss is a function of logits and hard labels, so that its method suits a student that
        trains itself."""
        return False


def _beside_the_recipe(value: str, info: ValidationInfo) -> str:
    return recipe_file(value, info)


PathOption = Annotated[str, AfterValidator(_beside_the_recipe)]
"""An option that is a file's path; see :func:`recipe_file`."""


def _named_in_the_recipe(value: str, info: ValidationInfo) -> str:
    return checkpoint_name(value, Path((info.context or {}).get("folder") or "."))


_NAMES_A_CHECKPOINT = AfterValidator(_named_in_the_recipe)
CheckpointOption = Annotated[str, _NAMES_A_CHECKPOINT]
"""An option that names a model of Hugging Face's: a hub name, a folder, or ``package:NAME/folder``.

Its ``checkpoint_identity`` belongs in :meth:`Options.identity`, its ``hub_destinations`` in
:meth:`Options.destinations`; :meth:`Options.origins` finds it by itself."""


def _is_a_checkpoint(option: FieldInfo) -> bool:
    """Whether it is a :data:`CheckpointOption`, or one that may be None."""
    alternatives = (getattr(each, "__metadata__", ()) for each in get_args(option.annotation))
    return any(_NAMES_A_CHECKPOINT in metadata for metadata in (option.metadata, *alternatives))


@dataclass(frozen=True)
class Origin:
    """Something of other people's that goes into a student, and whose terms may bind whoever uses it."""

    what: Literal["checkpoint", "data set", "language model"]
    name: str
    """As a reader would look for it: a name on the hub, ``package:NAME/folder``, a model as its provider names it; of a
    folder on this machine only its last part."""
    on_the_hub: bool = False
    folder: Path | None = None
    """Where it lies on this machine, and perhaps its own card (``README.md``)."""


def checkpoint_origin(name: str) -> Origin:
    """The origin that a :data:`CheckpointOption` names."""
    if name.startswith("package:"):
        return Origin("checkpoint", name, folder=packaged_folder(name, "model"))
    if is_on_the_hub(name):
        return Origin("checkpoint", name, on_the_hub=True)
    return Origin("checkpoint", Path(name).name, folder=Path(name))


@dataclass(frozen=True)
class Destination:
    """Somewhere that a component sends something when it is used."""

    component: str
    """What sends: a model's name, say."""
    address: str
    """``https://host/path``, or in words where it is not known before the first call."""
    sends: str
    """In words: ``the texts``, ``a request for its files``."""
    key_variable: str | None = None
    """The environment variable whose value goes along; None for no key."""
    own: bool = True
    """Whether the address is the provider's own, and the key its own; what goes anywhere else needs the user's word,
    given outside the recipe."""
    setting: tuple[str | int, ...] = ()
    """The option that names the address, below the component."""


def hub_destination(name: str, *setting: str | int) -> Destination:
    """The Hugging Face hub, which is asked for the files of ``name``, with the user's own token where there is one."""
    token = next((each for each in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(each)), None)
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return Destination(name, address, "a request for its files", token, setting=setting)


def hub_destinations(name: str | None, *setting: str | int) -> Sequence[Destination]:
    """:func:`hub_destination` for a model that is named as there; nothing for a folder, a package or None."""
    return [hub_destination(name, *setting)] if name is not None and is_on_the_hub(name) else []


@dataclass(frozen=True)
class Component:
    """A plugin's declaration of one thing that a recipe can name with ``use:``.

    ``options`` validates and documents the keys next to ``use``, and says what must be known before the component is
    built (see :class:`Options`). ``build`` is ``"module:attribute"``, imported when needed and called as
    ``build(options, context)``.
    """

    kind: Kind
    name: str
    options: type[Options]
    build: str
    summary: str
    version: int = field(default=1, kw_only=True)
    """Raise it when the component's results change with equal options: keys are made of its name, version and
    ``options.identity()``, never of its code, so without a higher number finished cells, stored pairs, fitted losses
    and teachers of the old code are taken for those of the new one."""
    title: str = field(default="", kw_only=True)
    """For metrics: the heading of its table; by default its name."""
    higher_is_better: bool = field(default=True, kw_only=True)
    """For metrics: whether a larger value is the better one."""
    reopen: str = field(default="", kw_only=True)
    """``"module:attribute"``, imported when needed. For students, called as ``reopen(folder, context)``: the
    :class:`Classifier` that ``save`` wrote there, its labels in the order of its logits, without recipe or teacher;
    absent: the student is built as for its recipe, and loads the folder. For exporters, called likewise: the
    :class:`Answerer` that ``export`` wrote there."""


@dataclass(frozen=True)
class ShapeEstimate:
    """What can be said of a classifier before it is loaded."""

    shape: ModelShape
    """``classes`` is 0 where only the data will tell."""
    longest: int
    """Positions of the longest input it reads."""
    bytes: int | None = None
    """What ``save`` writes, about, as float32; None where it cannot be said."""
    block_bytes: int | None = None
    """Of these, one block's."""


@dataclass(frozen=True)
class Kept:
    """Something that a component keeps in the store."""

    what: str
    """In words: ``the converted model of `x` ``."""
    place: str | None
    """Its folder below the store's root, as ``codrun store list`` names it: ``models/KEY``; None where that is not
    known before it is made."""
    bytes: int | None = None
    """About; None where it cannot be said before it is made."""


@dataclass(frozen=True)
class CallEstimate:
    """What a component may spend on ``examples`` inputs: at least (each succeeds at once) and at most (all rounds)."""

    model: str
    calls_low: int
    calls_high: int
    tokens_low: int
    tokens_high: int
    usd_low: float | None = None
    """None where the model's price is unknown, which is not 0."""
    usd_high: float | None = None


@dataclass(frozen=True)
class Answering:
    """What is known of a label scorer before it is built."""

    shots: int = 0
    """Labelled rows in its prompt: the core draws them from the pool, balanced, and draws nothing else from these."""
    seed: int = 0
    """Of that draw."""
    hidden_states: bool = False
    """Whether it is a :class:`HiddenStateScorer`."""
    leave_one_out: bool = True
    """Whether its answers are cheap enough for a generator to learn which words weigh most: by asking about a text
    less each of its words."""
    leave_one_out_hint: str = ""
    """Where they are not: what the user can do about it, as in "allow it with `leave_one_out: true`"."""


@dataclass(frozen=True)
class BuildContext:
    """What a component may know when it is built. Fields that do not apply to a kind keep their defaults."""

    folder: Path = Path()
    labels: tuple[str, ...] = ()
    describe: str = ""
    """The recipe's ``describe:`` line, one sentence on what the task is."""
    device: str = "cpu"
    seed: int = 0
    offline: bool = False
    teacher: Callable[[], Classifier] | None = None
    """For students that are cut from their teacher: loads it, once it is asked for."""
    pool: Sequence[Example] = ()
    """For generators: the training pool, never the evaluation split. For selectors and choosers the same without its
    labels."""
    unlabelled: Sequence[Example] = ()
    """For generators: rows of the data that have no label, beside the pool."""
    shots: Sequence[Example] = ()
    """For teachers that only answer: the labelled rows of their prompt, in the order in which it shows them."""
    store: Path | None = None
    """For teachers, selectors, generators and choosers: the store's root, for what is worth keeping between runs; paid
    answers go into ``Ledger.of_store(store)``."""
    say: Callable[[str], None] = lambda sentence: None
    """Tells the user one sentence (a warning or a note)."""
    tell: Callable[[str], None] = lambda line: None
    """Shows a few words on what happens now beside the bar that is running; "" takes them away."""
    spending: Spending | None = None
    """For teachers and generators that call paid models: the run's budget and meter, shared by all of them."""


# --- data ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One input. ``label`` is a class id, or None where there is only the teacher's word; ``partner`` is the id of the
    other half of a pair, in a group of more the original's."""

    id: str
    input: Input
    label: int | None = None
    partner: str | None = None
    is_counterfactual: bool = False

    @property
    def hard_label(self) -> int:
        """The label, where there must be one; raises :class:`CodrunError` where there is none."""
        if self.label is None:
            raise CodrunError(f"the example `{self.id}` has no label")
        return self.label


@dataclass(frozen=True)
class LoadedData:
    """What a data set holds: label names in the order of their class ids, and examples by split name.

    A source without splits of its own puts everything in one split named ``train``.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    notes: tuple[str, ...] = ()
    """What the user should know: which rows were omitted and why."""


class Dataset(Protocol):
    """Kind ``dataset``.

    The core knows two options by name, where a data set has them: ``labels``, the list of label names in the order of
    their class ids, by which ``k`` and ``targets`` are checked before any data is read, and which faults about classes
    point at; and ``splits``, which a fault about the names of splits points at.
    """

    def load(self) -> LoadedData:
        """Read everything; raise :class:`DataError` that names file, row and cure, and the option to point at, as in
        ``DataError("...", "path")``."""
        ...


# --- classifiers: teachers and students ----------------------------------------------------------------------


@dataclass(frozen=True)
class ModelShape:
    """What a loss may know of a classifier before it sees an output."""

    layers: int
    """Blocks; hidden states are numbered 0 (what enters block 1) to ``layers``."""
    width: int
    """Size of a hidden state's last dimension."""
    classes: int


@dataclass(frozen=True)
class Encoded:
    """One input as a classifier reads it, before it is padded.

    ``ids`` has one entry per position (a vector model has one position). Two classifiers are *aligned* on an
    input when their ids are equal. ``fields`` is whatever else the classifier's ``collate`` needs.
    """

    ids: tuple[int, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outputs:
    """What a classifier says about a batch; the teacher's are called *signals*."""

    logits: Tensor
    """``[batch, classes]``, float32."""
    hidden: dict[int, Tensor] = field(default_factory=dict)
    """Layer number to ``[batch, tokens, width]``, float32."""
    mask: Tensor | None = None
    """``[batch, tokens]``, true at real tokens."""
    pooled_at: Tensor | None = None
    """``[batch]``, the position that the classification head reads; None where it reads the mean of the real tokens."""


@runtime_checkable
class VocabularyCut(Protocol):
    """Trains only the embedding rows that the training texts touch; exact, see ``Classifier.compact``.

    Inside ``with cut:`` the classifier's embedding parameter is a small one. ``decayed(factor)`` records that an
    optimiser step multiplied that parameter's group by ``factor``, so that leaving can apply the same factors,
    in the same order, to the rows that were set aside. ``with cut.whole():`` shows the full, up-to-date table
    for an evaluation in mid-training. Leaving, also by an error, writes everything back.
    """

    def __enter__(self) -> VocabularyCut: ...
    def __exit__(self, *exc: object) -> None: ...
    def decayed(self, factor: float) -> None: ...
    def whole(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Attribution:
    """How much one part of an input speaks for a class.

    For a text the part is ``text[start:end]``, one word, and ``score`` is gradient x input of the class's logit
    margin over the best other class. For a vector the part is coordinate ``start`` and ``score`` the derivative.
    """

    start: int
    end: int
    score: float


class Classifier(Protocol):
    """Kinds ``teacher`` and ``student``: an ``nn.Module``, so parameters, ``train()``, ``to()`` are torch's.

    Trained parameters are float32 and low precision means autocast. ``logits`` are in the order of ``labels``.
    """

    labels: tuple[str, ...]
    shape: ModelShape
    untrained_head: bool
    """True when the classification head is new and has not been trained."""

    @property
    def fingerprint(self) -> str:
        """Hash of weights, tokenizer, maximal length and padding side; changes when the weights do. Asked for often:
        compute it once for the weights at hand."""
        ...

    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        """Tokenise, truncate to the maximal length; no padding."""
        ...

    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        """Pad to one length, rounded up to ``multiple_of``; ``[batch, tokens]`` tensors on the CPU."""
        ...

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        """Logits, and the hidden states of the layers asked for (0 enters block 1; i leaves block i; the last
        one after the final norm). In eval mode and for logits alone the engine calls it from several threads."""
        ...

    def __call__(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs: ...

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """For each input, how much each of its parts speaks for its ``targets`` class."""
        ...

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """(edits, minimality): word-level Levenshtein distance and the same over the original's words; for
        vectors the Euclidean distance and the same over the original's norm."""
        ...

    def compact(self, encoded: Sequence[Encoded]) -> VocabularyCut | None:
        """The exact vocabulary cut for training on these inputs alone; None where it does not apply."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer, label names."""
        ...

    def load(self, folder: Path) -> None:
        """Read back weights that ``save`` wrote."""
        ...

    # torch's own, restated so that the engine can be type-checked against the contract
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def named_buffers(self) -> Iterator[tuple[str, Tensor]]: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def to(self, device: str) -> Any: ...


@runtime_checkable
class LabelScorer(Protocol):
    """Kind ``teacher``, where the teacher only answers: a language model, say, that is asked for a text's label.

    No gradients, and nothing to fine-tune. Its options say so in :meth:`Options.answering`. Every answer is stored: the
    core asks about a text once, whatever wants to know (training texts, a search, the evaluation), and calibrates what
    it is told where the recipe says so.
    """

    labels: tuple[str, ...]
    at_once: int
    """How many inputs one call of ``score`` takes best; what a kill may lose."""

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides an answer: model, prompt, shots, label words, precision."""
        ...

    def score(self, inputs: Sequence[Input], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        """Log-probabilities of the labels, ``[inputs, classes]``, float32, on the CPU, in the order of ``labels``.

        An input's answer does not depend on the others. Raises :class:`ProviderError` where one cannot be had.
        """
        ...

    def price(self, inputs: Sequence[Input]) -> float | None:
        """What the answers about these inputs cost when they were made, in USD, nothing asked again: 0.0 where nothing
        is paid, None where it is not known."""
        ...


@runtime_checkable
class HiddenStateScorer(LabelScorer, Protocol):
    """A :class:`LabelScorer` that also offers the hidden states of one position: the one at which its answer begins.

    For losses that compare one vector per text; those that compare positions are refused.
    """

    shape: ModelShape

    def states(
        self,
        inputs: Sequence[Input],
        layers: Sequence[int],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """(log-probabilities as ``score`` gives them, layer to ``[inputs, width]``, float32, on the CPU)."""
        ...


Teacher: TypeAlias = Classifier | LabelScorer
"""What a component of the kind ``teacher`` builds: a network that is opened, or a model that only answers."""


@runtime_checkable
class WordVectors(Protocol):
    """Optional in a :class:`Classifier`: single words as points, for generators that look for near ones."""

    def word_vectors(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The unit-length embedding of each word, ``[words][width]``; () for a word it has none for."""
        ...


@runtime_checkable
class EmbeddingStep(Protocol):
    """Optional in a :class:`Classifier`: one step along its own gradient, for generators of adversarial inputs."""

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """Each input after a step from ``labels[i]`` towards ``targets[i]``, brought back to an input that can be read.

        The step leads along the gradient of ``logit[target] - logit[label]`` by what the model reads first (for texts
        the embeddings of its tokens) and is ``size`` long, in units that suit any model: for texts the mean norm of a
        token's embedding, over all positions together. A text's words become the words whose embeddings are nearest to
        where theirs have come; where none is nearer than its own, a word stays. An input's answer does not depend on
        the others, nor on dropout.
        """
        ...


@dataclass(frozen=True)
class OwnTraining:
    """What the training of a :class:`TrainsItself` was."""

    steps: int
    """Optimiser steps."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Its own, by name."""


@runtime_checkable
class TrainsItself(Protocol):
    """Optional in a student: it trains itself on the labelled rows, in place of the engine's loop. Its options say so
    in :meth:`Options.trains_itself`."""

    def fit(
        self, examples: Sequence[Example], seed: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> OwnTraining:
        """Learn from ``examples``, which all have a label; the same rows and seed give the same bits on one thread of a
        CPU. ``progress(done, total)`` follows its steps."""
        ...


@runtime_checkable
class GradientCheckpointing(Protocol):
    """Optional in a :class:`Classifier`: backward passes that recompute blocks instead of keeping their states."""

    def gradient_checkpointing_enable(self) -> None: ...


# --- losses -------------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """One training batch, on the training device."""

    ids: tuple[str, ...]
    labels: Tensor
    """``[batch]`` hard labels: gold for originals, the teacher's word for counterfactuals. Reading them where some row
    has none raises :class:`CodrunError`; a loss with ``needs_labels`` is given the labelled rows alone."""
    partner: Tensor
    """``[batch]`` row of the other half of the pair in this batch, -1 where there is none."""
    is_counterfactual: Tensor
    """``[batch]`` bool."""
    inputs: dict[str, Tensor] = field(default_factory=dict)
    """What the student's ``collate`` made."""


@dataclass(frozen=True)
class Needs:
    """The hidden states a loss wants, by layer number, of each side."""

    teacher: tuple[int, ...] = ()
    student: tuple[int, ...] = ()


class BatchSource(Protocol):
    """The training data as a loss may see it in ``bind``."""

    def batches(self, labelled: bool = False) -> Iterator[Batch]:
        """The training set once, in an order that the loss's own seed shuffles anew at each call; with ``labelled``,
        the rows that have a label alone."""
        ...

    def signals(self, batch: Batch) -> Outputs:
        """The teacher's outputs, with the hidden states that the loss's options name in ``needs``."""
        ...

    def student_outputs(self, batch: Batch) -> Outputs:
        """The initial student's outputs, no gradient, no dropout."""
        ...


@dataclass(frozen=True)
class Binding:
    """What a loss gets in ``bind``: shapes, never modules, so that no loss can swallow the student."""

    teacher: ModelShape
    student: ModelShape
    labels: tuple[str, ...]
    data: BatchSource
    seed: int
    device: str
    cache: Callable[[str, Callable[[], dict[str, Tensor]]], dict[str, Tensor]]
    """``cache(name, make)``: the tensors that ``make`` returned the last time this cell asked for ``name``."""
    fit: Callable[..., None]
    """``fit(parameters, objective, epochs=, lr=, labelled=False)``: AdamW on ``objective(batch) -> scalar`` over
    ``data.batches(labelled)``."""


class Loss(Protocol):
    """Kind ``loss``: an ``nn.Module``. Its own parameters train with the student and are not saved with it.

    A subclass may set ``aligned = True``: it compares positions, so the engine refuses it, before training,
    unless teacher and student have equal token ids, and moves the teacher's states to the student's positions (the
    two masks are then equal, whichever side each pads on); beside it ``alignment_hint``, what the user can do about
    unequal ones, as in "give it `pool: mean`", which ends the engine's sentence; ``needs_labels = True``: it reads
    ``batch.labels``, so ``forward`` is given the rows that have one; and ``learning_rate``, for its own parameters. A
    term of weight 0 is computed without gradient, for the log alone.
    """

    def bind(self, binding: Binding) -> None:
        """Create parameters. Randomness drawn here comes from this loss's own stream."""
        ...

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """Value per example, ``[batch]``, float32; the engine averages over the batch and applies ``weight``."""
        ...

    def __call__(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor: ...
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def to(self, device: str) -> Any: ...


# --- counterfactual generators --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """One candidate that was judged. ``reason`` is None for a verified flip."""

    input: Input
    generator: str
    round: int
    reason: str | None
    probabilities: tuple[float, ...] | None = None
    """The teacher's, ``[classes]``; None where the candidate was refused before the teacher was asked."""
    edits: float | None = None
    tier: int = 0
    usd: float | None = 0.0
    """As :class:`Proposal`'s."""


@dataclass(frozen=True)
class Request:
    """Ask for inputs near ``input`` that the teacher reads as ``target`` instead of ``label``."""

    id: str
    input: Input
    label: int
    target: int
    round: int = 1
    """1 at first; a failed round goes back with ``history``."""
    history: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A candidate. Among flips a lower ``tier`` wins first (0 natural, higher odd), then fewer edits."""

    input: Input
    tier: int = 0
    usd: float | None = 0.0
    """What the model call behind it cost when it was made; None where the price is unknown."""


class TeacherView(Protocol):
    """The teacher as a generator sees it: questions are batched, and answered from memory the second
    time. It gives no verdicts: the pipeline does."""

    labels: tuple[str, ...]

    def score(self, inputs: Sequence[Input], asked_for: Sequence[Request] = ()) -> list[tuple[float, ...]]:
        """Probabilities, ``[inputs][classes]``.

        A generator that scores candidates of its own says for which request each of them is (``[inputs]``): the
        teacher's answers are then counted for that original, and its texts are there for arms that train on them. What
        it asks for no request in particular (to learn from the pool, say) is counted for the run.
        """
        ...

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        """As :meth:`Classifier.attribution`."""
        ...

    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        """As :meth:`Classifier.distance`."""
        ...

    def similarity(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        """The teacher's unit-length embedding of each word, ``[words][width]``; () where it has none."""
        ...

    def projected_step(
        self, inputs: Sequence[Input], labels: Sequence[int], targets: Sequence[int], size: float
    ) -> list[Input]:
        """As :meth:`EmbeddingStep.projected_step`; raises :class:`CodrunError` where the teacher does not offer it."""
        ...


class Generator(Protocol):
    """Kind ``generator``. Knows nothing of flips: it proposes, the pipeline judges.

    ``rounds`` says how often a request that failed may come back. A provider's fault or a spent budget is raised
    as :class:`ProviderError`, never answered with an empty list.
    """

    rounds: int

    def propose(self, requests: Sequence[Request], teacher: TeacherView) -> list[list[Proposal]]:
        """Candidates for each request, in the order of the requests; an empty list means "nothing to offer"."""
        ...


# --- training sets ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """What a selector may see: the pool's inputs, or those of one class, and what it asks the teacher, which counts."""

    inputs: Sequence[Input]
    """In this seed's random order, so that whoever breaks ties by position breaks them at random."""
    wanted: int
    """How many of them the training set will take, redraws not counted."""
    seed: int
    teacher: TeacherView
    embedded: Callable[[int], None] = lambda count: None
    """To be told how many inputs an encoder embedded, for the tables."""
    progress: Callable[[int, int], None] = lambda done, total: None
    """``progress(done, total)`` moves the bar of what takes long."""


class Selector(Protocol):
    """Kind ``selector``: in which order the pool's rows become originals. It never sees a label: where the recipe
    balances the classes, it is asked about the rows of each class by itself, otherwise about the whole pool."""

    nested: bool
    """Whether the order is the same for every ``wanted``, so that the set of a smaller k lies inside a larger one's."""

    def rank(self, selection: Selection) -> list[int]:
        """Positions in ``selection.inputs``, every one once, the first to be drawn first."""
        ...


@dataclass(frozen=True)
class Choice:
    """One original, and the candidates that its arm may take."""

    original: Example
    candidates: tuple[Attempt, ...]
    """In the order that holds without a chooser: lower tier, fewer edits, larger margin past the boundary."""


@dataclass(frozen=True)
class Choosing:
    """What a chooser may ask."""

    teacher: TeacherView
    student: Callable[[Sequence[Input], int], list[tuple[float, ...]]]
    """``student(inputs, steps)``: probabilities ``[inputs][classes]`` of the recipe's student after this many steps on
    the originals alone, by the recipe's first method; trained at the first call."""
    seed: int


class Chooser(Protocol):
    """Kind ``chooser``: which of an original's candidates goes into the training set."""

    nested: bool
    """Whether a choice depends on the earlier originals at most, so that sets stay nested in k."""

    def rank(self, choices: Sequence[Choice], choosing: Choosing) -> list[list[int]]:
        """For each choice, positions of its candidates, the best first. ``choices`` are in the order of drawing."""
        ...


# --- metrics, executors ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """A student's and its teacher's word on the evaluation split."""

    student_logits: Tensor
    """``[examples, classes]``."""
    teacher_logits: Tensor
    labels: Tensor
    """``[examples]`` gold class ids."""


class Metric(Protocol):
    """Kind ``metric``; its :class:`Component` says whether higher is better."""

    def __call__(self, predictions: Predictions) -> float: ...


class CfeMeasure(Protocol):
    """Kind ``cfe_measure``: a row of the quality table of the counterfactuals, for ``codrun cfes --measure``.

    ``--measure NAME=VALUE`` gives VALUE to the one option without a default, if there is exactly one.
    """

    title: str
    """What the row is called, its unit or range included."""

    def __call__(self, pairs: Sequence[tuple[Input, Input]]) -> list[float | None]:
        """One value per (original, changed) pair, in order; None where there is nothing to measure."""
        ...


class Executor(Protocol):
    """Kind ``executor``: where cells run."""

    def map(self, work: Callable[[Any], Any], tasks: Sequence[Any], jobs: int) -> Iterable[Any]:
        """Results as they come, in any order. ``work`` and ``tasks`` can be pickled. An exception that ``work``
        raises is raised here, after the workers were stopped."""
        ...


# --- students in use ------------------------------------------------------------------------------------------


class Answerer(Protocol):
    """A finished student, in whatever form: what ``codrun predict`` and ``codrun bench`` ask. Knows nothing of torch.

    Inputs are read first and answered in batches of one length, as the caller sorts them.
    """

    labels: tuple[str, ...]

    def encode(self, inputs: Sequence[Input]) -> Sequence[Encoded]:
        """As :meth:`Classifier.encode`."""
        ...

    def logits(self, encoded: Sequence[Encoded]) -> numpy.ndarray:
        """``[batch, classes]``, float32, in the order of ``labels``; of a student whose record has a temperature, not
        yet divided by it, unless the export says that it is inside."""
        ...


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter is given beside the student."""

    folder: Path
    """An empty folder that becomes the export once all of it is written."""
    temperature: float = 1.0
    """The logits are divided by it inside the exported model, so that a softmax gives calibrated probabilities."""
    texts: Sequence[Input] = ()
    """Real inputs, for checks of parity; the exporter adds odd lengths and paddings of its own."""
    say: Callable[[str], None] = lambda sentence: None
    """Tells the user one sentence."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how far it is from the student."""

    file: str
    """The model's file, relative to the folder."""
    bytes: int
    """Of that file."""
    compared: int
    """Inputs on which both were asked, in all paddings."""
    largest_difference: float
    """Between logits of the student and of the export, over all of them."""
    disagreeing: int
    """Inputs whose likeliest label differs."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What else the model card should say: versions, quantised operators."""


class Exporter(Protocol):
    """Kind ``exporter``: writes a student in a form that runs without codrun, and opens it again (its component's
    ``reopen``)."""

    def export(self, student: Classifier, request: ExportRequest) -> ExportReport:
        """Write model, tokenizer, label names and a short example that loads them; compare it with ``student``.

        Raises :class:`CodrunError` where it cannot be exported, or where the two differ by more than rounding.
        """
        ...


# --- training settings, shared by recipe and engine -----------------------------------------------------------


class TrainSettings(Options):
    """How a model is trained. ``steps`` or ``epochs``, never both."""

    alternatives: ClassVar[tuple[tuple[str, ...], ...]] = (("epochs", "steps"),)

    epochs: int | None = Field(None, ge=1, description="passes over the training set")
    steps: int | None = Field(None, ge=1, description="optimiser steps, instead of epochs")
    batch_size: int = Field(8, ge=1, description="examples per step; even where there are pairs")
    lr: float = Field(6.0e-5, gt=0, description="peak learning rate")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps that warm up")
    weight_decay: float = Field(0.0, ge=0)
    optimiser: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    clip: float | None = Field(None, gt=0, description="largest gradient norm; absent: no clipping")
    accumulation: int = Field(1, ge=1, description="batches whose gradients make one step")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="autocast; auto is bf16 where the machine computes in it, else fp32"
    )
    gradient_checkpointing: bool = False
    compact_vocabulary: bool = Field(True, description="train only the embedding rows in use; exact")

    @field_validator("betas")
    @classmethod
    def _betas_below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("each of the two must be at least 0 and below 1")
        return value

    default_epochs: ClassVar[int] = 100

    @model_validator(mode="before")
    @classmethod
    def _some_length(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("epochs") is None and value.get("steps") is None:
            return {**value, "epochs": cls.default_epochs}
        return value

    @model_validator(mode="after")
    def _one_length(self) -> TrainSettings:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give `steps` or `epochs`, not both")
        return self


class FinetuneSettings(TrainSettings):
    """How a teacher is fine-tuned, once, on gold labels."""

    default_epochs: ClassVar[int] = 3

    rows: int = Field(5000, ge=2, description="training rows, drawn from the pool; more than there are: all")
    lr: float = Field(2.0e-5, gt=0)
    seed: int = Field(0, ge=0)
