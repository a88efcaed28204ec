"""A causal language model as a label scorer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cod_runner.api import Input, ModelShape, ProviderError, SettingError
from codrun_prompted.reading import Read, Reader, positions_of
from codrun_prompted.rendering import Rendering, begins

VERSION = 1
"""Of how an answer is computed; raised when older ones would not come again."""
LOW = 0.5
ENOUGH = 16
"""Texts whose mean coverage says something about a run."""

Progress = Callable[[int, int], None]
NO_PROGRESS: Progress = lambda done, total: None  # noqa: E731


@dataclass(frozen=True)
class Checkpoint:
    """A causal language model of which the configuration and the tokenizer are read."""

    name: str
    """As the recipe has it."""
    config: Any
    tokenizer: Any
    load: Callable[[], Any]
    """Reads the weights; called when the model is first asked."""
    device: str
    precision: str
    """In words, for messages."""
    decides: Any
    """JSON-able data: what identifies its content, and what else of it decides an answer."""


class PromptedTeacher:
    """Implements :class:`cod_runner.api.HiddenStateScorer`.

    A label's probability is that of its word after the prompt, all its tokens together, as in Brown et al. (2020, arXiv
    2005.14165, section 2.4), normalised over the labels; the core, not this class, takes out the prior that a prompt
    brings, where their appendix G divides by the probability of the word after a prompt without a text.
    """

    at_once = 128

    def __init__(
        self,
        checkpoint: Checkpoint,
        rendering: Rendering,
        labels: Sequence[str],
        *,
        coverage_floor: float,
        say: Callable[[str], None],
    ) -> None:
        """Raises :class:`SettingError` where the prompt alone is longer than the model reads."""
        self.labels = tuple(labels)
        text = checkpoint.config.get_text_config(decoder=True)
        self.shape = ModelShape(int(text.num_hidden_layers), int(text.hidden_size), len(self.labels))
        self._checkpoint, self._rendering, self._say = checkpoint, rendering, say
        self._name, self._floor, self._positions = checkpoint.name, coverage_floor, positions_of(checkpoint.config)
        self._reader: Reader | None = None
        self._covered, self._asked, self._shortened_said, self._coverage_said = 0.0, 0, False, False
        spelled = [VERSION, checkpoint.decides, rendering.prompt.fingerprint, rendering.settings]
        self._fingerprint = hashlib.sha256(json.dumps(spelled, sort_keys=True).encode()).hexdigest()
        self._tokens = sorted({token for answer in rendering.answers for token in answer})
        self._refuse_too_long(rendering.rows([""]), "")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the model, its precision, the prompt with its shots, and the answers' tokens, hex."""
        return self._fingerprint

    def price(self, inputs: Sequence[Input]) -> float | None:
        """Nothing is paid."""
        return 0.0

    def score(self, inputs: Sequence[Input], progress: Progress = NO_PROGRESS) -> Tensor:
        """Log-probabilities of the labels, ``[inputs, classes]``."""
        return self.states(inputs, (), progress)[0]

    def states(
        self, inputs: Sequence[Input], layers: Sequence[int], progress: Progress = NO_PROGRESS
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """The same, and hidden states at the position whose logits say what the answer begins with: numbered as
        transformers does, 0 what enters block 1, i what leaves block i, the last one after the final norm."""
        if not inputs:
            return torch.zeros(0, len(self.labels)), {layer: torch.zeros(0, self.shape.width) for layer in layers}
        rendering = self._rendering
        texts, shortened = rendering.texts(inputs)
        self._say_shortened(shortened)
        rows = rendering.rows(texts)
        self._refuse_too_long(rows, max(texts, key=len))
        each = len(rendering.paths)
        read = self._model.read(
            [row for of_text in rows for row in of_text],
            self._tokens,
            max(map(len, rendering.paths)) + 1,
            layers,
            lambda done: progress(done // each, len(texts)),
        )
        raw = torch.stack([self._answered(read[start : start + each]) for start in range(0, len(read), each)])
        self._judge_coverage(raw)
        hidden = [found.hidden for found in read[::each]]
        states = {
            layer: torch.stack([of_text[place] for of_text in hidden if of_text is not None])
            for place, layer in enumerate(layers)
        }
        return raw - raw.logsumexp(-1, keepdim=True), states

    def _answered(self, read: Sequence[Read]) -> Tensor:
        """``[classes]``: the log-probability of each answer, token by token, from the row that goes on as it does."""
        return torch.stack([self._whole(answer, read) for answer in self._rendering.answers])

    def _whole(self, answer: tuple[int, ...], read: Sequence[Read]) -> Tensor:
        row = next(row for row, path in enumerate(self._rendering.paths) if begins(answer[:-1], path))
        steps = [read[row].logprobs[step, self._tokens.index(token)] for step, token in enumerate(answer)]
        return torch.stack(steps).sum()

    @property
    def _model(self) -> Reader:
        """The model, loaded when it is first asked."""
        if self._reader is None:
            model, tokenizer = self._checkpoint.load(), self._checkpoint.tokenizer
            rows = model.get_input_embeddings().num_embeddings
            if len(tokenizer) > rows:
                raise SettingError(
                    f"the tokenizer of `{self._name}` has {len(tokenizer)} ids, but its embedding table has "
                    f"{rows} rows; fetch or copy the model again",
                    "model",
                )
            padding = next((each for each in (tokenizer.pad_token_id, tokenizer.eos_token_id) if each is not None), 0)
            self._reader = Reader(
                model, self._rendering.shared, device=self._checkpoint.device, padding=int(padding), name=self._name
            )
        return self._reader

    # --- what the user should know ----------------------------------------------------------------------------------

    def _refuse_too_long(self, rows: Sequence[Sequence[Any]], text: str) -> None:
        longest = max(len(row.ids) for of_text in rows for row in of_text)
        if longest > self._positions:
            shots = len(self._rendering.prompt.shots)
            with_shots = f"with {shots} shot{'' if shots == 1 else 's'}"
            what = f"with a text of {len(text)} characters" if text else "without a text"
            raise SettingError(
                f"the prompt {with_shots} takes {longest} tokens {what}, and `{self._name}` reads at most "
                f"{self._positions}; give fewer `shots`, or a smaller `max_length` of a text",
                "shots" if shots else "max_length",
            )

    def _say_shortened(self, shortened: int) -> None:
        if shortened and not self._shortened_said:
            self._shortened_said = True
            self._say(f"`{self._name}` reads no more than `max_length` tokens of a text; some texts are longer")

    def _judge_coverage(self, raw: Tensor) -> None:
        """Say once how much of the probability the labels' words take, and end the run where that is too little."""
        self._covered += float(raw.exp().sum())
        self._asked += len(raw)
        if self._asked < ENOUGH:
            return
        mean = self._covered / self._asked
        form = "a chat" if self._rendering.chat else "a continued text"
        told = (
            f"`{self._name}` ({form}, {self._checkpoint.precision}) gives the label words {mean:.2f} of the "
            f"probability, on average over {self._asked} texts"
        )
        cures = "choose `words` that it would say, the other `form`, or more `shots`"
        if mean < self._floor:
            raise ProviderError(f"{told}, which is below `coverage_floor: {self._floor:g}`; {cures}")
        if not self._coverage_said:
            self._coverage_said = True
            self._say(told if mean >= LOW else f"{told}, so that its answers say little; {cures}")
