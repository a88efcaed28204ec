"""What of other people's a student is made of, as components' options say it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cod_runner.api import CheckpointOption, Component, Options, Origin
from cod_runner.recipe.grammar import Recipe
from cod_runner.registry import Registry
from cod_runner.runs.declared import complete
from cod_runner.runs.origins import OriginRecord, origins_of, stated_licence
from cod_runner.runs.records import RunRecord


class TeacherOptions(Options):
    model: CheckpointOption
    beside: CheckpointOption | None = None
    name: str = "not/a-checkpoint"


class WriterOptions(Options):
    def origins(self) -> list[Origin]:
        return [Origin("language model", "maker/model-1")]


def test_every_checkpoint_option_is_an_origin(
    registry_of: Callable[..., Registry], recipe_with: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Mine")
    registry = registry_of(
        Component("teacher", "transformers", TeacherOptions, "m:T", ""),
        Component("generator", "lexicon", WriterOptions, "m:G", ""),
    )
    recipe = recipe_with(
        teacher={"use": "transformers", "model": str(tmp_path), "beside": "owner/name"}, student={"use": "gone"}
    )
    found = origins_of(recipe, registry)
    local = OriginRecord(role="teacher", use="transformers", what="checkpoint", name=tmp_path.name, license="mit")
    assert found == [
        local,
        OriginRecord(role="teacher", use="transformers", what="checkpoint", name="owner/name", on_the_hub=True),
        OriginRecord(role="generator", use="lexicon", what="language model", name="maker/model-1"),
    ]
    record = complete(RunRecord(recipe="small"), recipe, registry)
    assert record.origins == found
    assert complete(RunRecord(recipe="small", origins=[local]), recipe, registry).origins == [local]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\r\nlicense: gemma\r\n---\r\n", "gemma"),
        ("---\nlicense: other\nlicense_name: llama-3\n---\n", "llama-3"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ('---\nlicense: "mit\\n# owned"\n---\n', None),
        ("---\nlicense: {{\n---\n", None),
        ("---\nlicense: !!python/object/apply:os.getcwd []\n---\n", None),
        ("---\n" + "[" * 5000 + "\n---\n", None),
        ("license: mit\n", None),
        ("", None),
    ],
)
def test_only_a_word_of_a_stranger_s_card_is_believed(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_bytes(card.encode())
    assert stated_licence(Origin("checkpoint", "x", folder=tmp_path)) == licence


def test_a_folder_without_a_card_states_nothing(tmp_path: Path) -> None:
    assert stated_licence(Origin("checkpoint", "x", folder=tmp_path)) is None
    (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    assert stated_licence(Origin("checkpoint", "x", folder=tmp_path)) is None
