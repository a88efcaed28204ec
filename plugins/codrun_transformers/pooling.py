"""An encoder under a pooling and one linear layer, in place of the classification head of its architecture.

A head of the architecture's own often stands on a pooler (a dense layer on the first token) that a checkpoint lacks or
that was trained for another task; with few texts it never learns. Sentence encoders are trained through their pooling,
and say which it is.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cod_runner.api import masked_mean
from codrun_transformers.sentence_folder import WEIGHTS, Layers, Pooling, head_folder, write_sentence_folder

_DROPOUTS = ("classifier_dropout", "seq_classif_dropout", "cls_dropout", "hidden_dropout_prob")
"""Names that configurations give the dropout before the head, the first that has a value counts."""


class PooledEncoder(nn.Module):
    """What :class:`codrun_transformers.classifier.TextClassifier` needs of a model of transformers: configuration,
    backbone, input embeddings, and logits."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: Any, pooling: Pooling, classes: int, *, normalises: bool = False) -> None:
        """``encoder`` is a model without a head (``AutoModel``); its pooler, which nothing would read, is removed.
        With ``normalises`` the linear layer reads vectors of length 1."""
        super().__init__()
        if isinstance(getattr(encoder, "pooler", None), nn.Module):
            encoder.pooler = None
        self.encoder = encoder
        self.pooling = pooling
        self.normalises = normalises
        self.dropout = nn.Dropout(_dropout(encoder.config))
        with torch.random.fork_rng():  # what is drawn here is overwritten, and must shift no other draw
            self.head = nn.Linear(encoder.config.hidden_size, classes)
        encoder.config.num_labels = classes

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **more: Any) -> Any:
        """``logits [batch, classes]`` of token ids, or of ``inputs_embeds``."""
        given = {"attention_mask": attention_mask, **more}
        if input_ids is not None:
            given["input_ids"] = input_ids
        states = self.encoder(**given)[0]
        vectors = self._pooled(states.float(), attention_mask)
        if self.normalises:
            vectors = nn.functional.normalize(vectors, dim=-1)
        return SimpleNamespace(logits=self.head(self.dropout(vectors)))

    def _pooled(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """``[batch, width]`` of ``[batch, tokens, width]``."""
        if self.pooling == "mean":
            return masked_mean(states, mask)
        mask = torch.ones(states.shape[:2], dtype=torch.long, device=states.device) if mask is None else mask
        return states[torch.arange(len(states), device=states.device), self.reads_at(mask)]

    def reads_at(self, mask: Tensor) -> Tensor:
        """``[batch]``: the first or the last real token, for the poolings that read one; ``mask [batch, tokens]``."""
        positions = torch.arange(mask.shape[1], device=mask.device)
        return (mask if self.pooling == "cls" else positions * mask).long().argmax(dim=1)

    def save_modules(self, folder: Path, max_length: int) -> None:
        """Beside the saved encoder: pooling and linear layer, as modules of sentence-transformers."""
        takes_pooler = "add_pooling_layer" in inspect.signature(type(self.encoder)).parameters
        layers = Layers(self.pooling, self.normalises, self.head.in_features, self.head.out_features)
        write_sentence_folder(folder, layers, max_length, {"add_pooling_layer": False} if takes_pooler else {})
        weights = {f"linear.{name}": each.detach().cpu().contiguous() for name, each in self.head.named_parameters()}
        save_file(weights, head_folder(folder, self.normalises) / WEIGHTS)

    def load_head(self, place: Path) -> None:
        """From the folder of the linear layer. Raises what safetensors and torch raise."""
        found = load_file(place / WEIGHTS)
        self.head.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in found.items()})

    @property
    def config(self) -> Any:
        return self.encoder.config

    @property
    def base_model(self) -> Any:
        return self.encoder

    def get_input_embeddings(self) -> Any:
        return self.encoder.get_input_embeddings()

    def _init_weights(self, module: nn.Module) -> None:
        """As the architecture initialises its own head."""
        self.encoder._init_weights(module)


def load_weights(model: Any, folder: Path) -> None:
    """Into a model as ``save`` wrote it. Raises what safetensors and torch raise."""
    model_of_transformers(model).load_state_dict(load_file(folder / WEIGHTS))
    if isinstance(model, PooledEncoder):
        model.load_head(head_folder(folder, model.normalises))


def model_of_transformers(model: Any) -> Any:
    """The model itself, or the encoder under a pooling."""
    return model.encoder if isinstance(model, PooledEncoder) else model


@torch.no_grad()
def is_causal(encoder: Any) -> bool:
    """Whether what an encoder says of a text's first token is the same whatever follows."""
    table = encoder.get_input_embeddings()
    first, second, third = (number % table.num_embeddings for number in (1, 2, 3))
    ids = torch.tensor([[first, second], [first, third]], device=table.weight.device)
    states = encoder.eval()(input_ids=ids, attention_mask=torch.ones_like(ids))[0][:, 0].float()
    return torch.allclose(states[0], states[1], atol=1e-4)


def _dropout(config: Any) -> float:
    shares = (getattr(config, name, None) for name in _DROPOUTS)
    return float(next((share for share in shares if share is not None), 0.0))
