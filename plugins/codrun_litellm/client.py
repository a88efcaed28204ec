"""Gets answers from the ledger if it has them, otherwise from the model, and pays for each only once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cod_runner.api import Ledger, LLMAnswer, LLMRequest, ProviderError, Spending
from codrun_litellm.call import Calls
from codrun_litellm.connection import Connection
from codrun_litellm.dispatch import Dispatch
from codrun_litellm.level import Level
from codrun_litellm.pricing import price_of
from codrun_litellm.progress import Progress


class Client:
    """One model at one address, for every component that asks one.

    ``say`` takes a sentence that the user is to read, ``tell`` a short line on what happens now, shown while it lasts
    ("": nothing). How many calls are in flight at once is learnt from one round for the next.
    """

    def __init__(
        self,
        connection: Connection,
        ledger: Ledger,
        spending: Spending,
        offline: bool,
        *,
        say: Callable[[str], None] = lambda sentence: None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self._spending = spending
        self._offline = offline
        self._say, self._tell = say, tell
        self._price = price_of(connection.model, connection.api_base)
        self._level = Level(connection.concurrency)
        spending.require_a_bound(connection.model, self._price is not None)

    def ask(self, requests: Sequence[LLMRequest]) -> dict[str, LLMAnswer]:
        """Answers by the request's key.

        A request's parameters may hold what its endpoint takes: ``logprobs`` and ``top_logprobs`` of a chat, the number
        ``logprobs`` and ``echo`` of a completion (a single message of the role ``prompt``). What the provider then says
        of probabilities is in the answer's ``scores`` and ``prompt_scores``, None where it says nothing.

        Raises :class:`ProviderError` unless every request is answered; answers received so far are in the ledger.
        """
        unique = {request.key: request for request in requests}
        answers = self._ledger.answers(list(unique))
        self._spending.reused(len(answers))
        missing = [request for key, request in unique.items() if key not in answers]
        if not missing:
            return answers
        if self._offline:
            raise ProviderError(
                f"{len(missing)} of {len(unique)} answers of `{self._connection.model}` are not in the ledger, and "
                "--offline forbids asking for them; run once without --offline, or import a ledger that has them"
            )
        progress = Progress(len(unique), len(answers), self._tell, self._say_how_slow)
        calls, level = Calls(self._connection, self._price), self._level.again()
        dispatch = Dispatch(calls, self._ledger, self._spending, level, progress)
        try:
            _run(dispatch.ask_all(missing))
        finally:
            self._level = level
        if dispatch.ended is not None:
            raise dispatch.ended
        return {**answers, **dispatch.answers}

    def _say_how_slow(self, at_once: int, timed_out: int) -> None:
        where = f"`{self._connection.model}`" + (
            f" at {self._connection.api_base}" if self._connection.api_base else ""
        )
        self._say(
            f"{where} answers slower than {at_once} calls at once need: {timed_out} timed out, so fewer are sent at "
            "once; `concurrency: 1` avoids the wait"
        )
        self._say = lambda sentence: None  # once is enough


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """``asyncio.run``, in a separate thread if this one already runs a loop."""
    if not _a_loop_runs_here():
        asyncio.run(coroutine)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()


def _a_loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
