"""Forked processes that open new stores of every kind together: ``python opened_together.py FOLDER ROUNDS PROCESSES``,
and ``network`` where the disk is to be taken for one that other machines write too.

Prints what went wrong, a line each.
"""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from multiprocessing.synchronize import Barrier
from pathlib import Path

from cod_runner import files
from cod_runner.api import Ledger
from cod_runner.counterfactuals.outcomes import OutcomeStore
from cod_runner.engine.signals import SignalStore
from cod_runner.llm.requests import LLMAnswer, LLMRequest


def opens(folder: Path, rounds: int, barrier: Barrier, number: int) -> None:
    for turn in range(rounds):
        barrier.wait(60)
        home = folder / str(turn)
        try:
            ledger = Ledger.of_store(home, f"run {number}")
            request = LLMRequest("p", "m", "b", (("user", str(number)),), {}, 0, "t")
            assert ledger.claim(request.key, 1, None) is True
            ledger.record(request, LLMAnswer("a", "stop", 1, 1, None))
            ledger.sync()
            ledger.close()
            SignalStore(home / "signals")
            (home / "pairs").mkdir(exist_ok=True)
            OutcomeStore(home / "pairs" / "pairs.sqlite").find(["key"])
            former = folder / f"{turn}-former"
            Ledger(former / "answers" / "llm.sqlite").close()
            barrier.wait(60)
            Ledger.of_store(former).close()
        except Exception:  # noqa: BLE001 - whatever it is, it is what this looks for
            print(traceback.format_exc().splitlines()[-1], flush=True)


def main(folder: Path, rounds: int, processes: int) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(processes)
    started = [context.Process(target=opens, args=(folder, rounds, barrier, number)) for number in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        if process.exitcode:
            print(f"a process ended with {process.exitcode}")


if __name__ == "__main__":
    if sys.argv[4:] == ["network"]:
        files.is_on_network = lambda path: True
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
