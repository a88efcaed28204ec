"""The store: what is worth keeping between runs, keyed by content."""

from cod_runner.store.entries import CHECKPOINT, AnswersEntry, StoreEntry, name_of_signals
from cod_runner.store.store import Store, content_key
from cod_runner.store.uses import Maker, Use

__all__ = ["CHECKPOINT", "AnswersEntry", "Maker", "Store", "StoreEntry", "Use", "content_key", "name_of_signals"]
