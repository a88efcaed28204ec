"""Texts as points: mean-pooled hidden states of any encoder, kept in the store. Importing it loads no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cod_runner.checkpoints import checkpoint_folder, file_digests
from cod_runner.errors import CodrunError
from cod_runner.files import file_written_whole
from cod_runner.fixed_batches import FixedBatch, fixed_batches, one_thread
from cod_runner.hidden_states import masked_mean
from cod_runner.hugging_face import fetched_checkpoint, pretrained
from cod_runner.machine import cores

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
"""Of the vectors and the file that holds them; raised when older ones would not come again."""


class TextEncoder:
    """The mean over a text's tokens of an encoder's last hidden states (Reimers and Gurevych, 2019, arXiv 1908.10084),
    in float32. A text's vector depends on no other text.

    ``model`` is a ``CheckpointOption``; it is looked for at once and loaded when the first vector is computed. With
    ``store``, the store's root, the vectors of each set of texts are kept. Raises :class:`CodrunError` if the model is
    not there, lacks weights, or is an encoder-decoder.
    """

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        *,
        max_length: int = 256,
        device: str = "cpu",
        offline: bool = False,
        store: Path | None = None,
        say: Callable[[str], None] = lambda sentence: None,
        option: str = "model",
    ) -> None:
        folder = checkpoint_folder(model, option)
        self._folder = folder or fetched_checkpoint(model, revision, offline=offline, say=say)
        self._name, self._max_length, self._device, self._store, self._say = model, max_length, device, store, say
        self._kept: dict[str, Tensor] = {}
        self._loaded: tuple[Any, Any] | None = None

    def embed(self, texts: Sequence[str]) -> Tensor:
        """``[texts, width]``, float32, on the CPU; zeros for a text that has no tokens."""
        import torch

        if not texts:
            return torch.zeros(0, 0)
        distinct = sorted(set(texts))
        key = self._key(distinct)
        if key not in self._kept:
            path = None if self._store is None else self._store / "embeddings" / f"{key}.safetensors"
            self._kept[key] = self._computed(distinct) if path is None else self._stored(path, distinct)
        row = {text: number for number, text in enumerate(distinct)}
        return self._kept[key][torch.tensor([row[text] for text in texts])]

    def _stored(self, path: Path, texts: list[str]) -> Tensor:
        """The vectors out of the store; computed and put there if it has none, or if they are damaged."""
        import torch
        from safetensors import SafetensorError

        from cod_runner.checked_tensors import load_checked, save_checked

        try:
            vectors = load_checked(path).get("vectors")
            if vectors is None or vectors.dtype != torch.float32 or vectors.dim() != 2 or len(vectors) != len(texts):
                raise ValueError("it holds something else")
            return vectors
        except FileNotFoundError:
            pass
        except (OSError, SafetensorError, ValueError) as error:
            self._say(f"the stored embeddings {path} cannot be used ({error}); they are computed again")
        vectors = self._computed(texts)
        with file_written_whole(path) as temporary:
            save_checked({"vectors": vectors}, temporary)
        return vectors

    def _computed(self, texts: list[str]) -> Tensor:
        """Batches of a fixed shape, each on one CPU thread, since more of them would add sums in another order."""
        import torch

        model, tokenizer = self._model
        positions = getattr(model.config, "max_position_embeddings", None) or self._max_length + 2
        longest = min(self._max_length, max(1, positions - 2))  # RoBERTa's positions begin at 2
        padding = tokenizer.pad_token_id or 0
        encoded = [list(tokenizer(text, truncation=True, max_length=longest)["input_ids"]) for text in texts]

        def computed(batch: FixedBatch) -> tuple[list[int], Tensor]:
            torch.set_num_threads(1)  # holds for the thread that calls it
            length = min(batch.length, longest)
            rows = [encoded[row] for row in batch.rows]
            ids = torch.tensor([row + [padding] * (length - len(row)) for row in rows], device=self._device)
            real = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=self._device)
            with torch.no_grad():
                states = model(input_ids=ids, attention_mask=real).last_hidden_state.float()
                return batch.positions, masked_mean(states, real)[: len(batch.positions)].cpu()

        at_once = cores() if torch.device(self._device).type == "cpu" else 1
        with one_thread(), ThreadPoolExecutor(at_once) as pool:
            parts = list(pool.map(computed, fixed_batches([len(ids) for ids in encoded])))
        vectors = torch.empty(len(texts), parts[0][1].shape[1])
        for places, part in parts:
            vectors[places] = part
        return vectors

    @property
    def _model(self) -> tuple[Any, Any]:
        """Model and tokenizer, loaded at the first call."""
        if self._loaded is None:
            from transformers import AutoModel

            model, tokenizer, _ = pretrained(AutoModel, self._folder, self._name, whole=True)
            if model.config.is_encoder_decoder:
                raise CodrunError(f"`{self._name}` is an encoder-decoder; name an encoder or a decoder")
            self._loaded = model.eval().to(self._device), tokenizer
        return self._loaded

    def _key(self, texts: list[str]) -> str:
        """32 hex digits that say whose vectors these are, and of which texts."""
        decides = [VERSION, file_digests(self._folder), self._max_length, texts]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
