"""A picture that breaks its frame, or leads a person to a wrong conclusion."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from tests.support.lines import MODEL, PIPELINE, SECOND, line_config
from wheeltapper_api.wire import Alert, Stage
from wheeltapper_cli.screen import alert, fleet, keys_help, twin
from wheeltapper_cli.screen.draw import ASCII, UNICODE, Look, bar, cut, spark_scores, spark_values
from wheeltapper_cli.screen.model import Fleet, Screen, Sort, State, Twin, groups, press, worst_first
from wheeltapper_cli.screen.past import LinePast
from wheeltapper_cli.view import TwinRow
from wheeltapper_workers.runtime.blocks import encode_matrix, encode_names, encode_times, make_batch

NOW = 1_700_003_600 * SECOND
LOOK = Look()
RENDER = {Screen.FLEET: fleet, Screen.TWIN: twin, Screen.ALERT: alert, Screen.HELP: keys_help}


def features(past: LinePast, ends, values, mode="running", since=NOW - 1800 * SECOND):
    """Rows of all assets at some window ends; ``values`` [ends, assets, features]."""
    count, rows = len(past.assets), len(ends) * len(past.assets)
    return make_batch(
        Stage.FEATURES,
        {
            "asset": encode_names(list(past.assets), np.tile(np.arange(count), len(ends))),
            "window_end": encode_times(np.repeat(np.asarray(ends), count)),
            "mode": encode_names([mode], np.zeros(rows, np.int64)),
            "band": np.zeros(rows, np.int8),
            "mode_since": encode_times(np.full(rows, since)),
            "values": encode_matrix(np.asarray(values, float).reshape(rows, -1)),
            "coverage": encode_matrix(np.ones((rows, 3))),
            "quality": encode_matrix(np.zeros((rows, 3), np.uint16)),
            "telemetry_first": np.zeros(rows, np.uint64),
            "telemetry_last": np.zeros(rows, np.uint64),
            "received_last": encode_times(np.zeros(rows, np.int64)),
        },
        {"pipeline_digest": PIPELINE.digest},
    )


def scores(past: LinePast, ends, score, value=2.82, expected=1.54):
    """Rows of all assets at some window ends; ``score`` [ends, assets]."""
    count, rows = len(past.assets), len(ends) * len(past.assets)
    flat = np.asarray(score, float).reshape(-1)
    return make_batch(
        Stage.SCORES,
        {
            "asset": encode_names(list(past.assets), np.tile(np.arange(count), len(ends))),
            "failure_model": encode_names([MODEL.name], np.zeros(rows, np.int64)),
            "window_end": encode_times(np.repeat(np.asarray(ends), count)),
            "mode": encode_names(["running"], np.zeros(rows, np.int64)),
            "band": np.zeros(rows, np.int8),
            "mode_since": encode_times(np.zeros(rows, np.int64)),
            "score": flat,
            "reason": encode_names([""], np.zeros(rows, np.int64)),
            "values": encode_matrix(np.full((rows, 1), value)),
            "expected": encode_matrix(np.full((rows, 1), expected)),
            "deviation": encode_matrix(flat[:, None]),
            "coverage": np.ones(rows),
            "model_digest": encode_names(["sha256:1"], np.zeros(rows, np.int64)),
            "baseline_digest": encode_names(["b"], np.zeros(rows, np.int64)),
            "features_sequence": np.zeros(rows, np.uint64),
            "telemetry_first": np.zeros(rows, np.uint64),
            "telemetry_last": np.zeros(rows, np.uint64),
            "received_last": encode_times(np.zeros(rows, np.int64)),
        },
        {"pipeline_digest": PIPELINE.digest},
    )


def an_alert(asset: str, severity: str = "watch", opened: str = "2023-11-14T23:10:00Z") -> Alert:
    blocks = {"stream": "TELEMETRY", "first": 7, "last": 42}
    return Alert.model_validate(
        {
            "alert_id": f"{asset}-wear-57f425e5",
            "asset": asset,
            "asset_title": asset.upper(),
            "plant": "riverside",
            "class": "pump",
            "criticality": "A",
            "failure_model": "wear",
            "failure_mode": "Bearing wear",
            "severity": severity,
            "state": "open",
            "score": 1.79,
            "peak_score": 2.2,
            "since": "2023-11-14T23:09:40Z",
            "opened": opened,
            "updated": opened,
            "confidence": 0.83,
            "confidence_because": "medium; the last 4 measurements were above the limit, all data good",
            "delayed": False,
            "twin_mode": "review",
            "operating_mode": "running",
            "summary": f"{asset.upper()}: bearing wear. Vibration is 2.82 mm/s, 1.8 times normal; this machine usually "
            "has 1.54 mm/s when running. Do at the next planned stop: grease the bearing.",
            "contributions": [
                {
                    "feature": "vibration-level",
                    "title": "Vibration",
                    "unit": "mm/s",
                    "value": 2.82,
                    "expected": 1.54,
                    "deviation": 1.79,
                    "signals": ["vibration"],
                }
            ],
            "action": {
                "recommend": "Grease the bearing",
                "when": "next-planned-stop",
                "inspect": ["Listen to the drive end"],
                "capture": ["A picture of the grease"],
                "if_clears": "Greasing helped; look again in a week",
                "parts": ["1 x 6309-2Z"],
            },
            "lineage": {
                "signals": ["vibration"],
                "telemetry": blocks,
                "features": blocks | {"stream": "FEATURES"},
                "scores": blocks | {"stream": "SCORES"},
                "pipeline_digest": "sha256:3392fbc5b22fabcdef",
                "model_digest": "sha256:306f95c06c62abcdef",
                "baseline_digest": "9c43576c331134f7",
                "policy_digest": "sha256:1",
                "failure_model": "wear",
                "failure_model_version": "1.0.0",
                "generation": "02e23cbac110564a",
                "window_end": opened,
                "rule": {"severity": severity, "above": 1.0, "hold": "20s", "score": 1.79},
                "trace_id": "7047f0038aec06caf751dd9f22deece6",
                "software": {},
            },
        }
    )


def station(count: int = 3, **alerts: str) -> Fleet:
    """A line of pumps; the score of the first rises, and so on by severity of ``alerts`` by position (p1='act')."""
    names = [f"p-{position + 1}" for position in range(count)]
    past = LinePast(line_config(names))
    ends = NOW - SECOND * 10 * np.arange(60)[::-1]
    rise = np.linspace(0.0, 1.79, 60)[:, None] * (np.arange(count) == 0) + 0.08 * (np.arange(count) > 0)
    level = np.stack([1.54 + rise, np.full_like(rise, np.nan), 1480 + 0 * rise], axis=2)
    past.take_features(features(past, ends, level))
    past.take_scores(scores(past, ends, rise))
    twins, opened = [], []
    for position, name in enumerate(names):
        severity = alerts.get(f"p{position + 1}")
        score = round(float(rise[-1, position]), 2)
        row = TwinRow("northwater", "riverside", name, name.upper(), "A", 1.2, stale=False, mode="running", score=score)
        row.failure_model, row.health = "wear", severity or "good"
        row.models = {"wear": {"score": score, "severity": severity, "why": ""}}
        own = (an_alert(name, severity),) if severity else ()
        opened += own
        twins.append(Twin(row, past, own))
    return Fleet(tuple(twins), worst_first(opened), {}, (), NOW, past.span_ns)


def drawn(shown: Fleet, state: State, look: Look = LOOK) -> list[str]:
    lines, _ = RENDER[state.screen].render(shown, state, look)
    return [line.plain for line in lines]


def picture(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n")


FLEET = """\
 Wheeltapper  3 twins   △ 1 watch  ✓ 2 good                        1 open alert
*  Twin           Fresh Mode        Score Highest score of   10 min     Alert
 Riverside · Pump  3  △ 1
>△ P-1            1.2 s Running      1.79 Bearing wear       ▁▂▃▃▄▅▅▆▇█ △ 3 min
 ✓ P-2            1.2 s Running      0.08 Bearing wear       ▁▁▁▁▁▁▁▁▁▁
 ✓ P-3            1.2 s Running      0.08 Bearing wear       ▁▁▁▁▁▁▁▁▁▁"""


def test_fleet_at_80_columns():
    lines = drawn(station(p1="watch"), State())
    assert picture(lines[:6]) == FLEET
    assert lines[-1].startswith(" Enter open  / filter  s by health  a alerts  ? help")
    assert lines[-1].endswith(" 3 ")


def test_foot_says_what_leaving_does():
    assert "Ctrl-C stops" in drawn(station(), State())[-1]
    last = drawn(station(), State(may_leave=True))[-1]
    assert "q leave" in last
    assert "Ctrl-C" not in last


TWIN = """\
 △ watch  P-1  Riverside · Pump                                   criticality A
   newest sample 1.2 s   mode Running since 22:43:20 on 14 November
   △ watch: Bearing wear, open for 3 min

 Failure model           score                1 = limit       10 min
  Bearing wear             1.79 ━━━━━━━━━━━━━━┃━━━━━━━━━━━───  ▁▁▂▂▃▃▄▄▄▅▅▆▆▇▇█

 Feature                                value     expected    off  10 min
  Vibration                         3.33 mm/s    1.54 mm/s  +1.79  ▁▁▂▂▃▄▄▅▅▆▇▇█
  Kurtosis of the vibration                 -            -
  Speed                              1480 rpm            -         ▄▄▄▄▄▄▄▄▄▄▄▄▄

 Modes
  from 22:43:20 on 14 November, 30 min         running below 1000 rpm"""


def test_twin_at_80_columns():
    lines = drawn(station(p1="watch"), State(Screen.TWIN, twin=("northwater", "riverside", "p-1")))
    assert picture(lines[:-1]) == TWIN


ALERT = """\
 △ watch  Bearing wear, P-1                                              1 of 1
  P-1: bearing wear. Vibration is 2.82 mm/s, 1.8 times normal; this machine
  usually has 1.54 mm/s when running. Do at the next planned stop: grease the
  bearing.

 What the model saw                   value        usual    off  ┃ limit
  Vibration                       2.82 mm/s    1.54 mm/s  +1.79  ━━━━━━━┃━━━━━─

 What to do  at the next planned stop
  Grease the bearing
  Inspect
    · Listen to the drive end
  Capture
    · A picture of the grease
  Parts
    · 1 x 6309-2Z
  If it clears
    · Greasing helped; look again in a week

 Times in UTC
  first seen 23:09:40 on 14 November, 4 min ago
  opened     23:10:00 on 14 November, 3 min ago
  last told  23:10:00 on 14 November, 3 min ago
  score      1.79, highest 2.20; 1 is the limit
  confidence 83%: medium; the last 4 measurements were above the limit, all
             data good

 What it rests on
  rule       watch: above 1 for 20s; it was 1.79
  model      wear 1.0.0, sha256:306f95c06c62
  baseline   9c43576c331134f7
  pipeline   sha256:3392fbc5b22f, config 02e23cbac110564a
  signals    vibration
  blocks     TELEMETRY 7 to 42; FEATURES 7 to 42; SCORES 7 to 42
  trace id   7047f0038aec06caf751dd9f22deece6
  hop by hop wheeltapper trace p-1-wear-57f425e5"""


def test_alert_at_80_columns():
    shown = station(p1="watch")
    lines = drawn(shown, State(Screen.ALERT, alert=shown.alerts[0].alert_id), Look(80, 50))
    assert picture(lines[:-1]) == ALERT


def crowd(count: int = 300) -> Fleet:
    """Twins of many plants with all that can be awkward in a name or a number."""
    chance = random.Random(7)
    titles = [
        "Pump P-{}",
        "水泵 {} 号泵房取水",
        "Very long name of a machine that nobody will ever shorten {}",
        "{}",
        "\x1b[2JP-{}\t\n",
    ]
    twins = []
    for number in range(count):
        health = chance.choice(["good", "watch", "warn", "act", "unknown"])
        row = TwinRow("northwater", f"plant-{number % 7}", f"p-{number}", chance.choice(titles).format(number), "A")
        row.health, row.mode = health, chance.choice([None, "steady", "a-mode-with-a-very-long-name"])
        row.score = chance.choice([None, 0.0, 0.99, 1.0, 1e9])
        row.failure_model = "bearing-wear-of-the-drive-end" if row.score is not None else ""
        row.why = "" if row.score is not None else "learning, 3 h of 24 h, and then some more words"
        row.fresh_s = chance.choice([None, 0.0, 9.96, 99.9, 1e7])
        row.stale = chance.random() < 0.3
        twins.append(Twin(row, None, ()))
    return Fleet(tuple(twins), (), {}, ("a\x1b[31mb", "c" * 300, "d"), NOW, 600 * SECOND)


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("size", [(80, 24), (81, 25), (100, 30), (200, 70), (40, 8), (20, 6)])
def test_every_screen_fits_every_size_and_never_moves_the_cursor(size, glyphs):
    look = Look(*size, glyphs)
    here = station(3, p1="act", p2="watch")
    states = [State(sort=sort) for sort in Sort]
    states += [State(filter="p-1"), State(filter="nothing has this"), State(typing=True, filter="x" * 40)]
    states += [State(Screen.TWIN, twin=here.twins[0].key), State(Screen.TWIN, twin=("a", "b", "c"))]
    states += [State(Screen.ALERT, alert=here.alerts[0].alert_id, scroll=9), State(Screen.ALERT, alert="x")]
    states += [State(Screen.HELP)]
    for shown in (here, crowd(), Fleet()):
        for state in states:
            lines = drawn(shown, state, look)
            assert len(lines) == size[1]
            for line in lines:
                assert cell_len(line) <= size[0], line
                assert line.isprintable(), repr(line)
                assert glyphs is UNICODE or shown is not here or line.replace("·", "").replace("°", "").isascii(), line


def test_every_twin_can_be_reached_and_the_cursor_is_always_on_the_screen():
    shown, state, look = crowd(), State(), Look()
    seen = set()
    for _ in range(len(shown.twins)):
        lines, room = fleet.render(shown, state, look)
        marked = [line.plain for line in lines if line.plain.startswith(">")]
        assert len(marked) == 1
        chosen = state.twin or groups(shown, state)[0][1][0].key
        seen.add(chosen)
        state = press(state, "down", shown, room)
    assert len(seen) == len(shown.twins)


def test_worst_comes_first_by_health_and_silence_first_by_freshness():
    shown = crowd()
    first = {sort: groups(shown, State(sort=sort))[0][1][0].row for sort in Sort}
    assert first[Sort.HEALTH].health == "act"
    assert first[Sort.SCORE].score == 1e9
    assert first[Sort.FRESHNESS].fresh_s is None


def test_names_sort_as_people_count():
    names = [twin.row.title for _, members in groups(station(11), State(sort=Sort.NAME)) for twin in members]
    assert names == [f"P-{number}" for number in range(1, 12)]


def test_filter_takes_every_word_and_looks_at_plant_mode_and_health():
    shown = station(12, p3="act")

    def left(text: str) -> list[str]:
        return [twin.row.twin for _, members in groups(shown, State(filter=text)) for twin in members]

    assert left("ACT") == ["p-3"]
    assert left("river p-12") == ["p-12"]
    assert left("running good p-3") == []
    assert len(left("riverside")) == 12


def test_stale_twin_has_no_score_in_its_screen_and_says_how_long_it_is_silent():
    shown = station(1)
    row = replace(shown.twins[0].row, stale=True, fresh_s=700.0, score=None, models={}, why="no data for 11 min 40 s")
    shown = replace(shown, twins=(replace(shown.twins[0], row=row),))
    lines = drawn(shown, State(Screen.TWIN, twin=shown.twins[0].key))
    assert any("newest sample 12 min!" in line for line in lines)
    model = next(line for line in lines if line.startswith("  Bearing wear"))
    assert " - " in model
    assert "no data for 11 min 40 s" in model


@pytest.mark.parametrize("score", [0.0, 0.99, 1.0, 1.5, 2.0, 50.0, np.inf, np.nan])
def test_bar_reaches_the_limit_only_where_the_score_does(score):
    drawn_bar = bar(score, 40, Look()).plain
    assert len(drawn_bar) == 40
    assert drawn_bar[20] == "┃"
    assert (drawn_bar[21] == "━") == (score > 1.05 and np.isfinite(score))


def test_sparkline_keeps_a_short_peak_and_shows_gaps():
    row = np.full(60, 0.1, np.float32)
    row[30] = 2.0
    row[40:] = np.nan
    assert spark_scores(row, 12, Look()).plain == "▁▁▁▁▁▁█▁    "
    assert spark_values(np.array([5.0, 5.001, 5.0], np.float32), 3, Look(), resolution=0.01).plain == "▄▄▄"


def test_colour_only_repeats_what_is_written():
    healths = {health: f"{sign}" for health, sign in UNICODE.marks.items()}
    assert len(set(healths.values())) == 5
    assert len(set(ASCII.marks.values())) == 5


def test_wide_characters_are_cut_between_and_not_within():
    assert cell_len(cut("水泵水泵水泵", 7, Look())) == 7
