"""Amounts of memory as a recipe writes them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from pydantic import Field, ValidationError

from cod_runner.api import MemoryOption, Options
from cod_runner.cli.option_types import described


class Sized(Options):
    memory: MemoryOption | None = Field(None, description="of a worker")


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("8GB", 8 * 10**9),
        ("8 GB", 8 * 10**9),
        ("8GiB", 8 * 2**30),
        ("1.5MB", 1_500_000),
        ("512KiB", 512 * 1024),
        ("2TB", 2 * 10**12),
        ("100B", 100),
        (1024, 1024),
        (None, None),
    ],
)
def test_an_amount_of_memory_is_bytes(written: Any, size: int | None) -> None:
    options = Sized(memory=written)
    assert options.memory == size
    assert Sized.model_validate(json.loads(options.model_dump_json())) == options
    jsonschema.validate({"memory": written}, Sized.model_json_schema())


@pytest.mark.parametrize(
    "written",
    ["8", "8G", "8gb", "GB", "-8GB", "8GB ", "8iB", "8bit", "nan", "1eGB", "٨GB", "9" * 99 + "GB", 1.5, [1]],
)
def test_anything_else_is_refused_with_the_way_to_write_it(written: Any) -> None:
    with pytest.raises(ValidationError, match="write it as in 8GB, 512MB or 8GiB, or as a whole number of bytes, not"):
        Sized(memory=written)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"memory": written}, Sized.model_json_schema())


@pytest.mark.parametrize("written", ["0GB", 0, -1, "999999999999TB", True])
def test_an_amount_that_no_machine_has_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError, match="write it as in 8GB"):
        Sized(memory=written)


def test_it_has_words_of_its_own_where_options_are_described() -> None:
    assert [each.type for each in described(Sized)] == ["amount of memory, or null"]
