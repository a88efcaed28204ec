"""Wrong components, each known by a sentence of its kind's check; the right ones beside them pass."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from mutant_table import MUTANTS, Mutant

from cod_runner.api import Kind
from cod_runner.testing import checks
from cod_runner.testing.checks import check_component, executor

for module in sorted(Path(__file__).parent.glob("mutants_*.py")):
    importlib.import_module(module.stem)

CLAUSES = {
    clause: f"{module.name}.{name}"
    for module in pkgutil.iter_modules(checks.__path__)
    for name, clause in vars(importlib.import_module(f"{checks.__name__}.{module.name}")).items()
    if name.isupper() and isinstance(clause, str) and not name.startswith("_")
}
"""Every clause of every check, with the name of its constant."""
SAID: list[str] = []
"""What the checks said of wrong components so far."""
CASES = [
    pytest.param(each, id=f"{each.component.kind}-{each.component.name}-{each.component.options.__name__}-{number}")
    for number, each in enumerate(MUTANTS)
]


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executor, "PATIENCE_SECONDS", 0.5)
    Path("rows.txt").write_text("a fine film\na dull film\n")


@pytest.mark.parametrize("case", CASES)
def test_the_check_knows_it(case: Mutant) -> None:
    student = None if case.student is None else case.student()
    if not case.sentence:
        assert len(check_component(case.component, case.given, student=student)) >= 8
        return
    with pytest.raises(AssertionError, match=case.sentence) as caught:
        check_component(case.component, case.given, student=student)
    said = str(caught.value)
    SAID.append(said)
    assert said.startswith(f"the {case.component.kind} `{case.component.name}` ")
    assert "; the contract says: " in said or " raised " in said


def test_every_kind_has_wrong_and_right_ones() -> None:
    wrong = Counter(each.component.kind for each in MUTANTS if each.sentence)
    right = Counter(each.component.kind for each in MUTANTS if not each.sentence)
    assert set(wrong) == set(right) == set(get_args(Kind))
    assert min(wrong.values()) >= 7


def test_every_clause_has_a_wrong_component() -> None:
    if len(SAID) < sum(bool(each.sentence) for each in MUTANTS):
        pytest.skip("looks at what all the tests above it said, and some of them did not run here")
    assert [name for clause, name in CLAUSES.items() if not any(said.endswith(clause) for said in SAID)] == []
