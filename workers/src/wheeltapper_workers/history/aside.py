"""What belongs in no table, kept as small files beside them: bad blocks, and gaps in what was stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

import pyarrow.fs as pafs

from wheeltapper_api.wire import Stage
from wheeltapper_workers.history.pending import BadBlock
from wheeltapper_workers.history.streams import Gap
from wheeltapper_workers.history.tables import QUARANTINE, UNREAD, Store

_GAP: Final = re.compile(r"([A-Z]+)-(\d+)-(\d+)\.json")


def keep_bad(store: Store, tenant: str, bad: Iterable[BadBlock], most: int) -> None:
    """Keep bad blocks, named so that a second time overwrites the first; beyond ``most`` blocks they are let go."""
    bad = list(bad)
    if not bad:
        return
    files = store.files(tenant, QUARANTINE)
    kept = len(files.get_file_info(pafs.FileSelector("", allow_not_found=True)))
    for block in bad[: max(0, (most * 2 - kept) // 2)]:
        name = f"{block.stage.stream}-{block.sequence}"
        told = {"subject": block.subject, "publishedNs": block.published_ns, "reason": block.reason}
        _write_file(files, f"{name}.block", block.payload)
        _write_file(files, f"{name}.json", json.dumps(told).encode())


def keep_gaps(store: Store, tenant: str, gaps: Iterable[Gap]) -> None:
    """Keep gaps, for whoever wonders later why there is nothing."""
    for gap in gaps:
        told = {"stream": gap.stage.stream, "first": gap.first, "last": gap.last, "because": str(gap)}
        name = f"{gap.stage.stream}-{gap.first}-{gap.last}.json"
        _write_file(store.files(tenant, UNREAD), name, json.dumps(told).encode())


def kept_gaps(store: Store, tenant: str) -> list[Gap]:
    """Gaps that were kept."""
    found = store.files(tenant, UNREAD).get_file_info(pafs.FileSelector("", allow_not_found=True))
    stages = {stage.stream: stage for stage in Stage}
    names = [_GAP.fullmatch(info.base_name) for info in found]
    return [Gap(stages[name[1]], int(name[2]), int(name[3])) for name in names if name and name[1] in stages]


def _write_file(files: pafs.FileSystem, name: str, data: bytes) -> None:
    with files.open_output_stream(name) as stream:
        stream.write(data)
