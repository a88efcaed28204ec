"""Losses, each wrong in one thing."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import mutant_options as wrong
import torch
from mutant_heavy_options import Heavy
from mutant_table import mutant
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, BuildContext, Options, Outputs


@mutant("loss")
class SquaredDifference(nn.Module):
    """Right."""

    def __init__(self, options: Any, context: BuildContext) -> None:
        super().__init__()
        self.scale = getattr(options, "scale", 1.0)

    def bind(self, binding: Binding) -> None:
        """Nothing to create."""

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return self.scale * (student.logits - teacher.logits).square().mean(-1)


for broken in (
    ("says `summary` nothing", {"summary": " "}, "has no summary"),
    ("build", {"build": "mutants_loss"}, "has the build `mutants_loss`, which is not `module:attribute`"),
    ("attribute", {"build": "mutants_loss:Nowhere"}, "has the build `mutants_loss:Nowhere`, which cannot be imported"),
):
    mutant("loss", broken[2], **broken[1])(SquaredDifference)  # type: ignore[arg-type]
for options, sentence in (
    (Heavy, "imports huggingface_hub when its module is imported"),
    (wrong.HeavyIdentity, "imports huggingface_hub in `identity` of its options"),
    (wrong.OtherEachTime, r"has the identity \{'number': 0\}, and then"),
    (wrong.NotJson, "has an identity that JSON cannot spell"),
    (wrong.NoDict, "has an identity of the type list"),
    (wrong.ScaleLeftOut, "gives other results with `scale: 0.5` than with `scale: 1.0`, and the same identity"),
    (wrong.NoTeacher, "answers `uses_teacher` with False, and its values depend on the teacher"),
    (wrong.LabelsAlone, "says that it reads labels alone, and reads the teacher"),
    (wrong.TwoLayers, "names layer 4 of the teacher, and no value depends on it"),
    (wrong.OneLayer, "names layer 2 of the student, and no value depends on it"),
):
    mutant("loss", sentence, options)(SquaredDifference)
mutant("loss", options=wrong.Scaled)(SquaredDifference)


@mutant("loss", r"gave the shape \[\] for 5 examples, not one value per example")
class MeanOfAll(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch).mean()


@mutant("loss", r"gave the shape \[\] for 1 examples")
class Squeezed(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch).squeeze()


@mutant("loss", "gave values in float64")
class Double(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch).double()


@mutant("loss", "gave list .*, no tensor")
class Listed(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Any:
        return super().forward(student, teacher, batch).tolist()


@mutant("loss", "gave values that are not finite")
class Infinite(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch) - torch.log(torch.zeros(len(batch.ids)))


@mutant("loss", "raised ZeroDivisionError in `forward`: ")
class Raises(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch) / (1 // 0)


@mutant("loss", "changed the outputs that it was given")
class ShiftsItsInputs(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        teacher.logits += 0.1
        return super().forward(student, teacher, batch)


@mutant("loss", "changed the labels of the batch")
class ChangesLabels(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        if isinstance(batch.labels, Tensor):
            batch.labels += 1
        return super().forward(student, teacher, batch)


@mutant("loss", "counts the rest of the batch")
class AveragesTheBatch(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch).mean().expand(len(batch.ids))


@mutant("loss", "gave other values when it was asked again")
class Counts(SquaredDifference):
    times = 0

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        self.times += 1
        return super().forward(student, teacher, batch) * self.times


@mutant("loss", "changed the random generator of random while it was bound")
class DrawsFromTheProcess(SquaredDifference):
    def bind(self, binding: Binding) -> None:
        self.scale = random.random()


DRAWN = random.Random(0)


@mutant("loss", "gave other values when it was bound again with the same seed")
class OtherEachBind(SquaredDifference):
    def bind(self, binding: Binding) -> None:
        self.scale = DRAWN.random()


@mutant("loss", "gives values that do not depend on the student")
class Detached(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(Outputs(student.logits.detach()), teacher, batch)


@mutant("loss", "has a gradient that is not that of its value")
class HalfTheGradient(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        half = student.logits.detach() * 0.5 + student.logits * 0.5
        return super().forward(Outputs(half), teacher, batch)


@mutant("loss", "gives other values without gradients")
class QuietIsOther(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch) * (2.0 if torch.is_grad_enabled() else 1.0)


@mutant("loss", "has the parameter `unused`, which gets no gradient")
class NeverTrains(SquaredDifference):
    def bind(self, binding: Binding) -> None:
        self.unused = nn.Parameter(torch.ones(1))


@mutant("loss", "has the learning rate -1")
class Backwards(SquaredDifference):
    learning_rate = -1


@mutant("loss", "says `needs_labels = False`, and its values depend on labels", wrong.NoTeacher)
class ReadsLabels(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(student.logits, batch.labels, reduction="none")


@mutant("loss", options=wrong.NoTeacher)
class CrossEntropy(ReadsLabels):
    """Right."""

    needs_labels = True


@mutant("loss", "answers `uses_teacher` with True, and its values do not depend on the teacher")
class HasNoTeacher(CrossEntropy):
    """Its options say otherwise."""


@mutant("loss", "says `needs_labels = True`, and its values do not depend on labels")
class NeedsNoLabels(SquaredDifference):
    needs_labels = True


@mutant("loss", "cannot do with rows that have no label")
class LooksAtLabels(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return super().forward(student, teacher, batch) + 0.0 * batch.labels.float()


@mutant("loss", "reads layer 2 of the student, which its options do not name")
class ReadsUnnamed(SquaredDifference):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        return student.hidden[2].square().mean((1, 2))


@mutant("loss", options=wrong.TwoLayers)
class ComparesMeans(SquaredDifference):
    """Right: the means over real tokens."""

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        ours, theirs = self.mean(student, 2), self.mean(teacher, 4)
        return (ours.mean(-1) - theirs.mean(-1)).square() + (ours.std(-1) - theirs.std(-1)).square()

    def mean(self, outputs: Outputs, layer: int) -> Tensor:
        assert outputs.mask is not None
        real = outputs.mask.unsqueeze(-1).to(outputs.hidden[layer].dtype)
        return (outputs.hidden[layer] * real).sum(1) / real.sum(1)


@mutant("loss", "counts padding", wrong.TwoLayers)
class CountsPadding(ComparesMeans):
    def mean(self, outputs: Outputs, layer: int) -> Tensor:
        return outputs.hidden[layer].mean(1)


@mutant("loss", "gives padding positions of layer 2 a gradient", wrong.TwoLayers)
class PullsAtPadding(ComparesMeans):
    def mean(self, outputs: Outputs, layer: int) -> Tensor:
        assert outputs.mask is not None
        states = outputs.hidden[layer]
        behind = states * (~outputs.mask).unsqueeze(-1)
        return super().mean(outputs, layer) + (behind - behind.detach()).sum(1)


@mutant("loss", "cannot do with a teacher whose token ids are others", wrong.TwoLayers)
class ComparesPositions(ComparesMeans):
    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        assert student.mask is not None
        apart = student.hidden[2].mean(-1) - teacher.hidden[4].mean(-1) + 0.1 * (teacher.hidden[4][..., 0])
        return (apart.square() * student.mask).sum(1) / student.mask.sum(1)


@mutant("loss", "tried to reach 192.0.2.1:9 while it was built")
class CallsHome(SquaredDifference):
    def __init__(self, options: Options, context: BuildContext) -> None:
        super().__init__(options, context)
        try:
            socket.create_connection(("192.0.2.1", 9), timeout=1).close()
        except OSError:
            self.scale = 1.0


@mutant("loss", "tried to write .*left_behind.txt while it was bound")
class LeavesAFile(SquaredDifference):
    def bind(self, binding: Binding) -> None:
        Path("/a-folder-of-nobody/left_behind.txt").write_text("here")
