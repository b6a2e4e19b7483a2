"""Late data corrects history: a job beside the historian that looks for late samples and appends corrections.

How far it has looked is in the commit that says so. Scores are appended before features, and features before that
commit: what is done a second time after a crash finds its rows stored, sees no difference, and appends nothing.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict, deque
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake

from wheeltapper_api.wire import Line, Stage
from wheeltapper_workers.history.late.asset_history import AssetHistory
from wheeltapper_workers.history.late.correction import Correction, Corrections, Settling
from wheeltapper_workers.history.late.lateness import Rules, Touched
from wheeltapper_workers.history.late.scan import Found, scanned
from wheeltapper_workers.history.late.scores_in_order import PLACES, Place
from wheeltapper_workers.history.late.unentered import Unentered, unentered
from wheeltapper_workers.history.revisions import correction_id
from wheeltapper_workers.history.stored import highest, in_order, of_line
from wheeltapper_workers.history.tables import CORRECTIONS, SCHEMAS, TIME, Store
from wheeltapper_workers.history.told import Told, told

log = logging.getLogger(__name__)

LOOK_ROWS: Final = 1_000_000
"""Samples looked at in one pass, about."""
WINDOWS: Final = 8192
"""Windows made again in one pass, about."""
ENTRY_ROWS: Final = 4_000_000
"""After so many samples without a late one it is entered how far they were looked through."""
_SETTLE_WINDOWS: Final = 64
"""New windows after which scores that are not settled are looked at again."""
_ASSETS: Final = 64
"""Assets of which it is remembered where their scores can be taken up."""
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3)


@dataclass(slots=True)
class _LineState:
    found: Found
    settling: dict[str, Settling] = field(default_factory=dict)
    entered: int = 0
    """Samples looked at since the last entry."""
    unentered: Unentered = field(default_factory=Unentered)
    """What looks have appended that ended before they could enter it."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over a line came to."""

    late: int = 0
    windows: int = 0
    scores: int = 0
    crossed: int = 0
    more: bool = False
    """Another pass has something to do at once."""
    notes: tuple[str, ...] = ()


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """The work was ended from outside; it is done another time."""


class Corrector:
    """Corrects the history of one tenant. It blocks, and belongs in a thread; not for several at once."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store, self._tenant = store, tenant
        self._stop = threading.Event()
        self._seen: dict[tuple[Line, str], int] = {}
        """Highest input that a table was seen to be made of."""
        self._lines: dict[Line, _LineState] = {}
        self._places: OrderedDict[tuple[Line, str], deque[Place]] = OrderedDict()
        self._otherwise: dict[Line, str] = {}

    def work(self, line: Line, now_us: int) -> Pass:
        """One bounded pass over a line.

        Raises
        ------
        QueryError
            If what is stored does not tell what is needed, such as a config that is not kept.
        DeltaError, ArrowException, OSError
            If the tables cannot be read or written; what was found is found again.
        Stopped
            If ``stop`` was called.
        """
        try:
            self._go_on()
            return self._pass(line, now_us)
        except BaseException:
            self._lines.pop(line, None)
            self._places.clear()
            raise

    def stop(self) -> None:
        """End the work of another thread soon, and for good."""
        self._stop.set()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _pass(self, line: Line, now_us: int) -> Pass:
        formed = self._formed(line)
        if not formed:
            return Pass()
        known = told(self._store, line)
        state = self._lines.get(line) or self._taken_up(line, known)
        pinned = {name: self._store.open(self._tenant, name) for name in ("features", "scores", CORRECTIONS)}
        before = state.found
        found = scanned(self._store, line, known, before, formed, LOOK_ROWS, self._go_on)
        after = _LineState(found, dict(state.settling), state.entered + found.rows, state.unentered)
        corrections = self._correct(line, known, after, now_us)
        late = after.found.late - before.late
        self._commit(line, known, pinned, corrections, (before, after), now_us)
        self._lines[line] = after
        more = found.rows >= LOOK_ROWS or corrections.looked >= WINDOWS
        return _summary(late, corrections, more=more)

    def _formed(self, line: Line) -> int:
        """Last telemetry block of which all is stored that was made of it; 0 if there is none."""
        scored = self._highest(line, "scores", "features_sequence")
        made_of = self._highest(line, "features", "input_sequence")
        dataset = self._store.dataset(self._tenant, "features")
        if scored and dataset is not None:
            where = of_line(line) & (pc.field("block_sequence") == scored)
            made_of = pc.max(dataset.to_table(["input_sequence"], filter=where)["input_sequence"]).as_py() or made_of
        return made_of

    def _highest(self, line: Line, table: str, column: str) -> int:
        before = self._seen.get((line, table), 0)
        self._seen[line, table] = highest(self._store, line, table, column, before)
        return self._seen[line, table]

    def _taken_up(self, line: Line, known: Told) -> _LineState:
        """State of the last entry; from the beginning if there is none."""
        dataset = self._store.dataset(self._tenant, CORRECTIONS)
        if dataset is not None:
            where = of_line(line) & (pc.field("shard") == line.shard)
            rows = dataset.to_table(["number", "time", "block_sequence", "state"], filter=where).sort_by("number")
            if rows.num_rows:
                document = json.loads(rows["state"][-1].as_py())
                settling = {asset: Settling(*parts) for asset, parts in document["settling"].items()}
                found = Found.restored(rows["block_sequence"][-1].as_py(), document, known)
                return _LineState(
                    found, settling, unentered=self._unentered(line, known, found, rows["time"][-1].value)
                )
        found = Found.nothing(known, self._first_generation(line))
        return _LineState(found, unentered=self._unentered(line, known, found, 0))

    def _unentered(self, line: Line, known: Told, found: Found, since_us: int) -> Unentered:
        assets = [asset.name for asset in known.config(found.generation).assets]
        return unentered(self._store, line, assets, since_us)

    def _first_generation(self, line: Line) -> str:
        """Generation of a line whose first tick is not stored."""
        if line not in self._otherwise:
            rows = next(in_order(self._store, line, "features", columns=["block_sequence", "generation"]), None)
            first = "" if rows is None else rows.sort_by("block_sequence")["generation"][0].as_py()
            self._otherwise[line] = first
        return self._otherwise[line]

    def _correct(self, line: Line, known: Told, state: _LineState, now_us: int) -> Corrections:
        """Corrections of what was found; what is left stays in the state."""
        rules = Rules.of(known.config(state.found.generation))
        left, all_found = list(state.found.parts), Corrections()
        state.found = replace(state.found, parts=())
        for asset in dict.fromkeys([*(part.asset for part in left), *state.settling]):
            own = [part for part in left if part.asset == asset]
            position = rules.assets.get(asset)
            if position is None:
                all_found.notes[f"{asset} is no longer configured; its history stays as it was"] = None
                state.settling.pop(asset, None)
                continue
            limit = int(state.found.clocks.next_end[position]) - rules.every_ns
            if all_found.looked >= WINDOWS or not self._due(own, state.settling.get(asset), rules, limit):
                state.found = replace(state.found, parts=(*state.found.parts, *own))
                continue
            history = AssetHistory(self._store, line, asset, state.found.position, self._go_on)
            otherwise = self._first_generation(line)
            one = Correction(line, asset, history, known, otherwise, rules, limit, now_us)
            rest = self._correct_asset(one, line, asset, own, state)
            state.found = replace(state.found, parts=(*state.found.parts, *rest))
            _add(all_found, one.found)
        return all_found

    def _due(self, parts: list[Touched], settling: Settling | None, rules: Rules, limit: int) -> bool:
        wanted = _SETTLE_WINDOWS * rules.every_ns
        waiting = settling is not None and (settling.at_once or limit - settling.start >= wanted)
        return waiting or any(part.low < limit for part in parts)

    def _correct_asset(
        self, one: Correction, line: Line, asset: str, parts: list[Touched], state: _LineState
    ) -> list[Touched]:
        """Work through the parts of an asset in order of time; returns what is left of them."""
        places = self._places.setdefault((line, asset), deque(maxlen=PLACES))
        self._places.move_to_end((line, asset))
        while len(self._places) > _ASSETS:
            self._places.popitem(last=False)
        waiting, left = deque(one.reached(parts)), list[Touched]()
        while one.found.looked < WINDOWS and (waiting or asset in state.settling):
            part = waiting.popleft() if waiting else None
            rows, rest = SCHEMAS["features"].empty_table(), None
            if part is not None:
                rows, rest = one.features(part, waiting, WINDOWS - one.found.looked)
            left += [rest] if rest else []
            following = [*left, *waiting]
            settling = _from(state.settling.get(asset), rows, part)
            if settling is not None:
                until = min((later.low for later in following), default=2**62)
                after = one.scores(rows, settling, until, WINDOWS, places)
                state.settling.pop(asset, None)
                if after is not None:
                    state.settling[asset] = after
            if not waiting:
                break
        return [*left, *waiting]

    def _commit(
        self,
        line: Line,
        known: Told,
        pinned: dict[str, DeltaTable | None],
        made: Corrections,
        states: tuple[Found, _LineState],
        now_us: int,
    ) -> None:
        scores, features = made.rows(Stage.SCORES), made.rows(Stage.FEATURES)
        self._append("scores", pinned["scores"], scores)
        self._append("features", pinned["features"], features)
        before, state = states
        changed = before.parts != state.found.parts or before.late != state.found.late
        changed |= state.unentered != Unentered()
        if changed or features.num_rows or scores.num_rows or state.entered >= ENTRY_ROWS:
            self._enter(line, known, pinned[CORRECTIONS], made, state, now_us)

    def _enter(
        self, line: Line, known: Told, table: DeltaTable | None, made: Corrections, state: _LineState, now_us: int
    ) -> None:
        """Enter how far was looked, and what is left to do."""
        found = state.found
        document = found.document(known) | {"settling": {asset: astuple(one) for asset, one in state.settling.items()}}
        entry = _entry(
            line,
            now_us,
            number=(table.transaction_version(correction_id(CORRECTIONS)) or 0) + 1 if table else 1,
            block_sequence=found.position,
            late=found.late,
            windows=sum(rows.num_rows for rows in made.features) + state.unentered.windows,
            scores=sum(rows.num_rows for rows in made.scores) + state.unentered.scores,
            crossed=made.crossed + state.unentered.crossed,
            note=". ".join(made.notes),
            state=json.dumps(document),
        )
        self._append(CORRECTIONS, table, entry)
        state.entered, state.unentered = 0, Unentered()
        state.found = replace(found, late=0)

    def _append(self, name: str, pinned: DeltaTable | None, rows: pa.Table) -> None:
        """Append rows on the snapshot that was taken before anything was read."""
        if not rows.num_rows:
            return
        table = pinned or self._store.create(self._tenant, name)
        version = (table.transaction_version(correction_id(name)) or 0) + 1
        properties = CommitProperties(app_transactions=[Transaction(correction_id(name), version)])
        write_deltalake(
            table, rows, mode="append", schema_mode="merge", writer_properties=_WRITER, commit_properties=properties
        )


def _from(settling: Settling | None, rows: pa.Table, part: Touched | None) -> Settling | None:
    """From where on scores are to be corrected; None if none are."""
    if part is None or not rows.num_rows:
        return settling
    first = int(pc.min(rows["window_end"].cast(pa.int64())).as_py()) * 1000
    if settling is None:
        return Settling(first, part.first, part.last)
    return Settling(min(first, settling.start), min(part.first, settling.first), max(part.last, settling.last))


def _add(into: Corrections, other: Corrections) -> None:
    into.features += other.features
    into.scores += other.scores
    into.notes |= other.notes
    into.crossed += other.crossed
    into.looked += other.looked


def _summary(late: int, made: Corrections, *, more: bool) -> Pass:
    return Pass(
        late=late,
        windows=sum(rows.num_rows for rows in made.features),
        scores=sum(rows.num_rows for rows in made.scores),
        crossed=made.crossed,
        more=more,
        notes=tuple(made.notes),
    )


def _entry(line: Line, now_us: int, **values: Any) -> pa.Table:
    schema = SCHEMAS[CORRECTIONS]
    day = pa.array([now_us // (86_400 * 10**6)], pa.int32()).view(pa.date32())
    columns: dict[str, pa.Array] = {"day": day, "time": pa.array([now_us]).view(TIME)}
    told_of = {"plant": line.plant, "class": line.asset_class, "shard": line.shard, **values}
    columns |= {name: pa.array([value], schema.field(name).type) for name, value in told_of.items()}
    return pa.table(columns).select(schema.names)
