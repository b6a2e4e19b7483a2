"""The process ends, or the storage fails, between any two steps: no correction is missing, and none is there twice."""

from __future__ import annotations

import shutil

import pytest

from tests.late.conftest import NOW_US, ORDER, appended, assert_as_in_order, corrected, counted, thrown
from tests.late.test_late_data_raises_an_alert import late_fault
from tests.replay.conftest import faulty, keep, run
from tests.support.lines import LINE
from wheeltapper_workers.history.late import correction, corrector, scores_in_order
from wheeltapper_workers.history.late.corrector import Corrector
from wheeltapper_workers.history.tables import Store

WRITES = ("scores", "features", "corrections")


class Killed(BaseException):
    """The process ends here: nothing after it runs but the next start."""


@pytest.fixture(autouse=True)
def several_passes(monkeypatch):
    """What there is to do is done in a few passes, so that one can end with scores that are not settled."""
    for module, name, value in (
        *((corrector, "WINDOWS", 90), (corrector, "_SETTLE_WINDOWS", 1)),
        *((correction, "CHUNK", 16), (scores_in_order, "SLICE", 32)),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def here(uncorrected, tmp_path) -> Store:
    shutil.copytree(uncorrected.root, tmp_path / "tables")
    return Store(str(tmp_path / "tables"))


@pytest.fixture(scope="module")
def undisturbed(uncorrected, tmp_path_factory):
    """Rows of both tables without any crash, and after how many writes."""
    root = tmp_path_factory.mktemp("undisturbed") / "tables"
    shutil.copytree(uncorrected.root, root)
    store = Store(str(root))
    corrected(store)
    return {table: appended(store, table) for table in ORDER} | {"counted": counted(store)}


def dying(monkeypatch, number: int, after_the_write: bool):
    """Let the write of this number be the last one."""
    calls, real = [], corrector.write_deltalake

    def write(table, *args, **kwargs):
        calls.append(table.table_uri)
        dies = len(calls) == number
        if dies and not after_the_write:
            raise Killed
        real(table, *args, **kwargs)
        if dies:
            raise Killed

    monkeypatch.setattr(corrector, "write_deltalake", write)
    return calls


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("after_the_write", [False, True], ids=["before", "after"])
def test_killed_at_a_write(here, in_order, undisturbed, monkeypatch, number, after_the_write):
    dying(monkeypatch, number, after_the_write)
    with pytest.raises(Killed):
        corrected(here)
    monkeypatch.undo()
    corrected(here)
    assert_as_in_order(here, in_order)
    assert {table: keys(appended(here, table)) for table in ORDER} == {
        table: keys(undisturbed[table]) for table in ORDER
    }
    assert counted(here) == undisturbed["counted"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_while_scores_wait_for_their_detector(in_order, tmp_path, monkeypatch, number):
    """A few late samples at one place: long after the features are right again, the detector remembers them."""
    monkeypatch.setattr(corrector, "WINDOWS", 8)
    monkeypatch.setattr(scores_in_order, "SLICE", 8)
    store = Store(str(tmp_path))
    keep(run(thrown(faulty(until=530), share=0.3, since=450, until=460)), store.root)
    dying(monkeypatch, number, after_the_write=True)
    with pytest.raises(Killed):
        corrected(store)
    monkeypatch.undo()
    corrected(store)
    assert_as_in_order(store, in_order)
    late = [row for row in appended(store, "scores") if row["revision"] == "1"]
    assert len(late) > 2 * len([row for row in appended(store, "features") if row["revision"] == "1"])


@pytest.mark.parametrize("number", [1, 2])
def test_killed_before_its_entry_it_is_counted_all_the_same(tmp_path, monkeypatch, number):
    """Also which scores crossed the limit, though they are on the other side by now."""
    line, stores = run(late_fault()), [Store(str(tmp_path / name)) for name in ("whole", "killed")]
    for store in stores:
        keep(line, store.root)
    whole, killed = stores
    corrected(whole)
    with monkeypatch.context() as patch:
        dying(patch, number, after_the_write=True)
        with pytest.raises(Killed):
            corrected(killed)
    corrected(killed)
    assert counted(killed) == counted(whole)
    assert counted(whole)["crossed"] > 0


def keys(rows):
    """Which revisions there are of which rows, and what led to them."""
    names = ("asset", "failure_model", "window_end", "revision", "late_first", "late_last")
    return [tuple(row.get(name) for name in names) for row in rows]


def test_killed_again_and_again(here, in_order, undisturbed, monkeypatch):
    """At every write there is, each time in another process."""
    for _ in range(40):
        with monkeypatch.context() as patch:
            dying(patch, 1, after_the_write=True)
            try:
                corrected(here)
            except Killed:
                continue
        break
    else:
        pytest.fail("it never came to an end")
    assert_as_in_order(here, in_order)
    found = keys(appended(here, "features"))
    assert len(found) == len(set(found))
    assert counted(here) == undisturbed["counted"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_lost_answer_of_a_write(here, in_order, undisturbed, monkeypatch, number):
    """It was written, and the one who wrote it was told that it was not."""
    calls, real = [], corrector.write_deltalake

    def write(table, *args, **kwargs):
        real(table, *args, **kwargs)
        calls.append(table)
        if len(calls) == number:
            raise OSError("connection reset")

    job = Corrector(here, LINE.tenant)
    monkeypatch.setattr(corrector, "write_deltalake", write)
    with pytest.raises(OSError, match="connection reset"):
        corrected(here, job)
    corrected(here, job)
    assert_as_in_order(here, in_order)
    assert keys(appended(here, "features")) == keys(undisturbed["features"])


@pytest.mark.parametrize("which", WRITES)
def test_second_instance_writes_in_between(here, in_order, undisturbed, monkeypatch, which):
    """Of two that found the same, one is refused; what it found is there already when it looks again."""
    first, second, real = Corrector(here, LINE.tenant), Corrector(here, LINE.tenant), corrector.write_deltalake

    def paused(table, *args, **kwargs):
        if table.table_uri.rstrip("/").endswith(which):
            monkeypatch.setattr(corrector, "write_deltalake", real)
            corrected(here, second)
        real(table, *args, **kwargs)

    monkeypatch.setattr(corrector, "write_deltalake", paused)
    with pytest.raises(Exception, match=r"(?i)conflict|transaction"):
        corrected(here, first)
    corrected(here, first)
    assert_as_in_order(here, in_order)
    assert keys(appended(here, "features")) == keys(undisturbed["features"])


def test_stopped_before_it_reads(here):
    job = Corrector(here, LINE.tenant)
    job.stop()
    with pytest.raises(corrector.Stopped):
        job.work(LINE, NOW_US)


def test_stopped_in_the_middle_leaves_the_rest_to_the_next(here, in_order, monkeypatch):
    job, reads = Corrector(here, LINE.tenant), []
    real = correction.features_in_order

    def stopping(*args):
        reads.append(args)
        if len(reads) == 2:
            job.stop()
        return real(*args)

    monkeypatch.setattr(correction, "features_in_order", stopping)
    with pytest.raises(corrector.Stopped):
        corrected(here, job)
    assert not [one for one in keys(appended(here, "features")) if one[3] != "0"]
    corrected(here)
    assert_as_in_order(here, in_order)
