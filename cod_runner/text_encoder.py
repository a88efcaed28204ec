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
from cod_runner.files import file_written_whole, touch
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
    ``store``, the store's root, vectors are kept, in one file for each encoder.

    Raises :class:`CodrunError` if the model is not there, lacks weights, or is an encoder-decoder.
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
        self._name, self._max_length, self._device, self._say = model, max_length, device, say
        self._path = None if store is None else store / "embeddings" / f"{self._key()}.safetensors"
        self._known: dict[bytes, Tensor] = {}
        self._loaded: tuple[Any, Any] | None = None

    def embed(self, texts: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None) -> Tensor:
        """``[texts, width]``, float32, on the CPU; zeros for a text that has no tokens. ``progress(done, total)``
        follows each batch of those that are computed."""
        import torch

        named = {_name(text): text for text in texts}
        if not named.keys() <= self._known.keys():
            self._known |= self._kept()
        new = {name: text for name, text in named.items() if name not in self._known}
        if new:
            self._known |= zip(new, self._computed(list(new.values()), progress), strict=True)
            self._keep()
        return torch.stack([self._known[_name(text)] for text in texts]) if named else torch.zeros(0, 0)

    def load(self) -> None:
        """Load the model now rather than for the first vector, so that what is wrong with it is said at once."""
        _ = self._model

    def _kept(self) -> dict[bytes, Tensor]:
        """The store's vectors of this encoder, by the names of their texts; damaged ones are said to be, and go."""
        import torch
        from safetensors import SafetensorError

        from cod_runner.checked_tensors import load_checked

        if self._path is None:
            return {}
        try:
            tensors = load_checked(self._path)
            names, vectors = tensors.get("names", torch.empty(0)), tensors.get("vectors", torch.empty(0))
            if (names.dtype, vectors.dtype, names.dim(), vectors.dim()) != (torch.uint8, torch.float32, 2, 2):
                raise ValueError("it holds something else")
            touch(self._path)
            return dict(zip(map(bytes, names.numpy()), vectors, strict=True))
        except FileNotFoundError:
            return {}
        except (OSError, SafetensorError, ValueError) as error:
            self._say(f"the stored embeddings {self._path} cannot be used ({error}); they are computed again")
            self._path.unlink(missing_ok=True)
            return {}

    def _keep(self) -> None:
        """Write all vectors, with those that another process has kept meanwhile."""
        import torch

        from cod_runner.checked_tensors import save_checked

        if self._path is None:
            return
        self._known |= self._kept()
        names = sorted(self._known)
        tensors = {
            "names": torch.tensor([list(name) for name in names], dtype=torch.uint8),
            "vectors": torch.stack([self._known[name] for name in names]),
        }
        with file_written_whole(self._path) as temporary:
            save_checked(tensors, temporary)

    def _computed(self, texts: list[str], progress: Callable[[int, int], None]) -> Tensor:
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
            parts = []
            for answered in pool.map(computed, fixed_batches([len(ids) for ids in encoded])):
                parts.append(answered)
                progress(sum(len(places) for places, _ in parts), len(texts))
        vectors = torch.empty(len(texts), parts[0][1].shape[1])
        for places, part in parts:
            vectors[places] = part
        return vectors

    def _key(self) -> str:
        """32 hex digits that say whose vectors these are."""
        decides = [VERSION, file_digests(self._folder), self._max_length]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]

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


def _name(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
