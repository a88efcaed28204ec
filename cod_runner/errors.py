"""The errors a user of codrun can meet, each with the exit code its kind ends the program with."""

from __future__ import annotations


class CodrunError(Exception):
    """A failure that one sentence explains; the command line prints the sentence and no traceback."""

    exit_code = 1


class RecipeError(CodrunError):
    """The recipe, or the call, is wrong. ``str(error)`` holds one ``file:line:column: sentence`` a line."""

    exit_code = 2


class DataError(CodrunError):
    """A data set cannot be used; the sentence names file, row and cure."""

    exit_code = 2


class ExpectationMissed(CodrunError):
    """The run finished, and an entry of ``expect:`` was not met."""

    exit_code = 3


class ProviderError(CodrunError):
    """A model provider failed or a budget is spent: the run ends here and can be resumed.

    Never to be read as "the generator found no flip".
    """


class PluginError(CodrunError):
    """A plugin cannot be loaded, or two plugins claim one name."""

    exit_code = 2
