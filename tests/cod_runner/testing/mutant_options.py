"""Options of the wrong components. Light, as options must be."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import Field

from cod_runner.api import Answering, CallEstimate, ModelShape, Needs, Options, PathOption, ShapeEstimate


class NoTeacher(Options):
    def uses_teacher(self) -> bool:
        return False


class Scaled(Options):
    scale: float = Field(1.0, gt=0)


class ScaleLeftOut(Scaled):
    def identity(self) -> dict[str, Any]:
        return {}


class TwoLayers(Options):
    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs(teacher=(4,), student=(2,))


class OneLayer(Options):
    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs(student=(2,))


class LabelsAlone(Options):
    def reads_labels_alone(self) -> bool:
        return True


COUNTED = itertools.count()


class OtherEachTime(Options):
    def identity(self) -> dict[str, Any]:
        return {"number": next(COUNTED)}


class NotJson(Options):
    def identity(self) -> dict[str, Any]:
        return {"kinds": {1, 2}}


class NoDict(Options):
    def identity(self) -> dict[str, Any]:
        return ["scale"]  # type: ignore[return-value]


class HeavyIdentity(Options):
    def identity(self) -> dict[str, Any]:
        import huggingface_hub  # noqa: F401

        return {}


class LargerThanItIs(Options):
    def shape(self, teacher: ShapeEstimate | None) -> ShapeEstimate:
        return ShapeEstimate(ModelShape(layers=9, width=16, classes=0), 64)


class FromTeacher(Options):
    def from_teacher(self) -> bool:
        return True


class TrainsItselfOptions(Options):
    def trains_itself(self) -> bool:
        return True


class Answers(Options):
    def answering(self) -> Answering:
        return Answering()


class AnswersWithShots(Options):
    def answering(self) -> Answering:
        return Answering(shots=2)


class AnswersWithStates(Options):
    def answering(self) -> Answering:
        return Answering(hidden_states=True)


class FileOptions(Options):
    path: PathOption

    def identity(self) -> dict[str, Any]:
        with open(self.path, encoding="utf-8") as file:  # noqa: PTH123 - a plugin's own way
            return {"content": file.read()}


class KnownByPath(FileOptions):
    def identity(self) -> dict[str, Any]:
        return {"path": self.path}


class KnownByNothing(FileOptions):
    def identity(self) -> dict[str, Any]:
        return {}


class NamesLabels(Options):
    labels: tuple[str, ...] = ("good", "bad")


class AsksThree(Options):
    def questions(self, examples: int) -> int:
        return 3


class AsksForAttribution(Options):
    def asks_for_attribution(self) -> bool:
        return True


class HighIsLow(Options):
    def estimate(self, examples: int, mean_characters: float) -> CallEstimate:
        return CallEstimate("a model", 4, 2, 10, 20)


class FallsWithMore(Options):
    def estimate(self, examples: int, mean_characters: float) -> CallEstimate:
        return CallEstimate("a model", 1, 100 - examples, 10, 20)


class NoAdvice(Options):
    def advice(self) -> str:
        return None  # type: ignore[return-value]


class NoTip(Options):
    def tip(self, teacher: ShapeEstimate | None) -> str:
        return None  # type: ignore[return-value]


class Written(Options):
    path: str = ""


class AnswersSharply(Answers):
    sharpness: float = Field(1.0, gt=0)
