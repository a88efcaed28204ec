"""Matches a checkpoint's own classes to the data set's, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from cod_runner.api import SettingError

_GENERIC = re.compile(r"label_?\d+", re.IGNORECASE)


def head_order(
    own: Sequence[str],
    wanted: Sequence[str],
    label_map: Mapping[str, str],
    model: str,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[int]:
    """For each label of the data set, its row in the checkpoint's head.

    Names match regardless of case, spaces, ``_`` and ``-``. Numbered classes (``LABEL_0``) are taken in order, with
    a note through ``say``. Raises :class:`SettingError` if the names do not match one to one.
    """
    unknown = sorted(set(label_map) - set(wanted))
    if unknown:
        there = _listed(wanted)
        raise SettingError(
            f"`label_map` mentions `{unknown[0]}`, but the data set's labels are {there}", "label_map", unknown[0]
        )
    if len(own) != len(wanted):
        raise SettingError(
            f"`{model}` was trained for {len(own)} classes ({_listed(own)}), but the data set has {len(wanted)} "
            f"({_listed(wanted)}); use another checkpoint, or set `new_head: true` and train it",
            "model",
        )
    if not label_map and all(_GENERIC.fullmatch(name) for name in own):
        say(f"`{model}` numbers its classes without naming them; they are taken in the order {_listed(wanted)}")
        return list(range(len(own)))
    rows = {_plain(name): row for row, name in enumerate(own)}
    order = [rows.get(_plain(label_map.get(label, label)), -1) for label in wanted]
    if sorted(order) != list(range(len(own))):
        raise SettingError(
            f"`{model}` names its classes {_listed(own)}, the data set {_listed(wanted)}; match them with "
            f"`label_map: {{{wanted[0]}: ..., ...}}`, or set `new_head: true` and train it",
            "label_map",
        )
    return order


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
