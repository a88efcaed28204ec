"""The work that every contender does: models of true shapes with random weights, 32 examples, the order of batches."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, DebertaV2Tokenizer

from cod_runner.api import BuildContext, Encoded, Example, TrainSettings, layer_mapping
from cod_runner.engine.batches import TrainingBatches
from cod_runner.engine.losses import WeightedTerm
from cod_runner.engine.optimisation import rate_factor
from cod_runner.engine.signals import SignalStore, TeacherSignals
from codrun_losses.kd import KD
from codrun_losses.labels import Hard
from codrun_losses.lwd import LWD
from codrun_losses.plugin import HardOptions, KDOptions, LWDOptions
from codrun_transformers.classifier import TextClassifier
from codrun_transformers.used_positions import read_used_positions

LABELS = ("negative", "positive")
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
KD_WEIGHT = LWD_WEIGHT = 20.0
TEMPERATURE = 2.0
SEED = 0
EPOCHS = 100
"""Of the published scripts, over which the learning rate falls to 0."""


@dataclass(frozen=True)
class Shapes:
    """How large the models and the data are."""

    vocabulary: int
    student: dict[str, int]
    teacher: dict[str, int]
    evaluation_rows: int
    words: tuple[int, int] = (6, 46)
    """Fewest and most words of a text; a word is one token, and two special ones come to them."""
    examples: int = 32
    batch_size: int = 8


def _blocks(layers: int, width: int, heads: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }


FULL = Shapes(128_100, student=_blocks(12, 384, 6), teacher=_blocks(12, 768, 12), evaluation_rows=872)
"""DeBERTa-v3-xsmall under DeBERTa-v3-base, a pair of the paper, and as many rows to evaluate on as SST-2 has."""
SMALL = Shapes(2_000, student=_blocks(2, 48, 4), teacher=_blocks(4, 64, 4), evaluation_rows=64)


@dataclass(frozen=True)
class Method:
    """What the student learns from: hard labels and the teacher's logits, and for ``lwd`` hidden states too."""

    name: str
    precision: str

    @property
    def lwd(self) -> bool:
        return self.name == "lwd"


class Work:
    """Models, data and order of batches, the same for all contenders."""

    def __init__(self, shapes: Shapes, epochs: int) -> None:
        """``epochs``: how many each contender trains, the first of a training of :data:`EPOCHS`."""
        self.shapes, self.epochs = shapes, epochs
        self.tokenizer = _tokenizer(shapes.vocabulary)
        self._student = self._model(shapes.student, seed=1)
        self.teacher = self._model(shapes.teacher, seed=2).eval()
        draw = random.Random(SEED)
        texts = [self._text(draw) for _ in range(shapes.examples)]
        self.examples = [Example(f"e{row}", text, row % len(LABELS)) for row, text in enumerate(texts)]
        self.evaluation = [self._text(draw) for _ in range(shapes.evaluation_rows)]

    # --- models ---------------------------------------------------------------------------------------------------

    def _model(self, blocks: dict[str, int], seed: int) -> Any:
        """Laid out as DeBERTa-v3 is, its dropout included."""
        config = DebertaV2Config(
            vocab_size=self.shapes.vocabulary,
            type_vocab_size=0,
            relative_attention=True,
            max_position_embeddings=512,
            position_buckets=256,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            pooler_dropout=0,
            pooler_hidden_act="gelu",
            pooler_hidden_size=blocks["hidden_size"],
            layer_norm_eps=1e-7,
            pad_token_id=0,
            num_labels=len(LABELS),
            **blocks,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return DebertaV2ForSequenceClassification(config)

    def student(self, *, used_positions: bool = False) -> Any:
        """A fresh copy with the initial weights, as transformers knows it, or as `positions: used` has it."""
        student = copy.deepcopy(self._student)
        if used_positions:
            read_used_positions(student)
        return student

    def classifier(self, model: Any) -> TextClassifier:
        """As codrun knows it."""
        return TextClassifier(model, self.tokenizer, LABELS, 256, untrained_head=True)

    @property
    def initial_weights(self) -> dict[str, Tensor]:
        return dict(self._student.state_dict())

    @cached_property
    def mapping(self) -> list[tuple[int, int]]:
        """(student layer, teacher layer) of LWD."""
        return layer_mapping(
            "uniform", self.shapes.student["num_hidden_layers"], self.shapes.teacher["num_hidden_layers"]
        )

    def projections(self) -> nn.ModuleList:
        """Of LWD, from the student's width to the teacher's, with the weights that codrun's have."""
        width, wanted = self.shapes.student["hidden_size"], self.shapes.teacher["hidden_size"]
        return nn.ModuleList(nn.Linear(width, wanted) for _ in self.mapping)

    # --- data -----------------------------------------------------------------------------------------------------

    def _text(self, draw: random.Random) -> str:
        words = draw.randint(*self.shapes.words)
        return " ".join(f"w{draw.randrange(self.shapes.vocabulary - len(SPECIAL))}" for _ in range(words))

    @cached_property
    def _batches(self) -> TrainingBatches:
        return TrainingBatches(self.classifier(self._student), self.examples, self.shapes.batch_size, "cpu")

    @cached_property
    def order(self) -> list[list[int]]:
        """Row numbers of each step's batch, over all epochs."""
        return [rows for number in range(1, self.epochs + 1) for rows in self._batches.of_pass(number, SEED, "order")]

    @property
    def encoded(self) -> Sequence[Encoded]:
        return self._batches.encoded

    @property
    def steps_per_epoch(self) -> int:
        return len(self.order) // self.epochs

    @cached_property
    def batches(self) -> list[dict[str, Tensor]]:
        """What each step feeds to a model of transformers: ``input_ids``, ``attention_mask``; and ``labels``."""
        made = [self._batches.batch(rows) for rows in self.order]
        return [{**batch.inputs, "labels": batch.labels} for batch in made]

    @cached_property
    def evaluation_batches(self) -> list[dict[str, Tensor]]:
        """Batches of 32 in the order of the file, as a plain loop evaluates."""
        classifier = self.classifier(self._student)
        encoded = classifier.encode(self.evaluation)
        return [classifier.collate(encoded[start : start + 32]) for start in range(0, len(encoded), 32)]

    # --- what the training is -------------------------------------------------------------------------------------

    def settings(self, precision: str, steps: int | None = None) -> TrainSettings:
        """Those of the published scripts: AdamW without decay, 6e-5, falling in a line."""
        return TrainSettings(steps=steps or len(self.order), batch_size=self.shapes.batch_size, precision=precision)

    def rate(self, step: int) -> float:
        """The share of the peak learning rate in a step, from 0."""
        return rate_factor(self.settings("fp32"), step, len(self.order))

    def terms(self, method: Method) -> list[WeightedTerm]:
        """codrun's own losses."""
        context = BuildContext(labels=LABELS, seed=SEED)
        lwd = LWDOptions()
        terms = [
            WeightedTerm("hard", Hard(HardOptions(), context), 1.0),
            WeightedTerm("kd", KD(KDOptions(temperature=TEMPERATURE), context), KD_WEIGHT),
        ]
        return terms + ([WeightedTerm("lwd", LWD(lwd, context), LWD_WEIGHT, lwd.needs)] if method.lwd else [])

    def signals(self, folder: Path, method: Method) -> TeacherSignals:
        """What the teacher says of the examples, asked once and stored in ``folder``."""
        teacher = self.classifier(self.teacher)
        store = SignalStore(folder)
        layers = [theirs for _, theirs in self.mapping] if method.lwd else []
        store.add(teacher, [example.input for example in self.examples], layers, device="cpu")
        return store.reader(teacher.fingerprint)


def _tokenizer(vocabulary: int) -> Any:
    """Words `w0`, `w1`, ... each of them one token."""
    words = [(f"▁w{number}", -5.0) for number in range(vocabulary - len(SPECIAL))]
    return DebertaV2Tokenizer(vocab=[*((piece, 0.0) for piece in SPECIAL), *words])
