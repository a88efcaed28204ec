"""codrun's engine."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from cod_runner.engine.inference import predict
from cod_runner.engine.training import train_student
from engines.contender import Trained
from engines.work import SEED, Method, Work


class Ours:
    """:func:`cod_runner.engine.training.train_student` with the teacher's stored signals."""

    methods: tuple[str, ...] = ("kd", "lwd")
    learns = True

    def __init__(self, *, used_positions: bool = False) -> None:
        self.name = "codrun, positions: used" if used_positions else "codrun"
        self.used_positions = used_positions

    def train(self, work: Work, method: Method) -> Trained:
        """The teacher is asked about every text anew, and that is counted in ``once``."""
        trained = Trained()
        model = work.student(used_positions=self.used_positions)
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            signals = work.signals(Path(folder), method)
            trained.start()
            train_student(
                work.classifier(model),
                work.examples,
                work.terms(method),
                signals,
                work.settings(method.precision),
                seed=SEED,
                device="cpu",
                progress=lambda done, total: trained.tick(),
            )
        # The first step's time began with the preparation.
        trained.once = time.process_time() - started - sum(trained.steps[1:]) - trained.steps[1]
        trained.weights = dict(model.state_dict())
        return trained

    def evaluate(self, work: Work, method: Method) -> float:
        """Seconds of one evaluation."""
        classifier = work.classifier(work.student(used_positions=self.used_positions))
        started = time.process_time()
        predict(classifier, work.evaluation, device="cpu", precision=method.precision)
        return time.process_time() - started
