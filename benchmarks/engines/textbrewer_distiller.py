"""TextBrewer 0.2.1.post1: its basic distiller, with its cache of the teacher's logits and without it."""

from __future__ import annotations

import random
import tempfile
import time
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from cod_runner.engine.seeds import random_stream
from engines.contender import Autocast, Trained
from engines.work import KD_WEIGHT, SEED, TEMPERATURE, Method, Work


class TextBrewer:
    """Its loss is the cross-entropy with the teacher's tempered probabilities, without the temperature's square: of the
    same gradient, times that square, as KL. It averages hidden states over the tokens of a whole batch, which is
    another loss, so it only takes part in ``kd``."""

    methods: tuple[str, ...] = ("kd",)
    learns = True

    def __init__(self, *, caches: bool) -> None:
        self.name = "TextBrewer, its cache" if caches else "TextBrewer"
        self.caches = caches

    def train(self, work: Work, method: Method) -> Trained:
        """The optimiser is the one that its examples take, torch's default AdamW. Neither its checkpoints nor the
        teacher's logits in its cache are counted as steps."""
        from textbrewer import BasicDistiller, DistillationConfig, TrainingConfig

        trained = Trained()
        student = work.student()
        settings = work.settings(method.precision)
        distilling = DistillationConfig(
            temperature=TEMPERATURE,
            kd_loss_weight=KD_WEIGHT * TEMPERATURE**2,
            hard_label_weight=1.0,
            is_caching_logits=self.caches,
        )
        with tempfile.TemporaryDirectory() as folder:
            training = TrainingConfig(device="cpu", output_dir=folder)
        models = Autocast(work.teacher, method.precision), Autocast(student, method.precision)
        distiller = BasicDistiller(training, distilling, *models, _adaptor, _adaptor)
        _time_steps(distiller, trained)
        optimiser = torch.optim.AdamW(student.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        # The cache keeps its batches for ever and shuffles their order; here all epochs are one, in the work's order.
        with distiller, random_stream(SEED, "dropout"), mock.patch.object(random, "shuffle"):
            started = time.process_time()
            distiller.train(
                optimiser,
                work.batches,
                num_epochs=1,
                scheduler_class=torch.optim.lr_scheduler.LambdaLR,
                scheduler_args={"lr_lambda": work.rate},
            )
            trained.tick()
        del trained.steps[0]  # from the start to the first step
        asked = (time.process_time() - started - sum(trained.steps)) / work.epochs
        trained.once = asked if self.caches else 0.0
        trained.weights = dict(student.state_dict())
        return trained


def _time_steps(distiller: Any, trained: Trained) -> None:
    """A step lasts from one call of ``train_on_batch`` to the next."""
    train_on_batch = distiller.train_on_batch

    def timed(batch: Any, arguments: Any) -> Any:
        trained.tick()
        return train_on_batch(batch, arguments)

    distiller.train_on_batch = timed
    distiller.save_and_callback = lambda *arguments: None


def _adaptor(batch: dict[str, Tensor], outputs: Any) -> dict[str, Tensor]:
    return {"logits": outputs.logits, "losses": outputs.loss}
