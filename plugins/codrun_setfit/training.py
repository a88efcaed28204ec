"""SetFit's own training, by its library: repeatable, silent, with nothing sent and nothing left behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import setfit
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from setfit import logging
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from transformers import TrainerCallback
from transformers.trainer_callback import DefaultFlowCallback

from cod_runner.api import environment_variables, quiet_transformers
from codrun_setfit.options import SetFitOptions


def encoder_of(folder: Path, device: str) -> SentenceTransformer:
    """All of the classifier in ``folder`` but its linear layer."""
    with _generators_kept(), quiet_transformers():
        whole = SentenceTransformer(str(folder), device=device, local_files_only=True)
        return SentenceTransformer(modules=list(whole)[:-1], device=device)


def trained(
    body: SentenceTransformer,
    texts: Sequence[str],
    labels: Sequence[int],
    options: SetFitOptions,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[LogisticRegression, int, float]:
    """(regression on its vectors, steps, mean loss of the pairs); ``body`` is trained in place."""
    device = str(body.device)
    # Sums over threads round differently, and a cluster's workers have other numbers of them than the run's process.
    one_thread = threadpool_limits(1, user_api="blas")
    with (
        one_thread,
        _generators_kept(),
        quiet_transformers(),
        _quiet_setfit(),
        _trained_on(device),
        TemporaryDirectory() as folder,
    ):
        torch.manual_seed(seed)
        model = setfit.SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
        rows = Dataset.from_dict({"text": list(texts), "label": list(labels)})
        trainer = setfit.Trainer(model=model, args=_arguments(options, seed, folder), train_dataset=rows)
        inner = trainer.st_trainer
        inner.args.dataloader_pin_memory = torch.device(device).type == "cuda"
        # The others print, draw bars, write model cards or report to services.
        inner.callback_handler.callbacks = [DefaultFlowCallback(), _Steps(progress)]
        trainer.train()
        return model.model_head, inner.state.global_step, float(inner.state.log_history[-1]["train_loss"])


def _arguments(options: SetFitOptions, seed: int, folder: str) -> setfit.TrainingArguments:
    return setfit.TrainingArguments(
        output_dir=folder,
        batch_size=options.batch_size,
        num_epochs=options.epochs,
        num_iterations=options.iterations,
        body_learning_rate=options.lr,
        seed=seed % 2**32,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        show_progress_bar=False,
    )


class _Steps(TrainerCallback):
    """Shows the bar how far the pairs are."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._progress(state.global_step, state.max_steps)


@contextmanager
def _generators_kept() -> Iterator[None]:
    """The library seeds every generator of random numbers; outside they go on as if it had not."""
    ours, numpys = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(ours)
            numpy.random.set_state(numpys)


@contextmanager
def _quiet_setfit() -> Iterator[None]:
    from datasets.utils import logging as bars

    level, shown = logging.get_verbosity(), bars.is_progress_bar_enabled()
    logging.set_verbosity_error()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            bars.enable_progress_bar()


@contextmanager
def _trained_on(device: str) -> Iterator[None]:
    """Trainers take a GPU that is there unless told otherwise, and ask wandb, mlflow and the like."""
    told = {"WANDB_DISABLED": "true", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if torch.device(device).type == "cpu":
        told["ACCELERATE_USE_CPU"] = "true"
    with environment_variables(told):
        yield
