"""A query reads the tables it may, says what is wrong with it, and touches nothing else."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pytest

from tests.history.conftest import STORE, event, telemetry
from wheeltapper_api.wire import Stage
from wheeltapper_workers.history import query as module
from wheeltapper_workers.history.historian import Historian
from wheeltapper_workers.history.query import QueryError, alert, alerts, latest_scores, query, tables_info
from wheeltapper_workers.history.tables import FIELDS, Store


def column(table, name):
    return table[name].to_pylist()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY raw TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.db'",
        "INSTALL httpfs",
        "SET memory_limit = '90GB'",
        "SELECT 1; COPY raw TO 'x.csv'",
        "DROP VIEW raw",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM delta_scan('/tmp')",
        "SELECT * FROM secret",
        "",
    ],
)
def test_anything_but_reading_the_tables_is_refused(plant, sql):
    secret = pa.table({"password": ["p"]})
    with pytest.raises(QueryError):
        query(plant, sql)
    assert secret.num_rows == 1


def test_files_that_are_no_part_of_the_asked_tables_are_refused(plant, tmp_path):
    """The engine may open the files of the tables, and so nothing beside them."""
    store = Store(plant)
    beside = store.path("northwater", "raw/_delta_log/00000000000000000000.json")
    other = shutil.copy(store.paths("northwater", "raw")[0], tmp_path / "other.parquet")
    assert column(query(plant, "SELECT count(*) > 0 AS n FROM raw"), "n") == [True]
    for call in (f"read_text('{beside}')", f"read_parquet('{other}')"):
        with pytest.raises(QueryError, match="disabled"):
            query(plant, f"FROM raw, {call} LIMIT 1")


def test_mistakes_are_told_with_what_was_meant(plant):
    with pytest.raises(QueryError, match=r"no table score; the tables are raw, features, scores, events"):
        query(plant, "SELECT * FROM score")
    with pytest.raises(QueryError, match='Candidate bindings: "asset"'):
        query(plant, "SELECT asse FROM raw")
    with pytest.raises(QueryError, match="syntax error"):
        query(plant, "SELEC 1")


def test_endless_query_is_stopped(plant):
    with pytest.raises(QueryError, match=r"longer than 0.2 s.*Narrow it"):
        query(plant, "SELECT count(*) FROM range(100000000000) a, range(100000) b", timeout_seconds=0.2)


def test_greedy_query_is_stopped(plant):
    with pytest.raises(QueryError, match="more memory"):
        query(plant, "SELECT list(range) FROM range(100000000)", memory_mb=64)


def test_no_data_yet_is_no_riddle(tmp_path, plant):
    with pytest.raises(QueryError, match=r"No data yet in .*nowhere"):
        query(str(tmp_path / "nowhere"), "SELECT 1")
    with pytest.raises(QueryError, match=r"No data yet in .*for the tenant southwater"):
        query(plant, "SELECT 1", "southwater")
    historian = Historian(str(tmp_path), STORE)
    telemetry(10)[0].add_to(historian)
    historian.commit()
    with pytest.raises(QueryError, match="No data yet in scores"):
        query(str(tmp_path), "SELECT * FROM raw JOIN scores USING (asset)")
    with pytest.raises(QueryError, match="No data yet in scores"):
        latest_scores(str(tmp_path), "northwater")
    assert alerts(str(tmp_path), "northwater") == []


@pytest.mark.parametrize("tenant", ["..", "../northwater", "a/b", "", "northwater/raw"])
def test_tenant_leads_out_of_the_root(plant, tenant):
    with pytest.raises(QueryError, match="is not the name of a tenant"):
        query(plant, "SELECT 1", tenant)
    with pytest.raises(QueryError, match="is not the name of a tenant"):
        alert(plant, tenant, "a")


def test_one_tenant_sees_another(tmp_path):
    for tenant, seconds in (("northwater", 10), ("south-water", 20)):
        historian = Historian(str(tmp_path), STORE.model_copy(update={"tenant": tenant}))
        for message in telemetry(seconds):
            subject = f"telemetry.{tenant}.riverside.pump.s0.w"
            historian.add(Stage.TELEMETRY, message.sequence, 1, subject, message.payload)
        if tenant == "northwater":
            historian.add(Stage.EVENTS, 1, 1, f"events.{tenant}.riverside.pump.s0.w", event(1, "a").payload)
        historian.commit()
    counted = "SELECT tenant, count(*) AS n FROM raw GROUP BY tenant ORDER BY tenant"
    assert query(str(tmp_path), counted).to_pydict() == {"tenant": ["northwater", "south-water"], "n": [60, 120]}
    assert column(query(str(tmp_path), "SELECT tenant FROM events"), "tenant") == ["northwater"]
    assert column(query(str(tmp_path), "SELECT count(*) AS n FROM raw", "south-water"), "n") == [120]
    with pytest.raises(QueryError, match="tenant"):
        query(str(tmp_path), "SELECT tenant FROM raw", "south-water")
    with pytest.raises(QueryError):
        query(str(tmp_path), 'SELECT * FROM "northwater/raw"', "south-water")


def test_times_and_partitions_mean_what_they_say(plant, flow):
    found = query(
        plant,
        "SELECT min(source_time) AS first, max(epoch_ns(published_time)) AS last, any_value(day)::text AS day, "
        "date_trunc('hour', min(source_time))::text AS hour FROM raw WHERE day = '2023-11-14' AND plant = 'riverside'",
    ).to_pylist()[0]
    assert found["first"].isoformat() == "2023-11-14T22:13:20+00:00"
    assert found["last"] == flow[Stage.TELEMETRY][-1].published_ns // 1000 * 1000
    assert (found["day"], found["hour"]) == ("2023-11-14", "2023-11-14 22:00:00+00")


def test_tables_are_listed_with_their_columns(plant):
    tables = {table.name: table for table in tables_info(plant)}
    assert tables["raw"].rows == {"northwater": 2400 * 6}
    kinds = {entry.name: entry.kind for entry in tables["features"].columns}
    assert kinds["vibration_level"] == "double"
    assert kinds["window_end"] == "timestamp[us, tz=UTC]"
    assert all(entry.meaning for entry in tables["scores"].columns)
    assert all(not table.rows for table in tables_info("/nonexistent"))


def test_table_has_columns_that_nobody_described(plant):
    for table in ("raw", "scores", "events"):
        found = Store(plant).dataset("northwater", table).schema.names
        assert sorted(found) == sorted(name for name, _, _ in FIELDS[table])
    features = set(Store(plant).dataset("northwater", "features").schema.names)
    described = {name for name, _, _ in FIELDS["features"]}
    assert features - described == {"vibration_level", "vibration_kurtosis", "speed_level"}


def test_latest_scores_are_one_a_model(plant):
    rows = latest_scores(plant, "northwater")
    newest = query(plant, "SELECT max(window_end) AS t FROM scores")["t"][0]
    assert column(rows, "asset") == ["p-1", "p-2", "p-3"]
    assert set(rows["window_end"]) == {newest}
    assert all(score == score for score in column(rows, "score")), "learned by then"


def test_alert_shows_its_latest_event(plant):
    listed = alerts(plant, "northwater")
    assert [(entry.data.alert_id, entry.type.split(".")[-2]) for entry in listed] == [
        ("aaa1", "cleared"),
        ("aaa2", "opened"),
        ("bbb1", "opened"),
    ]
    assert alert(plant, "northwater", "bb").data.severity == "watch"
    assert alert(plant, "northwater", "aaa1").data.state == "cleared"
    with pytest.raises(QueryError, match=r"2 alerts .* 'aaa': aaa1, aaa2; give more"):
        alert(plant, "northwater", "aaa")
    with pytest.raises(QueryError, match="No alert of northwater"):
        alert(plant, "northwater", "%")


def test_settings_stay_locked():
    with (
        module._session({}, 64) as connection,
        pytest.raises(module.duckdb.Error, match="locked"),
    ):
        connection.execute("SET enable_external_access = true")
