"""The student ``setfit``: the library trains it, and its logistic regression becomes a linear layer.

What is saved is therefore a pooled encoder like any other, without a pickle.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from cod_runner.api import BuildContext, CodrunError, Example, OwnTraining
from codrun_setfit.options import SetFitOptions
from codrun_transformers import build
from codrun_transformers.checkpoint import find_folder
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.sentence_folder import pooling_of

NEEDED = ("setfit", "sentence_transformers", "sklearn", "evaluate", "accelerate")


def build_student(options: SetFitOptions, context: BuildContext) -> SetFitStudent:
    """The untrained student, on the CPU, in eval mode. Raises :class:`CodrunError`, also where SetFit is lacking."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise CodrunError(f'the student `setfit` needs {", ".join(lacking)}; run `pip install "codrun[setfit]"`')
    base = build.build_student(options.as_encoder(), context)
    student = SetFitStudent(base.model, base.tokenizer, base.labels, base.max_length, untrained_head=True)
    student.options = options
    if options.pooling == "auto":
        folder = find_folder(options.model, options.revision, context, modules=True)
        _, modules = pooling_of(folder, options.model, "auto")
        student.model.normalises = modules is not None and modules.normalises
    return student.eval()


class SetFitStudent(TextClassifier):
    """Implements :class:`cod_runner.api.TrainsItself`."""

    options: SetFitOptions

    def fit(
        self, examples: Sequence[Example], seed: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> OwnTraining:
        """Contrastive pairs first, then the regression, on rows that all have a label.

        Raises :class:`CodrunError` for inputs other than texts, and where a class has no example.
        """
        from codrun_setfit.training import encoder_of, trained  # imports the library

        texts = [each.input for each in examples if isinstance(each.input, str)]
        labels = [each.hard_label for each in examples]
        if len(texts) < len(examples):
            raise CodrunError("setfit reads texts, and the training set holds inputs of another kind")
        absent = [name for index, name in enumerate(self.labels) if index not in labels]
        if absent:
            raise CodrunError(f"setfit needs an example of every class, and there is none of `{absent[0]}`")
        device = str(next(self.parameters()).device)
        with TemporaryDirectory(prefix="codrun-setfit-", ignore_cleanup_errors=True) as place:
            self.save(Path(place))
            body = encoder_of(Path(place), device)  # read at once, so that a kill in training leaves no weights
        regression, steps, loss = trained(body, texts, labels, self.options, seed, progress)
        self.model.encoder.load_state_dict(body[0].auto_model.state_dict())
        self._take_head(regression)
        self.to(device).eval()
        self.untrained_head = False
        return OwnTraining(steps=steps, losses={"pairs": loss})

    @torch.no_grad()
    def _take_head(self, regression: Any) -> None:
        """The head gives logits whose softmax is the regression's ``predict_proba``."""
        weights, bias = torch.tensor(regression.coef_), torch.tensor(regression.intercept_)
        if len(self.labels) == 2:  # one function z, whose sigmoid is the probability of the second class
            weights, bias = torch.cat([-weights, weights]) / 2, torch.cat([-bias, bias]) / 2
        self.model.head.weight.copy_(weights.float())
        self.model.head.bias.copy_(bias.float())
        self.train().eval()  # the weights have changed: the fingerprint is computed anew
