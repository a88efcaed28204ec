"""A factory for the executor `futures`: Dask, on a cluster that is there or on workers of this machine."""

from __future__ import annotations

import logging
from typing import Any

from cod_runner.api import CodrunError

try:
    from distributed import Client, LocalCluster
    from distributed.cfexecutor import ClientExecutor
except ImportError as lacking:
    raise CodrunError('Dask is not installed; run `pip install "codrun[dask]"`') from lacking


class DaskExecutor(ClientExecutor):
    """Dask's own executor, which ends with its client, and with the workers that were started for it."""

    def __init__(self, client: Client, cluster: LocalCluster | None) -> None:
        super().__init__(client)
        self._cluster = cluster

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what is left; workers that were started for it are ended, those of a cluster finish their cell."""
        super().shutdown(wait=False)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def executor(address: str | None = None, workers: int | None = None, **options: Any) -> DaskExecutor:
    """An executor on the scheduler at ``address`` (``tcp://host:8786``), or on ``workers`` processes of this machine.

    ``options`` are those of ``distributed.Client``, or of ``distributed.LocalCluster``.
    """
    if address is not None:
        return DaskExecutor(Client(address, **options), None)
    settings = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
    }
    cluster = LocalCluster(**{**settings, **options})
    return DaskExecutor(Client(cluster), cluster)
