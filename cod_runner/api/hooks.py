"""The markers of hooks."""

from __future__ import annotations

import pluggy

hookimpl = pluggy.HookimplMarker("codrun")


hookspec = pluggy.HookspecMarker("codrun")
