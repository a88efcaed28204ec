"""What every component needs that pays for a model's answers: the store's ledger, and a client that asks through it."""

from __future__ import annotations

from cod_runner.api import BuildContext, CodrunError, Ledger, Spending
from codrun_litellm.client import Client
from codrun_litellm.connection import Connection
from codrun_litellm.readiness import check_readiness


def opened(connection: Connection, context: BuildContext, component: str) -> tuple[Ledger, Client]:
    """The ledger and the client of a component.

    What the run spent before it was resumed is counted, once for all components of one ledger. Raises
    :class:`ProviderError` where the model cannot be called at all, unless nothing may be asked or the ledger has
    answers of it.
    """
    if context.store is None:
        raise CodrunError(f"the {component} needs a store for its ledger of paid answers")
    spending = context.spending or Spending()
    ledger = Ledger.of_store(context.store, spending.run)
    if spending.run:
        spent = ledger.spent()
        spending.resume(str(ledger.path), spent.calls, spent.tokens, spent.usd, spent.unpriced_calls)
    if not context.offline and not ledger.knows(connection.model):
        check_readiness(connection)
    return ledger, Client(connection, ledger, spending, context.offline, say=context.say, tell=context.tell)
