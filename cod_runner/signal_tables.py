"""The tables of ``signals.sqlite``: whose answers are there, how many, and how those of one are deleted.

No torch: :mod:`cod_runner.engine.signals` reads and writes the answers themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cod_runner.files import open_database

DATABASE, HIDDEN = "signals.sqlite", "hidden"
SCHEMA = """
create table if not exists teacher (
    id integer primary key, fingerprint text not null, device text not null, shape text not null,
    unique (fingerprint, device)
);
create table if not exists answer (
    teacher integer not null, input blob not null, logits blob not null, ids blob not null, pooled_at integer not null,
    primary key (teacher, input)
) without rowid;
create table if not exists checked (
    teacher integer not null, input blob not null, crc integer not null, primary key (teacher, input)
) without rowid;
"""
"""``checked`` holds the CRC-32 of each answer; those of earlier versions have none and are believed."""
TABLES = ("answer", "checked")


@dataclass(frozen=True)
class Answers:
    """One teacher's, as one kind of device computed them."""

    number: int
    """The name of its folder of hidden states, too."""
    fingerprint: str
    device: str
    texts: int
    bytes: int
    """In the database."""


def answers_by_teacher(folder: Path) -> list[Answers]:
    """In the order in which they came; nothing where there is no database or it cannot be read."""
    if not (folder / DATABASE).is_file():
        return []
    query = (
        "select id, fingerprint, device, count(input), "
        "coalesce(sum(length(input) * 2 + length(logits) + length(ids) + 16), 0) "
        "from teacher left join answer on answer.teacher = teacher.id group by id order by id"
    )
    try:
        with _opened(folder) as connection:
            return [Answers(*row) for row in connection.execute(query)]
    except sqlite3.Error:
        return []


def forget_teacher(folder: Path, number: int) -> None:
    """Delete one teacher's answers, once its hidden states are gone: the database may give its number to another.

    Raises :class:`sqlite3.Error`.
    """
    with _opened(folder) as connection:
        connection.execute("begin immediate")
        for table in TABLES:
            connection.execute(f"delete from {table} where teacher = ?", (number,))
        connection.execute("delete from teacher where id = ?", (number,))
        connection.execute("commit")
        connection.execute("vacuum")


@contextmanager
def _opened(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(folder / DATABASE, SCHEMA, autocommit=True)) as connection:
        yield connection
