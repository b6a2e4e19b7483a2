"""Reading the tables: SQL for people, and the few questions the command line asks itself.

DuckDB runs the SQL over the newest snapshots: over their files where those are in a folder, since its own reader is
several times as fast, and over Arrow datasets where they are in an object store. Beyond those files it is given no
files, no network and no settings, so a statement reads the tenant's tables and nothing else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from wheeltapper_api.explain import suggestion
from wheeltapper_api.wire import AlertEvent, Line, Stage
from wheeltapper_workers.history.revisions import KEYS, NO_REVISION, SUFFIX, view
from wheeltapper_workers.history.rows import block_of
from wheeltapper_workers.history.tables import CORRECTIONS, FIELDS, SCHEMAS, TABLES, Snapshot, Store
from wheeltapper_workers.runtime.blocks import Block

MEMORY_MB: Final = 512
TIMEOUT_SECONDS: Final = 60.0
LATEST_DAYS: Final = 7

_LATEST_SCORES: Final = """
    SELECT * FROM scores
    WHERE day >= (SELECT max(day) FROM scores) - {days}
    QUALIFY row_number() OVER (
        PARTITION BY plant, class, asset, failure_model ORDER BY window_end DESC, block_sequence DESC
    ) = 1
    ORDER BY plant, class, asset, failure_model
"""
_LATEST_ALERTS: Final = """
    SELECT arg_max(document, block_sequence) AS document FROM events
    GROUP BY alert_id ORDER BY max(block_sequence) DESC
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of one tenant's table: local files, or a dataset."""

    files: Sequence[str]
    dataset: pads.Dataset | None = None


Sources = dict[str, dict[str, Source]]
"""By table and tenant."""


class QueryError(Exception):
    """A question the tables cannot answer, said so that the asker can put it right."""


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: its name, Arrow type, and meaning (empty for a feature's)."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table that ``query`` knows, and how much is in it for each tenant."""

    name: str
    rows: Mapping[str, int]
    columns: Sequence[ColumnInfo]


def query(
    root: str,
    sql: str,
    tenant: str | None = None,
    *,
    storage_options: Mapping[str, str] | None = None,
    memory_mb: int = MEMORY_MB,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> pa.Table:
    """Result of one statement that reads ``raw``, ``features``, ``scores``, ``events`` and the other tables.

    Where late data corrected a row, ``features`` and ``scores`` have its newest revision; all revisions are in
    ``features_revisions`` and ``scores_revisions``.

    Without a tenant the tables are those of all tenants, and if there are several, with a column ``tenant`` in front.

    Raises
    ------
    QueryError
        If the statement is wrong, does more than read, names a table without data, or takes too much memory or time.
    """
    store, tenants = _tenants(root, tenant, storage_options)
    sources = _sources(store, tenants, _named(sql)) or _sources(store, tenants, TABLES)
    if not sources:
        where = f"{root} for the tenant {tenant}" if tenant else root
        raise QueryError(f"No data yet in {where}. The historian stores what the streams carry; see that it runs")
    revised = any(table in KEYS for table in sources) and any(store.open(one, CORRECTIONS) for one in tenants)
    with _session(sources, memory_mb, several=len(tenants) > 1, revised=revised) as connection:
        return _run(connection, sql, timeout_seconds, root)


def tables_info(
    root: str, tenant: str | None = None, *, storage_options: Mapping[str, str] | None = None
) -> list[TableInfo]:
    """Tables and columns; a table without data has its columns and no rows."""
    store, tenants = _tenants(root, tenant, storage_options)
    infos = []
    for table in TABLES:
        columns = {name: ColumnInfo(name, str(kind), meaning) for name, kind, meaning in FIELDS[table]}
        rows = {}
        for name in tenants:
            dataset = store.dataset(name, table)
            if dataset is not None:
                rows[name] = dataset.count_rows()
                columns |= {
                    f.name: ColumnInfo(f.name, str(f.type), "") for f in dataset.schema if f.name not in columns
                }
        infos.append(TableInfo(table, rows, list(columns.values())))
    return infos


def latest_scores(
    root: str, tenant: str, *, days: int = LATEST_DAYS, storage_options: Mapping[str, str] | None = None
) -> pa.Table:
    """Newest score row of every asset and failure model.

    What has no score in the ``days`` before the tenant's newest is left out: a whole history is too long to search.
    """
    if open_store(root, tenant, storage_options).open(tenant, "scores") is None:
        raise _no_data("scores", root)
    return query(root, _LATEST_SCORES.format(days=int(days)), tenant, storage_options=storage_options)


def alerts(root: str, tenant: str, *, storage_options: Mapping[str, str] | None = None) -> list[AlertEvent]:
    """Latest event of every alert, newest first; none if no event was ever stored."""
    if open_store(root, tenant, storage_options).open(tenant, "events") is None:
        return []
    documents = query(root, _LATEST_ALERTS, tenant, storage_options=storage_options)["document"]
    return [AlertEvent.model_validate_json(document.as_py()) for document in documents]


def alert(
    root: str, tenant: str, alert_id_prefix: str, *, storage_options: Mapping[str, str] | None = None
) -> AlertEvent:
    """Latest event of the one alert whose id begins with the prefix.

    Raises
    ------
    QueryError
        If there is none, or more than one.
    """
    documents = alert_history(open_store(root, tenant, storage_options), tenant, alert_id_prefix)["document"]
    return AlertEvent.model_validate_json(documents[-1].as_py())


def alert_history(store: Store, tenant: str, alert_id_prefix: str) -> pa.Table:
    """Event rows of the one alert whose id begins with the prefix, in their order.

    Raises
    ------
    QueryError
        If there is none, or more than one.
    """
    dataset = store.dataset(tenant, "events")
    if dataset is None:
        raise _no_data("events", store.root)
    rows = dataset.to_table(filter=pc.starts_with(pc.field("alert_id"), alert_id_prefix))
    found = sorted(set(rows["alert_id"].to_pylist()))
    if not found:
        known = set(dataset.to_table(columns=["alert_id"])["alert_id"].to_pylist())
        remedy = suggestion(alert_id_prefix, known)
        raise QueryError(
            f"No alert of {tenant} has an id that begins with {alert_id_prefix!r}; list the alerts. {remedy}"
        )
    if len(found) > 1:
        shown = ", ".join(found[:5]) + (" ..." if len(found) > 5 else "")
        raise QueryError(f"{len(found)} alerts have ids that begin with {alert_id_prefix!r}: {shown}; give more of it")
    return rows.sort_by("block_sequence")


def telemetry_blocks(
    root: str, line: Line, first: int, last: int, *, storage_options: Mapping[str, str] | None = None
) -> Iterator[Block]:
    """Stored telemetry blocks of a line from ``first`` to ``last`` (stream sequences, inclusive), as published.

    Ticks are not kept; between two blocks there may have been some.
    """
    dataset = open_store(root, line.tenant, storage_options).dataset(line.tenant, "raw")
    if dataset is None:
        raise _no_data("raw", root)
    sequence = pc.field("block_sequence")
    of_line = (pc.field("plant") == line.plant) & (pc.field("class") == line.asset_class)
    rows = dataset.to_table(filter=of_line & (sequence >= first) & (sequence <= last))
    rows = rows.sort_by([("block_sequence", "ascending"), ("block_row", "ascending")])
    counts = rows.group_by("block_sequence", use_threads=False).aggregate([([], "count_all")])["count_all"]
    start = 0
    for count in counts.to_pylist():
        block = rows.slice(start, count)
        trace, generation = (block[name][0].as_py() for name in ("trace", "generation"))
        number = block["block_sequence"][0].as_py()
        yield Block(Stage.TELEMETRY.stream, number, block_of(block), trace, generation)
        start += count


def open_store(root: str, tenant: str, storage_options: Mapping[str, str] | None = None) -> Store:
    """Store of a tenant's tables, for one question to them.

    Raises
    ------
    QueryError
        If the tenant's name is none.
    """
    store = Snapshot(root, storage_options)
    try:
        store.path(tenant, "")
    except ValueError as error:
        raise QueryError(str(error)) from error
    return store


def _tenants(root: str, tenant: str | None, options: Mapping[str, str] | None) -> tuple[Store, list[str]]:
    """Store, and the tenants to be read: the one that is given, or all that have a folder."""
    if tenant is not None:
        return open_store(root, tenant, options), [tenant]
    store = Store(root, options)
    return store, store.tenants()


def _named(sql: str) -> list[str]:
    """Tables that a statement may read: opening one takes longer than many a question."""
    return [table for table in TABLES if re.search(rf"\b{table}({SUFFIX})?\b", sql, re.IGNORECASE)]


def _sources(store: Store, tenants: list[str], tables: Sequence[str]) -> Sources:
    """Newest snapshots, without those that have no data."""
    found: Sources = {}
    for table in tables:
        opened = {tenant: _source(store, tenant, table) for tenant in tenants}
        if kept := {tenant: source for tenant, source in opened.items() if source is not None}:
            found[table] = kept
    return found


def _source(store: Store, tenant: str, table: str) -> Source | None:
    files = store.paths(tenant, table)
    if files:
        return Source(files)
    dataset = store.dataset(tenant, table)
    return None if dataset is None else Source((), dataset)


@contextmanager
def _session(
    sources: Sources, memory_mb: int, *, several: bool = False, revised: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connection that knows the tables, and no way out; ``revised`` if late data has corrected any of them."""
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": "",
        }
    )
    try:
        files = [file for by_tenant in sources.values() for source in by_tenant.values() for file in source.files]
        connection.execute(f"SET allowed_paths = {_list(files)}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET TimeZone = 'UTC'")
        for table, by_tenant in sources.items():
            _add_table(connection, table, by_tenant, several=several, revised=revised)
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _add_table(
    connection: duckdb.DuckDBPyConnection, table: str, by_tenant: Mapping[str, Source], *, several: bool, revised: bool
) -> None:
    parts = []
    for tenant, source in by_tenant.items():
        name = f'"{tenant}/{table}"'
        if source.dataset is not None:
            connection.register(f"{tenant}/{table}", source.dataset)
        else:
            connection.execute(f"CREATE VIEW {name} AS {_reading(table, source.files)}")
        label = f"'{tenant}' AS tenant, " if several else ""
        parts.append(f"SELECT {label}* FROM {name}")  # noqa: S608 - a DNS label has no quote to escape
    if table not in KEYS:
        connection.execute(f"CREATE VIEW {table} AS {' UNION ALL BY NAME '.join(parts)}")
        return
    every = f"{table}{SUFFIX}"
    connection.execute(f"CREATE VIEW {every} AS {' UNION ALL BY NAME '.join([*parts, NO_REVISION])}")
    newest = view(table, several=several) if revised else f"SELECT * FROM {every}"  # noqa: S608 - our own names
    connection.execute(f"CREATE VIEW {table} AS {newest}")


def _reading(table: str, files: Sequence[str]) -> str:
    """Statement that reads a table's files, with its columns in their order."""
    kinds = "{'plant': VARCHAR, 'class': VARCHAR, 'day': DATE}"
    source = f"read_parquet({_list(files)}, hive_partitioning = true, hive_types = {kinds}"
    if table in KEYS:
        # Their columns differ from file to file: of other pipelines, and from before there were revisions. To see how,
        # every file has to be opened.
        source = f"(SELECT * FROM {source}, union_by_name = true) UNION ALL BY NAME {NO_REVISION}"  # noqa: S608 - the same
    first = ", ".join(f'"{name}"' for name in SCHEMAS[table].names)
    return f"SELECT {first}, * EXCLUDE ({first}) FROM {source})"  # noqa: S608 - quoted, and our own names


def _list(texts: Sequence[str]) -> str:
    quoted = (text.replace("'", "''") for text in texts)
    return "[" + ", ".join(f"'{text}'" for text in quoted) + "]"


def _run(connection: duckdb.DuckDBPyConnection, sql: str, timeout_seconds: float, root: str) -> pa.Table:
    timer = threading.Timer(timeout_seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type not in (
            duckdb.StatementType.SELECT,
            duckdb.StatementType.EXPLAIN,
        ):
            raise QueryError(
                "Give one statement that reads, such as SELECT asset, max(score) FROM scores GROUP BY asset"
            )
        relation = connection.sql(statements[0].query)
        return relation.to_arrow_table()
    except duckdb.InterruptException as error:
        raise QueryError(
            f"The query took longer than {timeout_seconds:g} s and was stopped. Narrow it by plant, class or day"
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise QueryError("The query needs more memory than it may have. Narrow it by plant, class or day") from error
    except duckdb.CatalogException as error:
        raise _unknown(error, root) from error
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise QueryError(_first_lines(error)) from error
    finally:
        timer.cancel()


def _unknown(error: duckdb.CatalogException, root: str) -> QueryError:
    """A table without data is not registered; any other unknown name is the asker's mistake."""
    match = re.search(r"Table with name (\S+) does not exist", str(error))
    if match is None:
        return QueryError(_first_lines(error))
    if match[1].lower() in TABLES:
        return _no_data(match[1].lower(), root)
    return QueryError(f"There is no table {match[1]}; the tables are {', '.join(TABLES)}")


def _first_lines(error: Exception) -> str:
    """DuckDB's message with its candidates and the place in the statement."""
    return "\n".join(line.rstrip() for line in str(error).splitlines() if line.strip())


def _no_data(table: str, root: str) -> QueryError:
    return QueryError(f"No data yet in {table} under {root}. The historian fills it once its stream carries something")
