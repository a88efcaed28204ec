"""What a person sees during a run: sentences, warnings, and how far its stages are."""

from cod_runner.progress.durations import Pace, in_words, left_in_words
from cod_runner.progress.progress import Progress, Shown, Step

__all__ = ["Pace", "Progress", "Shown", "Step", "in_words", "left_in_words"]
