"""What is switched off comes back as it was, also after an error; and which files are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import are_progress_bars_disabled
from transformers.utils import logging

from cod_runner import hugging_face
from cod_runner.api import fetched_checkpoint, quiet_transformers


@pytest.mark.parametrize("bars", [True, False])
def test_transformers_is_quiet_inside_and_as_before_after(bars: bool) -> None:
    before, bars_before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_info()
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
        with pytest.raises(ZeroDivisionError), quiet_transformers():
            assert logging.get_verbosity() == logging.ERROR
            assert not logging.is_progress_bar_enabled()
            raise ZeroDivisionError
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled() is bars
    finally:
        logging.set_verbosity(before)
        (logging.enable_progress_bar if bars_before else logging.disable_progress_bar)()


@pytest.mark.parametrize("here", [True, False])
def test_files_that_are_named_are_fetched_and_no_others(here: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def download(name: str, **given: Any) -> str:
        asked.append(given)
        assert are_progress_bars_disabled(), "it would draw into what is drawn already"
        return "/cache/there"

    def in_cache(name: str, file: str, revision: str | None) -> str | None:
        return f"/cache/there/{file}" if here and file == "sub/m.gguf" else None

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", in_cache)
    monkeypatch.setattr(hugging_face, "_why_unreachable", lambda: None)
    said: list[str] = []
    found = fetched_checkpoint("a/b", "c0ffee", offline=False, say=said.append, files=["sub/m.gguf"])
    assert found == Path("/cache/there")
    assert (asked[0]["allow_patterns"], asked[0]["ignore_patterns"]) == (["sub/m.gguf"], None)
    assert said == ([] if here else ["fetching the model `a/b` from the hub"])
    fetched_checkpoint("a/b", None, offline=True, say=said.append)
    assert not are_progress_bars_disabled(), "as before"
    assert (asked[1]["allow_patterns"], asked[1]["ignore_patterns"]) == (hugging_face.FILES, hugging_face.NOT_FILES)
