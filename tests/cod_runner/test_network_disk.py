"""Which disks other machines may write too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cod_runner import files, network_disk
from cod_runner.files import open_database
from cod_runner.network_disk import is_on_network

MOUNTS = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 0:25 / /home rw,relatime shared:7 master:2 - nfs4 server:/home rw,vers=4.2
32 31 0:26 / /home/me/scratch rw - xfs /dev/nvme0 rw
33 22 0:27 / /mnt/two\040words rw shared:9 - fuse.sshfs me@host: rw
34 22 0:28 / /shared rw - lustre mgs:/fs rw
35 22 0:29 / /over rw - tmpfs tmpfs rw
36 22 0:30 / /over rw - cifs //server/over rw
a line that means nothing
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    monkeypatch.setattr(network_disk, "MOUNTS", path)
    return path


@pytest.mark.parametrize(
    ("path", "network"),
    [
        ("/var/store", False),
        ("/home/me/store", True),
        ("/home/me/scratch/store/new", False),
        ("/homes", False),
        ("/mnt/two words/store", True),
        ("/mnt/two", False),
        ("/shared/team", True),
        ("/over/here", True),
    ],
)
def test_the_innermost_mount_decides_and_of_two_the_last(mounts: Path, path: str, network: bool) -> None:
    assert is_on_network(Path(path)) is network


def test_links_are_followed(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to("/shared/team")
    assert is_on_network(tmp_path / "store" / "llm.sqlite")


def test_where_the_system_does_not_say_a_disk_is_this_machines(mounts: Path) -> None:
    mounts.unlink()
    assert not is_on_network(Path("/home/me"))


def test_a_database_there_has_no_log_in_the_memory_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.sqlite"

    def mode() -> tuple[str, list[str]]:
        with closing(open_database(path, "create table if not exists said (word text);")) as connection, connection:
            connection.execute("insert into said values ('here')")
            (found,) = connection.execute("pragma journal_mode").fetchone()
            return found, sorted(each.name for each in tmp_path.iterdir() if each.name.startswith("store"))

    assert mode() == ("wal", ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"])
    monkeypatch.setattr(files, "is_on_network", lambda path: True)
    assert mode() == ("delete", ["store.sqlite", "store.sqlite-journal"])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from said").fetchone() == (2,)
