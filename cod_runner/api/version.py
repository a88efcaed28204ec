"""The version of the contracts, and what a plugin may ask of it."""

from __future__ import annotations

import re

API_VERSION: tuple[int, int] = (1, 0)
"""(MAJOR, MINOR) of everything that ``cod_runner.api`` and the hooks offer to a plugin; codrun's own version says
nothing of it.

MINOR rises where something is added that no plugin has to know of: a class, an option's method with a default, a
field or parameter with a default, a hook. MAJOR rises, and MINOR falls to 0, where something is changed or taken away,
or where a contract asks more of a plugin than before: what was written for 1.x may then break.

So a plugin that was written against 1.2 works with 1.2, 1.3 and every later 1.x, and may work with neither 1.1 nor 2.0.
It says so beside its hooks, ``codrun_api = "1.2"``; codrun skips it, and says why, where the two do not fit. A plugin
that says nothing is loaded whatever the version.
"""
WRITTEN = re.compile(r"(\d{1,4})\.(\d{1,4})")


def unmet_requirement(asked: object) -> str | None:
    """Why a plugin that asks for this version cannot be used, in words that follow its name; None where it can."""
    here = ".".join(map(str, API_VERSION))
    found = WRITTEN.fullmatch(asked) if isinstance(asked, str) else None
    if found is None:
        return f'it has `codrun_api = {asked!r:.60}`, which is no version of the plugin API, such as `"{here}"`'
    major, minor = int(found[1]), int(found[2])
    if major == API_VERSION[0] and minor <= API_VERSION[1]:
        return None
    needs = f"it needs version {major}.{minor} of the plugin API, and this codrun has {here}; "
    if (major, minor) > API_VERSION:
        return needs + "update codrun"
    return needs + "update the plugin"
