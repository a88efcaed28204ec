"""This process's connection with a Ray cluster, and what Ray changes in a process that connects."""

from __future__ import annotations

import faulthandler
import functools
import logging
import os
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cod_runner.api import CodrunError, SettingError, one_line

OBJECT_STORE_BYTES = 128_000_000
"""Of a Ray of the run's own: shared memory for what a run sends, its evaluation split for the most part."""
SECONDS_TO_ANSWER = 10
"""Of a cluster's head, to a connection."""
LONGEST_TEMPORARY_FOLDER = 40
"""Characters of the folder in which a Ray of the run's own puts its sockets, whose paths the system keeps short."""


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[None]:
    """Join the cluster at ``address``, or start a Ray on this machine with ``cpus`` logical CPUs, and leave or end it
    after the block. Where this process is connected already, by the program that calls codrun, that connection serves
    and is left as it is. Raises :class:`SettingError` where nothing can be joined."""
    with _process_kept(alone=address is None):
        import ray

        if ray.is_initialized():
            yield
            return
        with _nothing_printed():
            if address is None:
                with _a_ray_of_our_own(cpus):
                    yield
                return
            try:
                _join(address)
                yield
            finally:
                ray.shutdown()


def _join(address: str) -> None:
    import ray
    from ray.exceptions import RayError

    if address == "auto" and "://" in os.environ.get("RAY_ADDRESS", ""):
        raise SettingError(
            "the environment variable RAY_ADDRESS names a Ray Client server, and codrun joins a cluster itself: set it "
            "to `host:port` of the cluster's head",
            "address",
        )
    try:
        _refuse_silence(os.environ.get("RAY_ADDRESS") or address if address == "auto" else address)
        with _handlers_kept():
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
        what = "no Ray cluster was found" if address == "auto" else f"the Ray cluster {address} cannot be joined"
        raise SettingError(
            f"{what} ({one_line(str(error))[:300]}); start one with `ray start`, or omit `address`", "address"
        ) from error


def _refuse_silence(address: str) -> None:
    """Raise :class:`OSError` where nothing answers at ``host:port``, for which Ray would wait many minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()


@contextmanager
def _a_ray_of_our_own(cpus: int) -> Iterator[None]:
    """A head, its node and its workers, which end with this process even by ``kill -9``: on Linux the kernel sees to
    it. It takes connections from this machine alone, and those only with a token that no file holds."""
    import ray
    from ray.exceptions import RayError

    root = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="codrun-ray-", dir=root if len(root) < LONGEST_TEMPORARY_FOLDER else "/tmp"))
    os.environ.pop("RAY_AUTH_MODE", None)  # without it, a Ray that is started here asks for the token
    os.environ["RAY_AUTH_TOKEN"] = _token()
    try:
        try:
            with _handlers_kept():
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                    _temp_dir=str(folder),
                )
        except (RuntimeError, ValueError, OSError, RayError) as error:
            raise CodrunError(f"Ray cannot be started on this machine ({one_line(str(error))[:300]})") from error
        yield
    finally:  # Ctrl-C while it starts included
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _token() -> str:
    """One for all that this process starts, since Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _process_kept(*, alone: bool) -> Iterator[None]:
    """Undo what Ray changes in this process: its logger, the hook for uncaught exceptions, the generator of ``random``,
    variables of the environment. Inside, it sends its makers nothing, and ``alone`` it listens to this machine only."""
    environment = {name: os.environ[name] for name in _rays_variables()}
    hook, faults, logger = sys.excepthook, faulthandler.is_enabled(), logging.getLogger("ray")
    drawn = random.getstate()
    level = logger.level
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if alone:  # read when Ray is imported first; it keeps to the loopback address, as everywhere but on Linux
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray

        logger.setLevel(logging.CRITICAL)
        yield
    finally:
        if not ray.is_initialized():
            sys.excepthook = hook
            if not faults:
                faulthandler.disable()
        logger.setLevel(level)
        random.setstate(drawn)
        for name in _rays_variables():
            del os.environ[name]
        os.environ.update(environment)


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keep a thread of Ray's from printing what happens to workers, which codrun tells itself: it would fall into what
    is drawn on the terminal, and Ray has no setting for it."""
    from ray._private import worker

    printing = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, ignore_prefix: None
    try:
        yield
    finally:
        worker.print_to_stdstream = printing


def _rays_variables() -> list[str]:
    """The variables of the environment, among those that are set, that Ray reads or writes."""
    return [name for name in os.environ if name.startswith("RAY_") or name == "PYTHONBREAKPOINT"]


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Leave SIGTERM as it is: ``ray.init`` lets it end the process as an exit does, with the signal's number."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)
