"""Declares the losses; importing this costs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, model_validator

from cod_runner.api import Component, ModelShape, Needs, Options, hookimpl, layer_mapping


class HardOptions(Options):
    """Cross-entropy on hard labels."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the mass spread over all classes")

    def uses_teacher(self) -> bool:
        return False

    def reads_labels_alone(self) -> bool:
        return True


class KDOptions(Options):
    """Divergence from the teacher's tempered distribution, times temperature squared."""

    temperature: float = Field(2.0, gt=0, description="logits are divided by it on both sides")
    divergence: Literal["forward", "reverse", "jsd"] = Field(
        "forward", description="forward: KL(teacher || student); reverse: KL(student || teacher); jsd: Jensen-Shannon"
    )
    top_k: int | None = Field(None, ge=2, description="compare only the teacher's k likeliest classes, renormalised")


class SoftOptions(Options):
    """Cross-entropy on the teacher's probabilities: soft labels only."""

    temperature: float = Field(1.0, gt=0, description="logits are divided by it on both sides")


class RandomSoftOptions(Options):
    """Cross-entropy on random probabilities, one draw per example: the ablation that keeps only the entropy."""

    concentration: float = Field(1.0, gt=0, description="of the symmetric Dirichlet they are drawn from")

    def uses_teacher(self) -> bool:
        return False


class LWDOptions(Options):
    """Mean squared error between projected student hidden states and the teacher's."""

    layers: Literal["uniform"] | Annotated[list[tuple[NonNegativeInt, NonNegativeInt]], Field(min_length=1)] = Field(
        "uniform", description="uniform, or pairs [student layer, teacher layer], counted from 1"
    )
    pool: Literal["none", "mean", "cls"] = Field(
        "none", description="none: every real token; mean or cls: one vector per text, for unlike tokenizers"
    )
    positions: Literal["all", "changed"] = Field(
        "all", description="of `pool: none`; changed: in a pair, only tokens that the other half does not have"
    )
    learning_rate: float | None = Field(None, gt=0, description="of the projections; absent: the student's")

    @model_validator(mode="after")
    def _positions_of_tokens(self) -> LWDOptions:
        if self.positions == "changed" and self.pool != "none":
            raise ValueError("`positions: changed` goes with `pool: none`, which compares tokens")
        return self

    def identity(self) -> dict[str, Any]:
        """Without `positions: all`, which keys knew nothing of before there was another."""
        return self.model_dump(mode="json", exclude={"positions"} if self.positions == "all" else None)

    def mapping(self, teacher: ModelShape, student: ModelShape) -> list[tuple[int, int]]:
        """(student layer, teacher layer) pairs, as :func:`layer_mapping` gives them."""
        return layer_mapping(self.layers, student.layers, teacher.layers)

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        """Both sides of :meth:`mapping`."""
        mapping = self.mapping(teacher, student)
        return Needs(teacher=tuple(theirs for _, theirs in mapping), student=tuple(ours for ours, _ in mapping))


class PairOptions(Options):
    """Ties the two halves of a pair together."""

    form: Literal["moved", "published"] = Field(
        "moved",
        description="moved: how far the student's move inside a pair is from the teacher's; published: that of the "
        "published code, from labels alone",
    )
    temperature: float = Field(1.0, gt=0, description="of `form: moved`")
    gap_weight: float = Field(1.0, ge=0, description="of `form: published`: the weight of |CE(x) - CE(x')|")

    @model_validator(mode="after")
    def _options_of_the_form(self) -> PairOptions:
        if self.form == "published" and self.temperature != 1.0:
            raise ValueError("`temperature` goes with `form: moved`; `form: published` has none")
        if self.form == "moved" and self.gap_weight != 1.0:
            raise ValueError("`gap_weight` goes with `form: published`")
        return self

    def identity(self) -> dict[str, Any]:
        """Only what decides; `moved` as it was written before there was another form."""
        return self.model_dump(mode="json", include={"temperature"} if self.form == "moved" else {"form", "gap_weight"})

    def uses_teacher(self) -> bool:
        return self.form == "moved"


LOSSES: tuple[tuple[str, type[Options], str, str], ...] = (
    ("hard", HardOptions, "labels:Hard", "cross-entropy on hard labels; alone: no teacher"),
    ("kd", KDOptions, "kd:KD", "KL to the teacher's tempered logits, times T squared"),
    ("lwd", LWDOptions, "lwd:LWD", "layer-wise distillation of hidden states"),
    ("soft", SoftOptions, "labels:Soft", "the teacher's soft labels only (ablation)"),
    ("random_soft", RandomSoftOptions, "labels:RandomSoft", "random soft labels (ablation)"),
    ("pair", PairOptions, "pair:Pair", "ties the halves of a pair: matches how the teacher's word moves inside it"),
)


@hookimpl
def codrun_components() -> Iterator[Component]:
    for name, options, build, summary in LOSSES:
        yield Component("loss", name, options, f"codrun_losses.{build}", summary)
