"""Seeds, threads, devices and precision."""

from __future__ import annotations

import pytest
import torch

from cod_runner.api import CodrunError
from cod_runner.engine.device import autocast, choose_device, resolve_precision, threads
from cod_runner.engine.seeds import derived_seed, random_stream


def test_streams_are_apart_and_the_same_everywhere() -> None:
    names: list[tuple[str | int, ...]] = [("order", 1), ("order", 2), ("bind", "kd"), ("dropout",), ()]
    seeds = {derived_seed(seed, *name) for seed in range(3) for name in names}
    assert len(seeds) == 15 and all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0, "dropout") == 6310576905996076744  # pinned: every stored result hangs on it


def test_a_stream_leaves_the_generator_outside_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2).tolist()
    torch.manual_seed(3)
    with random_stream(0, "here"):
        first = torch.rand(2).tolist()
    assert torch.rand(2).tolist() == expected
    with random_stream(0, "here"):
        assert torch.rand(2).tolist() == first


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="x"), threads(1):
        assert torch.get_num_threads() == 1
        raise ValueError("x")
    assert torch.get_num_threads() == before


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    for wanted in ("cuda", "cuda:3", "mps"):
        with pytest.raises(CodrunError, match=f"no `{wanted}`"):
            choose_device(wanted)
    with pytest.raises(CodrunError, match="gpu"):
        choose_device("gpu")


def test_auto_precision_is_bf16_only_where_the_machine_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for native, wanted in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert resolve_precision("auto", "cpu") == wanted
    assert resolve_precision("fp16", "cpu") == "fp16"
    with autocast("bf16", "cpu"):
        assert torch.is_autocast_enabled("cpu")
    with autocast("fp32", "cpu"):
        assert not torch.is_autocast_enabled("cpu")
