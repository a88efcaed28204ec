"""A stranger's plugin: a loss, a generator, a selector, a chooser and a teacher that only answers, of its own."""

from cod_runner.api import Answering, Component, Options, hookimpl


class MarginOptions(Options):
    scale: float = 1.0


class MirrorOptions(Options):
    reach: float = 3.0


class ShortestOptions(Options):
    pass


class FarthestOptions(Options):
    axis: int = 0


class ListsOptions(Options):
    words: dict[str, list[str]]
    shots: int = 0

    def answering(self):
        return Answering(shots=self.shots)


class LettersOptions(Options):
    pass


@hookimpl
def codrun_components():
    yield Component("loss", "margin", MarginOptions, "stranger_distillation.parts:Margin", "squared margin difference")
    yield Component("generator", "mirror", MirrorOptions, "stranger_distillation.parts:Mirror", "steps on both axes")
    yield Component("selector", "shortest", ShortestOptions, "stranger_distillation.sets:Shortest", "by length")
    yield Component("chooser", "farthest_on", FarthestOptions, "stranger_distillation.sets:FarthestOn", "by one axis")
    yield Component("teacher", "lists", ListsOptions, "stranger_distillation.answers:Lists", "counts words of lists")
    yield Component("student", "letters", LettersOptions, "stranger_distillation.answers:Letters", "reads words")
