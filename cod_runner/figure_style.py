"""The style that every figure is drawn in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def default_figure_style() -> Iterator[None]:
    """Inside, and in a function that it decorates, figures have matplotlib's own style.

    Matplotlib reads a file ``matplotlibrc`` in the current folder, which may be a stranger's: it would change every
    figure, or have LaTeX set the names in it. Imports matplotlib only when it is entered.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
