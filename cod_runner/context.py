"""How a run is carried out: what the command line says and the recipe does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cod_runner.recipe import LoadedRecipe


@dataclass(frozen=True)
class RunSettings:
    """Flags that change where and how a run happens, never what it computes."""

    out: Path | None = None
    jobs: int | None = None
    executor: str | None = None
    device: str = "auto"
    offline: bool = False
    fresh: bool = False


def run_path(loaded: LoadedRecipe, out: Path | None) -> Path:
    """``--out``, or ``runs/<name>``, or ``runs/<name>-<profile>`` under a profile."""
    if out is not None:
        return out
    return Path("runs") / (f"{loaded.recipe.name}-{loaded.profile}" if loaded.profile else loaded.recipe.name)
