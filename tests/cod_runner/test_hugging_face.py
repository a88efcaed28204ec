"""What is switched off comes back as it was, also after an error."""

from __future__ import annotations

import pytest
from transformers.utils import logging

from cod_runner.api import quiet_transformers


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
