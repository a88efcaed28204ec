"""Runs a causal language model behind one cached prefix, in batches of a fixed shape."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cod_runner.api import CodrunError, FixedBatch, fixed_batches, in_order, one_thread, ran_out_of_memory
from codrun_prompted.rendering import Row, begins


@dataclass(frozen=True)
class Read:
    """What the model says of one row."""

    logprobs: Tensor
    """``[positions, tokens]``, float32: of the tokens that were asked about, at the row's start and after it."""
    hidden: Tensor | None
    """``[layers, width]``, float32, at the row's start; None if no layers were asked for."""


class Reader:
    """Reads rows of tokens. What is said of a row depends neither on the rows beside it nor on the machine's cores:
    see :func:`fixed_batches`; every batch has padding, so that it is always masked in the same way. (A mixture of
    experts sorts a batch's tokens by expert, and may differ in the last bit with the rows beside it.)
    """

    def __init__(self, model: Any, prefix: Sequence[int], *, device: str, padding: int, name: str) -> None:
        self._model, self._device, self._padding, self._name = model, device, padding, name
        self._at_once = None if torch.device(device).type == "cpu" else 1
        accepted = inspect.signature(model.forward).parameters
        self._cache_name = next((each for each in ("cache", "past_key_values") if each in accepted), None)
        self._takes_positions = "position_ids" in accepted
        self._positions = positions_of(model.config)
        self._here = threading.local()
        head = model.get_output_embeddings()
        if isinstance(head, nn.Linear) and head.weight.dtype in (torch.bfloat16, torch.float16):
            _compute_in_float32(head)
        self._in_float32 = isinstance(head, nn.Linear) and head.weight.dtype == torch.float32
        if head is not None:
            head.register_forward_pre_hook(self._gathered)
        with _out_of_memory(name), one_thread(), torch.inference_mode():
            self._cache = self._cached(tuple(prefix))
        self._prefix = tuple(prefix) if self._cache is not None else ()

    def read(
        self,
        rows: Sequence[Row],
        tokens: Sequence[int],
        places: int,
        layers: Sequence[int] = (),
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Read]:
        """For each row the log-probabilities of ``tokens`` at ``places`` positions from its start on (its last one
        again where it ends before), and the hidden states of ``layers`` at its start."""
        wanted = torch.tensor(list(tokens), device=self._device)
        found: dict[int, Read] = {}
        behind = [number for number, row in enumerate(rows) if self._prefix and begins(self._prefix, row.ids)]
        whole = sorted(set(range(len(rows))) - set(behind))
        for numbers, prefix in ((behind, self._prefix), (whole, ())):
            lengths = [len(rows[number].ids) - len(prefix) + 1 for number in numbers]

            def work(
                batch: FixedBatch, numbers: Sequence[int] = tuple(numbers), prefix: tuple[int, ...] = prefix
            ) -> list[tuple[int, Read]]:
                if self._at_once is None:
                    torch.set_num_threads(1)  # holds for the thread that calls it
                taken = [rows[numbers[row]] for row in batch.rows]
                with torch.inference_mode():
                    read = self._batch(taken, batch.length, prefix, wanted, places, layers)
                return [(numbers[place], read[slot]) for slot, place in enumerate(batch.positions)]

            with _out_of_memory(self._name), one_thread():
                for answered in in_order(work, fixed_batches(lengths), self._at_once):
                    found.update(answered)
                    progress(len(found))
        return [found[number] for number in range(len(rows))]

    def _batch(
        self,
        rows: Sequence[Row],
        length: int,
        prefix: tuple[int, ...],
        tokens: Tensor,
        places: int,
        layers: Sequence[int],
    ) -> list[Read]:
        before = len(prefix)
        new = [row.ids[before:] for row in rows]
        ids = torch.tensor([[*each, *[self._padding] * (length - len(each))] for each in new], device=self._device)
        real = torch.tensor([[1] * (before + len(each)) + [0] * (length - len(each)) for each in new])
        at = torch.tensor(
            [[min(row.start + step, len(row.ids) - 1) - before for step in range(places)] for row in rows],
            device=self._device,
        )
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": real.to(self._device), "use_cache": bool(prefix)}
        if self._takes_positions:
            positions = torch.arange(before, before + length, device=self._device)
            given["position_ids"] = positions.clamp(max=self._positions - 1).expand(len(rows), -1)
        if prefix:
            assert self._cache_name is not None
            given[self._cache_name] = self._copy_of_the_cache(len(rows))
        outputs = self._outputs(given, at, hidden=bool(layers))
        logits = outputs.logits.float()
        logprobs = (logits[..., tokens] - logits.logsumexp(-1, keepdim=True)).cpu()
        hidden = None
        if layers:
            row = torch.arange(len(rows), device=self._device)
            hidden = torch.stack([outputs.hidden_states[each][row, at[:, 0]].float() for each in layers], 1).cpu()
        return [Read(logprobs[slot], None if hidden is None else hidden[slot]) for slot in range(len(rows))]

    # --- the output layer -------------------------------------------------------------------------------------------

    def _outputs(self, given: dict[str, Any], at: Tensor, *, hidden: bool = False) -> Any:
        """The model's outputs, with logits at the positions ``at [batch, places]`` alone: those of all positions would
        be a table of positions and vocabulary, which is large."""
        self._here.at, self._here.done = at, False
        try:
            outputs = self._model(**given, output_hidden_states=hidden, return_dict=True)
        finally:
            self._here.at = None
        if not self._here.done:
            outputs.logits = _at(outputs.logits, at)
        return outputs

    def _gathered(self, head: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Before the output layer of a call that is under way in this thread."""
        at = getattr(self._here, "at", None)
        if at is None or not arguments:
            return None
        self._here.done = True
        states = _at(arguments[0], at)
        return (states.float() if self._in_float32 else states, *arguments[1:])

    # --- the prefix -------------------------------------------------------------------------------------------------

    def _cached(self, prefix: tuple[int, ...]) -> Any:
        """Keys and values of the prefix; None where it is empty, or where the model keeps anything but these."""
        from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

        if not prefix or self._cache_name is None or self._model.config.is_encoder_decoder:
            return None
        cache = DynamicCache(config=self._model.config)
        if not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers):
            return None
        ids = torch.tensor([prefix], device=self._device)
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": True, self._cache_name: cache}
        self._outputs(given, torch.tensor([[len(prefix) - 1]], device=self._device))
        kept = [layer for layer in cache.layers if layer.is_initialized]
        return cache if kept and all(layer.get_seq_length() == len(prefix) for layer in kept) else None

    def _copy_of_the_cache(self, rows: int) -> Any:
        """The same keys and values for every row, not copied until the model adds its own to them."""
        fresh = copy.copy(self._cache)
        fresh.layers = [copy.copy(layer) for layer in self._cache.layers]
        for layer in fresh.layers:
            if layer.is_initialized:
                layer.keys = layer.keys.expand(rows, -1, -1, -1)
                layer.values = layer.values.expand(rows, -1, -1, -1)
        return fresh


def positions_of(config: Any) -> int:
    """Tokens that a model reads at most; very many where its configuration does not say."""
    text = config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length"):
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return 1 << 30


def _compute_in_float32(head: Any) -> None:
    """Give an output layer weights of its own in float32: logits in bfloat16, of 16 and more, have steps of an eighth.
    The table of embeddings keeps its precision where the two are one."""
    head.weight = nn.Parameter(head.weight.detach().float(), requires_grad=False)
    if head.bias is not None:
        head.bias = nn.Parameter(head.bias.detach().float(), requires_grad=False)


def _at(values: Tensor, at: Tensor) -> Tensor:
    """``[batch, positions, width]`` at ``[batch, places]``."""
    return values[torch.arange(len(values), device=values.device)[:, None], at]


@contextmanager
def _out_of_memory(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        raise CodrunError(
            f"the memory does not suffice for `{name}`; take a smaller model, `dtype: bfloat16`, a shorter "
            "`max_length`, fewer `shots`, or a (larger) GPU"
        ) from error
