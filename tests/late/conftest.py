"""A line some of whose samples come late, the tables of what it made of them, and what they say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.replay.conftest import faulty, keep, run
from tests.support.lines import LINE, SECOND, START
from wheeltapper_workers.history.copying import put_tenant
from wheeltapper_workers.history.late.corrector import Corrector, Pass
from wheeltapper_workers.history.query import query
from wheeltapper_workers.history.tables import Store

NOW_US = (START + 7200 * SECOND) // 1000
_MOMENTS = itertools.count(NOW_US)
"""Each pass is later than the one before."""
FORMED = "window_end <= (SELECT max(window_end) FROM {table}_revisions WHERE revision = 0)"
"""Rows whose window was formed: of late samples none is that was not."""
WHERE = {
    *("block_sequence", "published_time", "trace", "input_sequence", "features_sequence", "revision"),
    *("late_first", "late_last", "telemetry_first", "telemetry_last", "received_last", "generation"),
}
"""Where a row comes from, which is not the same."""
ORDER = {"features": "asset, window_end", "scores": "asset, failure_model, window_end"}


def thrown(samples, seed=1, share=0.05, low=20, high=200, since=400, until=10**6):
    """Some samples come late, by far more than the lateness of 2 s, after the models have learned."""
    random = np.random.default_rng(seed)
    at = samples.time - START
    chosen = (random.random(len(samples)) < share) & (at > since * SECOND) & (at < until * SECOND)
    delay = random.integers(low * SECOND, high * SECOND, len(samples))
    samples.received = samples.received + np.where(chosen, delay, 0)
    return samples.take(np.argsort(samples.received, kind="stable"))


def corrected(store: Store, job: Corrector | None = None, most: int = 100) -> list[Pass]:
    """All passes until there is nothing to do."""
    job = job or Corrector(store, LINE.tenant)
    passes = [job.work(LINE, next(_MOMENTS))]
    while passes[-1].more:
        passes.append(job.work(LINE, next(_MOMENTS)))
        assert len(passes) < most
    return passes


def ask(store: Store, sql: str):
    return query(store.root, sql, LINE.tenant, storage_options=store.storage_options).to_pylist()


def counted(store: Store) -> dict[str, int]:
    """What all entries say together."""
    (found,) = ask(
        store,
        "SELECT sum(late) AS late, sum(windows) AS windows, sum(scores) AS scores, sum(crossed) AS crossed "
        "FROM corrections",
    )
    return found


def said(store: Store, table: str, which: str = "", where: str = "true", without=frozenset(WHERE)):
    """What the rows of a table say, in one order; NaN as text, so that rows compare."""
    sql = f"SELECT * FROM {table}{which} WHERE {where} ORDER BY {ORDER[table]}, revision"  # noqa: S608 - our own words
    rows = ask(store, sql)
    names = [*ORDER[table].split(", "), *(["revision"] if which else [])]
    assert len(rows) == len({tuple(row[name] for name in names) for row in rows}), "each is there once"
    return [{k: repr(v) for k, v in row.items() if k not in without} for row in rows]


def appended(store: Store, table: str):
    """All revisions, with where they come from; not when they were appended, or by which pass."""
    return said(store, table, "_revisions", without={"published_time"})


def assert_as_in_order(store: Store, in_order: Store):
    """What is known now are the bits of a line that got all in order."""
    for table in ORDER:
        assert said(store, table) == said(in_order, table, where=FORMED.format(table=table)), table


@pytest.fixture(scope="session")
def in_order(tmp_path_factory) -> Store:
    root = str(tmp_path_factory.mktemp("in-order"))
    keep(run(faulty(until=530)), root)
    return Store(root)


@pytest.fixture(scope="session")
def late_line():
    """Streams of the line with late samples."""
    return run(thrown(faulty(until=530)))


@pytest.fixture(scope="session")
def uncorrected(late_line, tmp_path_factory) -> Store:
    """Its tables, in small files, before any correction."""
    root = str(tmp_path_factory.mktemp("late"))
    keep(late_line, root, every=23)
    return Store(root)


@pytest.fixture
def late(tables, uncorrected) -> Store:
    """A copy of them, once in a folder and once in an object store."""
    put_tenant(Path(uncorrected.root), tables.store, LINE.tenant)
    return tables.store
