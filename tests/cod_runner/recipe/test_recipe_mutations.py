"""Mutated recipes: whatever a recipe says, reading, checking and planning it end in a plan or in sentences."""

from __future__ import annotations

import copy
import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, note, settings
from hypothesis import strategies as st

from cod_runner.cli import call
from cod_runner.errors import CodrunError, RecipeError
from cod_runner.permissions import Permissions
from cod_runner.plain_text import json_text
from cod_runner.plan import plan_of
from cod_runner.recipe import load_recipe
from cod_runner.registry import Registry
from cod_runner.terminal import Terminal

RECIPES = Path(__file__).parents[3] / "recipes"
FILES = sorted(RECIPES.rglob("*.yaml"))
INSTALLED = Registry.discover()
ANYWHERE = Permissions(folders=(Path("/"),))

ODD_TEXTS = (
    "", "null", "~", "[]", "{}", "[[]]", "[null]", "{a: {b: [c]}}", "0", "-1", "1e999", "-1e-999", ".nan",
    ".inf", "0.5", "1.0", "9" * 299 + "2", "9" * 5000, "-" + "9" * 300, "true", "yes", "No", "0o17", "0x10",
    "1_000", "12:30:45", "2001-01-01", "..", "../../x", "/dev/zero", "~nouser/x", "file:/etc/passwd",
    "http://host/x", "n" * 300, '"\\e[31m"', '"\\u202e"', '"a\\nb"', '"\\0"', "[/red]", "é漢字", "👨‍👩‍👧", "a b",
    "!!python/object/apply:os.system [ls]", "!!int x", "!x y", "&a [*a]", "*a", "&a b", "<<: {a: 1}", "|", ">-",
    "'", '"', "{", "[", "]", "- -", "? a", ": b", "%", "@x", "`x`", "{use: }", "{use: csv}",
    "[{use: kd, weight: -1}]", "{use: hard, weight: 1e308}", "hard", "kd", "csv", "lexicon", "litellm",
    "[2, 2]", "[8, 16]", "[8, 3]", "plain", "[cod]", "[control]", "fixed", "all", "\t", "#", "---", "...",
    "x" * 20_000, "[" * 60, "{a: " * 60,
)  # fmt: skip
ODD_KEYS = (
    "", "~", "use", "weight", "finetune", "extends", "profiles", "recipe", "name", "k", "methods", "__class__",
    "1", "null", "<<", "? [a]", '"\\e[2J"', "'a b'", "n" * 300, "*a", "&a b", "!!str c", "labels", "path",
    "model", "layers", "kD",
)  # fmt: skip
ODD_DATA: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 8, 0.5, -0.0, 1e308, 10**299, 10**4200, "", "a", "8", "\x1b[31m", "\u202e",
    "..", "/", "~nouser/x", [], [None], [[]], [8, 8], {}, {"use": None}, {"use": "kd"},
    {"use": "hard", "weight": 0}, ["hard"], "hard", {"a": {"b": {"c": []}}}, list(range(200)), "x" * 5000,
    ["cod", "control"], {"negative": "negative"},
)  # fmt: skip


def mutated_text(text: str, draw: random.Random) -> str:
    """The text with one to four of its lines deleted, doubled, moved, changed or cut."""
    lines = text.split("\n")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(lines))
        line = lines[at]
        match draw.randrange(10):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, line)
            case 2:
                lines.insert(draw.randrange(len(lines)), lines.pop(at))
            case 3:
                lines[at] = line[: draw.randint(0, len(line))]
            case 4:
                lines[at] = " " * draw.randint(0, 4) + line.lstrip(" ")
            case 5:
                place = draw.randint(0, len(line))
                lines[at] = line[:place] + draw.choice("{}[]:,-#&*!|>'\"%@` \t?~\x00\x1b\u2028é9") + line[place + 1 :]
            case 6 if ":" in line:
                lines[at] = line.partition(":")[0] + ": " + draw.choice(ODD_TEXTS)
            case 7 if ":" in line:
                indent = line[: len(line) - len(line.lstrip())]
                lines[at] = indent + draw.choice(ODD_KEYS) + ":" + line.partition(":")[2]
            case 8:
                lines.insert(at, draw.choice(draw.choice(FILES).read_text(encoding="utf-8").split("\n")))
            case _:
                words = line.split(" ")
                words[draw.randrange(len(words))] = draw.choice(ODD_TEXTS)
                lines[at] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines)


def mutated_tree(text: str, draw: random.Random) -> str:
    """The text's data with one to three of its values deleted, doubled, renamed, wrapped or replaced."""
    data = yaml.safe_load(text)
    for _ in range(draw.randint(1, 3)):
        places = list(_places(data))
        if not places:
            break
        inside, key = draw.choice(places)
        match draw.randrange(7):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[draw.choice([*ODD_KEYS, 3, None, True, 1.5])] = inside.pop(key)
            case 2 if isinstance(inside, list):
                inside.insert(key, inside[key])
            case 3:
                inside[key] = [inside[key]]
            case 4:
                inside[key] = {draw.choice(ODD_KEYS): inside[key]}
            case 5:
                other, place = draw.choice(places)
                inside[key] = copy.deepcopy(other[place])
            case _:
                inside[key] = copy.deepcopy(draw.choice(ODD_DATA))
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=draw.random() < 0.5)


def _places(data: Any) -> list[tuple[Any, Any]]:
    keys = data.keys() if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [place for key in keys for place in ((data, key), *_places(data[key]))]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str, bool], None]:
    """Load and plan a text in the place of a recipe, next to a copy of its parents."""
    folder = tmp_path_factory.mktemp("mutated")
    shutil.copytree(RECIPES, folder / "recipes")

    def checked(file: Path, text: str, through_the_program: bool) -> None:
        path = folder / file.relative_to(RECIPES.parent).with_name("mutated.yaml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        if through_the_program:
            for command in ("validate", "plan"):
                assert call([command, str(path)]) in (0, 2)
        else:
            plan_or_sentences(path, folder)

    return checked


def plan_or_sentences(path: Path, folder: Path) -> None:
    try:
        loaded = load_recipe(path, INSTALLED, permissions=ANYWHERE)
        with loaded.pointing():
            planned = plan_of(loaded, INSTALLED, folder / "run", ANYWHERE)
    except CodrunError as error:
        assert error.exit_code == 2
        assert str(error)
        sentences = str(error).split("\n")
        assert len(sentences) <= 101
        if isinstance(error, RecipeError):
            assert all(sentence.isprintable() or "\u200d" in sentence for sentence in sentences)
        str(error).encode()
        return
    json_text(planned.as_json()).encode()
    out = io.StringIO()
    Terminal(file=out, width=100).print(planned)
    assert "\x1b" not in out.getvalue()
    written = path.with_name("resolved.yaml")
    written.write_text(loaded.to_yaml(), encoding="utf-8")
    assert load_recipe(written, INSTALLED, permissions=ANYWHERE).recipe == loaded.recipe


Check = Callable[[Path, str, bool], None]
SEEDS = st.integers(0, 2**63)


@settings(max_examples=250)
@given(file=st.sampled_from(FILES), seed=SEEDS)
def test_a_mutated_text_ends_in_a_plan_or_in_sentences(check: Check, file: Path, seed: int) -> None:
    text = mutated_text(file.read_text(encoding="utf-8"), random.Random(seed))
    note(text)
    check(file, text, False)


@settings(max_examples=250)
@given(file=st.sampled_from(FILES), seed=SEEDS)
def test_a_mutated_tree_ends_in_a_plan_or_in_sentences(check: Check, file: Path, seed: int) -> None:
    text = mutated_tree(file.read_text(encoding="utf-8"), random.Random(seed))
    note(text)
    check(file, text, False)


@settings(max_examples=30)
@given(file=st.sampled_from(FILES), seed=SEEDS, mutated=st.sampled_from([mutated_text, mutated_tree]))
def test_the_program_ends_with_0_or_2(
    check: Check, file: Path, seed: int, mutated: Callable[[str, random.Random], str]
) -> None:
    text = mutated(file.read_text(encoding="utf-8"), random.Random(seed))
    note(text)
    check(file, text, True)


@pytest.mark.long
@settings(max_examples=30_000, derandomize=False)
@given(file=st.sampled_from(FILES), seed=SEEDS, mutated=st.sampled_from([mutated_text, mutated_tree]))
def test_30_000_mutations_end_in_a_plan_or_in_sentences(
    check: Check, file: Path, seed: int, mutated: Callable[[str, random.Random], str]
) -> None:
    text = mutated(file.read_text(encoding="utf-8"), random.Random(seed))
    note(text)
    check(file, text, False)
