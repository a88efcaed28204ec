"""A stranger's plugin: a loss and a generator of its own."""

from cod_runner.api import Component, Options, hookimpl


class MarginOptions(Options):
    scale: float = 1.0


class MirrorOptions(Options):
    reach: float = 3.0


@hookimpl
def codrun_components():
    yield Component("loss", "margin", MarginOptions, "stranger_distillation.parts:Margin", "squared margin difference")
    yield Component("generator", "mirror", MirrorOptions, "stranger_distillation.parts:Mirror", "steps on both axes")
