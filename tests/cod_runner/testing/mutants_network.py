"""Students and teachers that are networks, each wrong in one thing."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mutant_options as wrong
import torch
from mutant_table import mutant
from torch import Tensor, nn

from cod_runner.api import Attribution, BuildContext, Encoded, Input, Outputs, OwnTraining
from cod_runner.testing.checks.toys import TEXTS
from cod_runner.testing.classifiers import TextClassifier
from cod_runner.testing.vocabulary_cut import EmbeddingCut

WORDS = [*(str(row.input) for row in TEXTS), "a fine dull old so film"]


@mutant("student")
@mutant("teacher")
class Small(TextClassifier):
    """Right."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(context.labels, texts=WORDS, width=8, layers=1, seed=context.seed)
        self.untrained_head = True


def reopened(folder: Path, context: BuildContext) -> Small:
    """Right."""
    opened = Small(None, context)
    opened.load(folder)
    return opened


def reopened_untrained(folder: Path, context: BuildContext) -> Small:
    """Forgets to load."""
    return Small(None, context)


mutant("student", reopen="mutants_network:reopened")(Small)
mutant("student", "answers otherwise after `reopen`", reopen="mutants_network:reopened_untrained")(Small)
mutant("student", "says that it has the shape", wrong.LargerThanItIs)(Small)
mutant("student", "has the tip None", wrong.NoTip)(Small)
mutant("student", "answers `from_teacher` with True, and it never loads it", wrong.FromTeacher)(Small)
mutant("student", "answers `trains_itself` with True", wrong.TrainsItselfOptions)(Small)
mutant("teacher", "answers `answering` with Answering.*, and builds a network", wrong.Answers)(Small)


@mutant("student", "and it has no `compact`, which every student needs")
class CutsNothing:
    labels, shape, untrained_head = ("negative", "positive"), None, False
    fingerprint = encode = collate = forward = save = load = None

    def __init__(self, options: Any, context: BuildContext) -> None:
        pass


@mutant("student", "is a NoModule, no `nn.Module`")
class NoModule(CutsNothing):
    compact = None


@mutant("student", "answers `from_teacher` with False, and it loads it")
class LoadsTheTeacher(Small):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        assert context.teacher is not None
        context.teacher()


@mutant("student", r"has the labels \('positive', 'negative'\), and the data")
class TurnedLabels(Small):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        self.labels = self.labels[::-1]


@mutant("student", "trains `head.bias` in torch.bfloat16")
class HalfPrecision(Small):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        self.head.bias = nn.Parameter(self.head.bias.detach().bfloat16())


@mutant("teacher", "changed the random generator of torch while it was built")
class SeedsEverything(Small):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        torch.manual_seed(context.seed)


@mutant("student", "has the same new head with another seed")
class AlwaysTheSame(Small):
    def __init__(self, options: Any, context: BuildContext) -> None:
        TextClassifier.__init__(self, context.labels, texts=WORDS, width=8, layers=1, seed=7)
        self.untrained_head = True


DRAWS = torch.Generator().manual_seed(0)


@mutant("student", "has other weights when it is built again with the same seed")
class NeverTheSame(Small):
    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__(options, context)
        self.head.bias.data += torch.randn(2, generator=DRAWS)


@mutant("student", "encodes 21 inputs as 20")
class DropsOne(Small):
    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        return super().encode(inputs)[: 20 if len(inputs) > 20 else None]


@mutant("student", "encodes an input with no ids")
class NothingOfNothing(Small):
    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        return [
            one if str(text).strip() else Encoded(()) for one, text in zip(super().encode(inputs), inputs, strict=True)
        ]


@mutant("student", "encodes an input as the inputs beside it decide")
class NumbersItsInputs(Small):
    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        found = super().encode(inputs)
        return [Encoded((*one.ids, 2 + place % 5)) for place, one in enumerate(found)]


@mutant("student", "in 5000 positions, more than 4096")
class NeverTruncates(Small):
    def encode(self, inputs: Sequence[Input]) -> list[Encoded]:
        return [Encoded((one.ids * 80)[:5000]) if len(one.ids) > 60 else one for one in super().encode(inputs)]


@mutant("student", "collates 1 inputs into something else")
class NoBatch(Small):
    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        batch = super().collate(encoded, multiple_of)
        return {name: value[0] for name, value in batch.items()} if len(encoded) == 1 else batch


@mutant("student", "pads to 65 tokens, asked for a multiple of 16")
class PadsByOne(Small):
    def collate(self, encoded: Sequence[Encoded], multiple_of: int = 1) -> dict[str, Tensor]:
        batch = super().collate(encoded)
        more = nn.functional.pad(batch["ids"], (0, 1)), nn.functional.pad(batch["mask"], (0, 1))
        return dict(zip(("ids", "mask"), more, strict=True)) if multiple_of > 1 else batch


class Changed(Small):
    """Other outputs than the right ones."""

    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        return self.changed(super().forward(batch, hidden), batch)

    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        return outputs


@mutant("student", r"gives logits of the shape \[21, 3\]")
class OneMoreClass(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.logits = torch.cat([outputs.logits, outputs.logits[:, :1]], 1)
        return outputs


@mutant("student", "gives logits that are not finite float32")
class HalfLogits(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.logits = outputs.logits.half()
        return outputs


@mutant("student", r"gives the layers \[0, 1\] of \[0, 1\]|and none was asked for")
class EveryLayer(Small):
    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        return super().forward(batch, (0, 1))


@mutant("student", r"gives the layers \[0\] of \[0, 1\]")
class WithoutTheLast(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.hidden.pop(1, None)
        return outputs


@mutant("student", "gives layer 0 in the shape")
class PooledStates(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.hidden = {layer: states.mean(1) for layer, states in outputs.hidden.items()}
        return outputs


@mutant("student", "gives a mask of torch.int64")
class NumbersAsMask(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.mask = batch["mask"].long()
        return outputs


@mutant("student", "gives a mask with")
class EverythingIsReal(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.mask = torch.ones_like(batch["mask"])
        return outputs


@mutant("student", "reads the positions")
class PoolsOutside(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.pooled_at = torch.full((len(outputs.logits),), 99)
        return outputs


@mutant("student", "logits alone, .* among others")
class CountsPadding(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.logits = outputs.logits + batch["ids"].shape[1] / 100
        return outputs


@mutant("student", "gives an input other states of layer 0 among others")
class StatesOfTheBatch(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        if 0 in outputs.hidden:
            outputs.hidden[0] = outputs.hidden[0] + len(outputs.logits)
        return outputs


@mutant("student", "answers the same batch in two ways in eval mode, or changes it")
class AlwaysDropsOut(Changed):
    draws = torch.Generator().manual_seed(0)

    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        outputs.logits = outputs.logits * (torch.rand(outputs.logits.shape, generator=self.draws) + 0.5)
        return outputs


@mutant("student", "answers otherwise when several threads ask")
class OneAtATime(Changed):
    lock = threading.Lock()

    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        alone = self.lock.acquire(blocking=False)
        time.sleep(0.002)
        if alone:
            self.lock.release()
            return outputs
        outputs.logits = outputs.logits + 1.0
        return outputs


@mutant("student", "has the same fingerprint after `positions.weight` has changed")
class OneFingerprint(Small):
    fingerprint = "mine"  # type: ignore[assignment]


@mutant("student", "has the fingerprint '0', then '1'")
class CountingFingerprint(Small):
    asked = -1

    @property
    def fingerprint(self) -> str:
        self.asked += 1
        return str(self.asked)


class Attributes(Small):
    """Other attributions than the right ones."""

    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        return [
            self.of(str(text), parts) for text, parts in zip(inputs, super().attribution(inputs, targets), strict=True)
        ]

    def of(self, text: str, parts: list[Attribution]) -> list[Attribution]:
        return parts


@mutant("student", "attributes Attribution.* which is none of its parts")
class AttributesTokens(Attributes):
    def of(self, text: str, parts: list[Attribution]) -> list[Attribution]:
        return [Attribution(place, place, part.score) for place, part in enumerate(parts)]


@mutant("student", "attributes the same scores to both of two classes")
class AttributesNoClass(Attributes):
    def of(self, text: str, parts: list[Attribution]) -> list[Attribution]:
        return [Attribution(part.start, part.end, abs(part.score)) for part in parts]


@mutant("student", "attributes nothing to any of its inputs")
class AttributesNothing(Attributes):
    def of(self, text: str, parts: list[Attribution]) -> list[Attribution]:
        return []


@mutant("student", "changed weights or left gradients behind in `attribution`")
class LeavesGradients(Small):
    def attribution(self, inputs: Sequence[Input], targets: Sequence[int]) -> list[list[Attribution]]:
        with torch.enable_grad():
            self(self.collate(self.encode(inputs))).logits.sum().backward()
        return super().attribution(inputs, targets)


@mutant("student", "of 'a fine film' and 'a dull old film', not")
class CountsCharacters(Small):
    def distance(self, original: Input, changed: Input) -> tuple[float, float]:
        edits = abs(len(str(original)) - len(str(changed)))
        return float(edits), edits / len(str(original))


@mutant("student", r"saved \['weights.pt'\], which may hold code")
class SavesPickles(Small):
    def save(self, folder: Path) -> None:
        super().save(folder)
        torch.save(self.state_dict(), folder / "weights.pt")


@mutant("student", "answers otherwise after `load` than before `save`")
class LoadsHalf(Small):
    def load(self, folder: Path) -> None:
        kept = copy.deepcopy(self.head.state_dict())
        super().load(folder)
        self.head.load_state_dict(kept)


@mutant("student", "raised RuntimeError while it was trained as the engine trains it")
class NoGradients(Small):
    def forward(self, batch: Mapping[str, Tensor], hidden: Sequence[int] = ()) -> Outputs:
        outputs = super().forward(batch, hidden)
        return (
            Outputs(outputs.logits.detach(), outputs.hidden, outputs.mask, outputs.pooled_at)
            if self.training
            else outputs
        )


class ForgetsDecay(EmbeddingCut):
    """Writes back rows that were set aside as they were."""

    def decayed(self, factor: float) -> None:
        """Nothing."""


@mutant("student", "has other weights after a training with its vocabulary cut than without")
class CutIsInexact(Small):
    def compact(self, encoded: Sequence[Encoded]) -> Any:
        used = {0, *(one for each in encoded for one in each.ids)}
        return ForgetsDecay(self.words, sorted(used))


@mutant("student", "gives a list as its cut")
class CutIsAList(Small):
    def compact(self, encoded: Sequence[Encoded]) -> Any:
        return [0, 1]


@mutant("student", "gives word vectors that are not of unit length")
class LongVectors(Small):
    def word_vectors(self, words: Sequence[str]) -> list[tuple[float, ...]]:
        return [tuple(2 * each for each in vector) for vector in super().word_vectors(words)]


@mutant("student", "has other gradients when blocks are recomputed")
class CheckpointsOtherwise(Changed):
    def changed(self, outputs: Outputs, batch: Mapping[str, Tensor]) -> Outputs:
        if self.checkpointing:
            outputs.logits = outputs.logits * 2
        return outputs


class Itself(Small):
    """A student that trains itself."""

    def fit(self, examples: Any, seed: int, progress: Any = lambda done, total: None) -> OwnTraining:
        self.head.bias.data += self.drawn(seed)
        return OwnTraining(steps=1)

    def drawn(self, seed: int) -> Tensor:
        return torch.randn(2, generator=torch.Generator().manual_seed(seed))


@mutant("student", options=wrong.TrainsItselfOptions)
class TrainsItselfRightly(Itself):
    """Right."""


@mutant("student", "answers otherwise when it has trained itself again", wrong.TrainsItselfOptions)
class TrainsItselfByChance(Itself):
    def drawn(self, seed: int) -> Tensor:
        return torch.randn(2, generator=DRAWS)
