"""TED (Liang et al., "Less is more: task-aware layer-wise distillation", arXiv 2210.01351).

Stage 1, in ``bind``: a filter behind each chosen layer of teacher and student learns, with both models frozen, to
keep what the task needs. Stage 2, in ``forward``: the student is pulled towards the teacher in what the filters let
through; its own filters go on training, the teacher's stand still.

Stage 1 minimises what the paper says, but not as its published code does (github cliang1453/task-aware-distillation,
`learn_filters_glue_no_trainer.py`, which CoD's scripts run):

- pooler: dropout, linear, GELU, dropout there; linear, tanh here;
- initial values: normal of deviation 0.02, biases zero there, as all of DeBERTa's; `nn.Linear`'s own here;
- schedule: a rate that falls to zero there; a constant one here;
- mode: the frozen models drop out there (`model.train()`); here they do not, so that each text is read once;
- data: CoD's scripts fit filters to seed 0's training set, for all seeds; here each cell's own are fitted to its own.

At k = 8 the filters hardly move, there or here: 50 passes are 50 steps at 2e-5, in which those of MiniLM, six layers to
three, move by 2.8% (the teacher's) and 2.2% (the student's) of their norm, and the cross-entropy behind them falls from
0.69 to 0.62 (means of 3 seeds; in the 400 steps of k = 64 they move by 5.4% and 4.3%). TED is then little more than a
match of random projections; `filter_lr` and `filter_epochs` change that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cod_runner.api import Batch, Binding, BuildContext, CodrunError, Outputs, head_pooled, masked_mean
from codrun_ted.filters import Filters, TaskHeads, task_loss
from codrun_ted.plugin import TEDOptions


class TED(nn.Module):
    """Mean squared error between teacher's and student's filtered hidden states, over real tokens and layers."""

    student_filters: Filters
    teacher_filters: Filters
    alignment_hint = "give it `pool: mean` or `pool: cls`, which compare one vector per text"

    def __init__(self, options: TEDOptions, context: BuildContext) -> None:
        super().__init__()
        self.options = options
        self.aligned = options.pool == "none"
        self.learning_rate = options.learning_rate
        self.mapping: list[tuple[int, int]] = []

    def bind(self, binding: Binding) -> None:
        """Stage 1. What it learns belongs to this cell's data set, k, arm and seed, and is cached under its key."""
        self.mapping = self.options.mapping(binding.teacher, binding.student)
        width = self.options.width or binding.teacher.width
        layers, kind = len(self.mapping), self.options.filter
        self.teacher_filters = Filters(layers, binding.teacher.width, width, kind)
        self.student_filters = Filters(layers, binding.student.width, width, kind)
        both = nn.ModuleDict({"teacher": self.teacher_filters, "student": self.student_filters})
        both.to(binding.device)

        def learn() -> dict[str, Tensor]:
            heads = [TaskHeads(layers, width, binding.student.classes).to(binding.device) for _ in range(2)]
            self._learn_the_task(binding, *heads)
            return {name: value.detach().clone() for name, value in both.state_dict().items()}

        both.load_state_dict(binding.cache("filters", learn))
        self.teacher_filters.freeze()

    def _learn_the_task(self, binding: Binding, teacher_heads: TaskHeads, student_heads: TaskHeads) -> None:
        """Train filters and heads with cross-entropy on hard labels, both models frozen; over labelled rows alone.

        Frozen models say the same in every pass, so each text is read once, and of each layer only the
        vector that its filter's head looks at is held.
        """
        teacher_states, student_states, row_of = self._read_once(binding)

        def objective(batch: Batch) -> Tensor:
            rows = torch.tensor([row_of[name] for name in batch.ids]).to(teacher_states.device, non_blocking=True)
            theirs = task_loss(self.teacher_filters, teacher_heads, teacher_states[:, rows], batch.labels)
            ours = task_loss(self.student_filters, student_heads, student_states[:, rows], batch.labels)
            return theirs + ours  # the two share no parameter, so each side trains as if alone

        trained = [
            parameter
            for module in (self.teacher_filters, self.student_filters, teacher_heads, student_heads)
            for parameter in module.parameters()
        ]
        binding.fit(trained, objective, epochs=self.options.filter_epochs, lr=self.options.filter_lr, labelled=True)

    def _read_once(self, binding: Binding) -> tuple[Tensor, Tensor, dict[str, int]]:
        """Teacher's and initial student's states ``[layers, examples, width]`` and each example's column."""
        theirs: list[Tensor] = []
        ours: list[Tensor] = []
        row_of: dict[str, int] = {}
        for batch in binding.data.batches():
            for name in batch.ids:
                row_of[name] = len(row_of)
            theirs.append(_at_head(binding.data.signals(batch), [layer for _, layer in self.mapping]))
            ours.append(_at_head(binding.data.student_outputs(batch), [layer for layer, _ in self.mapping]))
        return torch.cat(theirs, 1), torch.cat(ours, 1), row_of

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> Tensor:
        """Stage 2: ``[batch]``, mean over filters, real tokens and filter width."""
        pool = _POOLS[self.options.pool]
        ours, real = pool(self.student_filters, student, [layer for layer, _ in self.mapping])
        theirs, _ = pool(self.teacher_filters, teacher, [layer for _, layer in self.mapping])
        if ours.shape != theirs.shape:
            raise CodrunError("ted met texts of unequal length on the two sides; give it `pool: mean` or `pool: cls`")
        return masked_mean((ours - theirs).square().mean((0, 3)), real)


def _at_head(outputs: Outputs, layers: list[int]) -> Tensor:
    """``[layers, batch, width]``: of each layer what the classification head reads of the last."""
    return torch.stack([head_pooled(outputs.hidden[layer], outputs.pooled_at, outputs.mask) for layer in layers])


_Pool = Callable[[Filters, Outputs, list[int]], tuple[Tensor, Tensor]]
"""What the filters let through, ``[layers, batch, vectors, width]``, and which of a text's vectors are real.

Padding is filtered too and left out afterwards: to pick real tokens, a GPU would have to be asked how many there are.
"""


def _every_token(filters: Filters, outputs: Outputs, layers: list[int]) -> tuple[Tensor, Tensor]:
    states = torch.stack([outputs.hidden[layer] for layer in layers])
    filtered = filters(states.flatten(1, 2)).unflatten(1, states.shape[1:3])
    if outputs.mask is None:
        return filtered, torch.ones(states.shape[1:3], dtype=torch.bool, device=states.device)
    return filtered, outputs.mask.bool()


def _mean_of_tokens(filters: Filters, outputs: Outputs, layers: list[int]) -> tuple[Tensor, Tensor]:
    """The mean of what the filter lets through, one vector per text."""
    filtered, real = _every_token(filters, outputs, layers)
    return masked_mean(filtered, real, dim=2)[:, :, None], real.new_ones(len(real), 1)


def _head_token(filters: Filters, outputs: Outputs, layers: list[int]) -> tuple[Tensor, Tensor]:
    filtered = filters(_at_head(outputs, layers))[:, :, None]
    return filtered, torch.ones(filtered.shape[1:3], dtype=torch.bool, device=filtered.device)


_POOLS: dict[str, _Pool] = {"none": _every_token, "mean": _mean_of_tokens, "cls": _head_token}
