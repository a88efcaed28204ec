"""What a person sees during a run: sentences, warnings, and how far its stages are."""

from cod_runner.progress.progress import Progress, Shown, Step

__all__ = ["Progress", "Shown", "Step"]
