"""torchdistill 1.1.5: its distillation box, as its own examples call it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch.utils.data import SequentialSampler

from cod_runner.engine.seeds import random_stream
from engines.contender import Autocast, Trained, inputs_of
from engines.work import KD_WEIGHT, SEED, TEMPERATURE, Method, Work


class TorchDistill:
    """The teacher runs in every step, since it has no cache. Its losses on hidden states average over padding too, so
    it only takes part in ``kd``."""

    name = "torchdistill"
    methods: tuple[str, ...] = ("kd",)
    learns = True

    def train(self, work: Work, method: Method) -> Trained:
        """The optimiser is torch's default AdamW; its loader collates nothing, since the batches lie ready."""
        let_torchvision_be_imported()
        from torchdistill.core.distillation import get_distillation_box

        trained = Trained()
        student = work.student()
        batches = [(inputs_of(batch), batch["labels"]) for batch in work.batches]
        models = Autocast(work.teacher, method.precision), Autocast(student, method.precision)
        box = get_distillation_box(
            *models, {"train": batches}, _configuration(work, method), torch.device("cpu"), None, False, 1
        )
        box.pre_epoch_process(epoch=0)
        loader = iter(box.train_data_loader)  # draws a number, which would shift dropout
        with random_stream(SEED, "dropout"):
            trained.start()
            for inputs, labels, more in loader:
                loss = box.forward_process(inputs, labels, more)
                box.post_forward_process(loss=loss)
                trained.tick()
        box.post_epoch_process()
        box.clean_modules()
        trained.weights = dict(student.state_dict())
        return trained


def _configuration(work: Work, method: Method) -> dict[str, Any]:
    settings = work.settings(method.precision)
    model = {
        "forward_proc": "forward_batch_only_as_kwargs",
        "forward_hook": {"output": ["logits"]},
    }
    return {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": SequentialSampler},
            "kwargs": {"batch_size": None},
        },
        "teacher": {**model, "requires_grad": False},
        "student": model,
        "optimizer": {"key": "AdamW", "kwargs": {"lr": settings.lr, "weight_decay": settings.weight_decay}},
        "scheduler": {"key": "LambdaLR", "kwargs": {"lr_lambda": work.rate}, "scheduling_step": 1},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {
                "sub_terms": {
                    "kd": {
                        "criterion": {
                            "key": "KDLoss",
                            "kwargs": {
                                "student_module_path": "logits",
                                "student_module_io": "output",
                                "teacher_module_path": "logits",
                                "teacher_module_io": "output",
                                "temperature": TEMPERATURE,
                                "alpha": 1.0,
                                "beta": KD_WEIGHT,
                                "reduction": "batchmean",
                            },
                        },
                        "weight": 1.0,
                    }
                }
            },
        },
    }


def let_torchvision_be_imported() -> None:
    """torchdistill imports torchvision, whose kernels do not load beside a torch of another build, and which then
    fails for want of their names. Nothing here computes with them, so names are enough."""
    for name in ("nms", "qnms"):
        with suppress(RuntimeError):  # it is defined
            torch.library.define(f"torchvision::{name}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")
