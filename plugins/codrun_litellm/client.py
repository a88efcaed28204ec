"""Gets answers from the ledger if it has them, otherwise from the model, and pays for each only once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cod_runner.api import Ledger, LLMAnswer, LLMRequest, ProviderError, Spending
from codrun_litellm.call import Served
from codrun_litellm.dispatch import Dispatch
from codrun_litellm.pricing import price_of


class Client:
    """One model at one address, for every component that asks one."""

    def __init__(self, served: Served, ledger: Ledger, spending: Spending, offline: bool) -> None:
        self._served = served
        self._ledger = ledger
        self._spending = spending
        self._offline = offline
        self._price = price_of(served.model, served.api_base)
        spending.require_a_bound(served.model, self._price is not None)

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
                f"{len(missing)} of {len(unique)} answers of `{self._served.model}` are not in the ledger, and "
                "--offline forbids asking for them; run once without --offline, or import a ledger that has them"
            )
        dispatch = Dispatch(self._served, self._ledger, self._spending, self._price)
        _run(dispatch.ask_all(missing))
        if dispatch.ended is not None:
            raise dispatch.ended
        return {**answers, **dispatch.answers}


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
