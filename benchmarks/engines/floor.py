"""The floor: nothing but the student's passes and the optimiser, over batches and teacher outputs that lie ready."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch

from cod_runner.engine.outputs import padded
from cod_runner.engine.seeds import derived_seed, random_stream
from engines.contender import Trained, autocast, inputs_of, kd_loss, lwd_loss
from engines.work import LWD_WEIGHT, SEED, Method, Work


class Floor:
    """Forward and backward, and with ``steps`` the fused AdamW too; with ``cut`` only the embedding rows in use, with
    ``used_positions`` only the relative positions."""

    def __init__(self, name: str, *, steps: bool, cut: bool, used_positions: bool = False) -> None:
        self.name, self.learns, self.cut, self.used_positions = name, steps, cut, used_positions
        # what an optimiser adds, one method shows
        self.methods: tuple[str, ...] = ("kd", "lwd") if steps else ("kd",)

    def train(self, work: Work, method: Method) -> Trained:
        """The same loss as all others, so that with the optimiser it ends with the same weights."""
        trained = Trained()
        student = work.student(used_positions=self.used_positions).train()
        with tempfile.TemporaryDirectory() as folder:
            layers = sorted({layer for _, layer in work.mapping}) if method.lwd else []
            rows = work.signals(Path(folder), method).rows([example.input for example in work.examples], layers)
            teacher = [padded([rows[row] for row in batch], layers) for batch in work.order]
        with random_stream(derived_seed(SEED, "bind", "lwd"), "parameters"):
            projections = work.projections() if method.lwd else torch.nn.ModuleList()
        cut = work.classifier(student).compact(work.encoded) if self.cut else None
        settings = work.settings(method.precision)
        with cut or nullcontext(), random_stream(SEED, "dropout"):
            parameters = [*student.parameters(), *projections.parameters()]
            optimiser = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=0.0, fused=True)
            trained.start()
            for step, (batch, theirs) in enumerate(zip(work.batches, teacher, strict=True)):
                with autocast(method.precision):
                    ours = student(**inputs_of(batch), output_hidden_states=method.lwd)
                loss = kd_loss(ours.logits.float(), theirs.logits, batch["labels"])
                if method.lwd:
                    projected = [
                        projection(ours.hidden_states[layer].float())
                        for projection, (layer, _) in zip(projections, work.mapping, strict=True)
                    ]
                    wanted = [theirs.hidden[layer] for _, layer in work.mapping]
                    loss = loss + LWD_WEIGHT * lwd_loss(projected, wanted, batch["attention_mask"])
                loss.backward()
                if self.learns:
                    optimiser.param_groups[0]["lr"] = settings.lr * work.rate(step)
                    optimiser.step()
                optimiser.zero_grad()
                trained.tick()
        trained.weights = dict(student.state_dict())
        return trained
