"""A plain loop in the shape of the published code: the teacher runs in every step, AdamW is torch's default."""

from __future__ import annotations

import time

import torch

from cod_runner.engine.seeds import derived_seed, random_stream
from engines.contender import Trained, autocast, inputs_of, kd_loss, lwd_loss
from engines.work import LWD_WEIGHT, SEED, Method, Work


class Plain:
    """The loop that one writes; it evaluates after each epoch."""

    name = "plain loop"
    methods: tuple[str, ...] = ("kd", "lwd")
    learns = True

    def train(self, work: Work, method: Method) -> Trained:
        """Without its evaluation, which :meth:`evaluate` times."""
        trained = Trained()
        started = time.process_time()
        student, teacher = work.student().train(), work.teacher
        with random_stream(derived_seed(SEED, "bind", "lwd"), "parameters"):  # as codrun draws them
            projections = work.projections() if method.lwd else torch.nn.ModuleList()
        settings = work.settings(method.precision)
        parameters = [*student.parameters(), *projections.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, work.rate)
        with random_stream(SEED, "dropout"):
            trained.start()
            for batch in work.batches:
                with autocast(method.precision):
                    with torch.no_grad():
                        theirs = teacher(**inputs_of(batch), output_hidden_states=method.lwd)
                    ours = student(**inputs_of(batch), output_hidden_states=method.lwd)
                loss = kd_loss(ours.logits.float(), theirs.logits.float(), batch["labels"])
                if method.lwd:
                    projected = [
                        projection(ours.hidden_states[layer].float())
                        for projection, (layer, _) in zip(projections, work.mapping, strict=True)
                    ]
                    wanted = [theirs.hidden_states[layer].float() for _, layer in work.mapping]
                    loss = loss + LWD_WEIGHT * lwd_loss(projected, wanted, batch["attention_mask"])
                loss.backward()
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
                trained.tick()
        trained.once = time.process_time() - started - sum(trained.steps)
        trained.weights = dict(student.state_dict())
        return trained

    @torch.no_grad()
    def evaluate(self, work: Work, method: Method) -> float:
        """Seconds of one evaluation, batches in the order of the file."""
        student, batches = work.student().eval(), work.evaluation_batches
        started = time.process_time()
        for batch in batches:
            with autocast(method.precision):
                student(**batch).logits.argmax(-1).tolist()
        return time.process_time() - started
