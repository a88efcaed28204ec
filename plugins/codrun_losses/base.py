"""What every loss here shares: most need no hidden states and have no parameters."""

from __future__ import annotations

from torch import nn

from cod_runner.api import Binding, ModelShape, Needs


class LogitLoss(nn.Module):
    """A loss on logits alone, without parameters of its own."""

    def needs(self, teacher: ModelShape, student: ModelShape) -> Needs:
        return Needs()

    def bind(self, binding: Binding) -> None:
        """Nothing to create."""
