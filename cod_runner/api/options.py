"""A component's options: what a recipe says of it, and what codrun must know of it before it is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic.fields import FieldInfo

from cod_runner.api.known import (
    Answering,
    CallEstimate,
    ClusterRequest,
    Destination,
    Kept,
    ModelShape,
    Origin,
    ShapeEstimate,
    checkpoint_origin,
)
from cod_runner.api.losses import Needs
from cod_runner.checkpoints import checkpoint_name
from cod_runner.recipe_files import recipe_file


class Options(BaseModel):
    """Base of a component's options: unknown keys are refused, NaN and infinity too, values do not change.

    The methods say what codrun must know of a component before anything heavy is imported; ``codrun plan`` calls them
    with neither data nor models at hand, so they import nothing heavy either. Each has a default, and each may raise
    :class:`SettingError` about an option.
    """

    # deferred: a model's validator is built when a recipe first names its component, not for all that are installed
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )

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

    def tip(self, teacher: ShapeEstimate | None) -> str:
        """Students: what is to be gained by an option that the recipe leaves out, in one sentence without a full stop,
        which ``codrun plan`` and the beginning of a run show; "" where there is nothing. ``teacher`` is as in
        :meth:`shape`."""
        return ""

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

    def longest_input(self, texts: Sequence[str]) -> int | None:
        """Students: positions of the longest of these texts as the model reads them, before any is truncated; found
        without the model, by its tokenizer alone. Asked once the data are there, to reckon what memory a cell takes;
        None where it cannot be said, which is taken for as many as the model reads."""
        return None

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

    def callables(self) -> Sequence[str]:
        """Executors: each ``module:callable`` among the options that the component calls, with whatever else the
        recipe says; refused unless the user allows it outside the recipe, which may be a stranger's."""
        return ()

    def cluster_request(self, cells: int) -> ClusterRequest | None:
        """Executors: what they ask a cluster for to run ``cells`` cells, for ``plan``: whoever runs the recipe pays for
        it. None where all runs on this machine."""
        return None

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


def _names_a_callable(value: str) -> str:
    module, _, attribute = value.partition(":")
    if not all(name.isidentifier() for name in (*module.split("."), *attribute.split("."))):
        raise ValueError("write it as `module:callable`, such as `my_cluster:executor`")
    return value


CallableOption = Annotated[str, AfterValidator(_names_a_callable)]
"""An option that names something to call, ``module:callable``; it belongs in :meth:`Options.callables`."""


def _is_a_checkpoint(option: FieldInfo) -> bool:
    """Whether it is a :data:`CheckpointOption`, or one that may be None."""
    alternatives = (getattr(each, "__metadata__", ()) for each in get_args(option.annotation))
    return any(_NAMES_A_CHECKPOINT in metadata for metadata in (option.metadata, *alternatives))
