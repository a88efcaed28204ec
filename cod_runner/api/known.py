"""What is known of a component before anything heavy is imported: sizes, prices, destinations, origins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cod_runner.checkpoints import is_on_the_hub, packaged_folder


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
    why: str = ""
    """Where it is not own: why it needs the user's word; by default that the address is not the provider's own."""
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
class ClusterRequest:
    """What an executor asks a cluster for: jobs, each with the same."""

    cluster: str
    """In words, with what chooses a part of it: ``Slurm, partition gpu``."""
    jobs: int
    """At most, none of them begun anew."""
    at_once: int | None
    """Unless ``--jobs`` says; None for as many as the cluster has room for."""
    cpus: int
    gpus: float | None = 0
    """None where the run's device decides."""
    memory: int | None = None
    """Bytes; None for the cluster's own default."""
    minutes: int | None = None
    """After which a job is ended; None for no limit."""


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
    architecture: str | None = None
    """As the checkpoint's ``config.json`` names it (``model_type``); None where it does not."""


@dataclass(frozen=True)
class Kept:
    """Something that a component keeps in the store."""

    what: str
    """In words, as in "the converted model of `x`"."""
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
class ModelShape:
    """What a loss may know of a classifier before it sees an output."""

    layers: int
    """Blocks; hidden states are numbered 0 (what enters block 1) to ``layers``."""
    width: int
    """Size of a hidden state's last dimension."""
    classes: int
