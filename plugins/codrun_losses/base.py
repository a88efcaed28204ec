"""What every loss on logits shares."""

from __future__ import annotations

from torch import nn

from cod_runner.api import Binding


class LogitLoss(nn.Module):
    """A loss on logits alone, without parameters of its own."""

    def bind(self, binding: Binding) -> None:
        """Nothing to create."""
