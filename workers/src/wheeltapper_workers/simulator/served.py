"""What the live server needs of a plant, whichever machines it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from wheeltapper_workers.simulator.disturb import Sample, Series
from wheeltapper_workers.simulator.truth import TruthEvent

Routes = dict[str, dict[Series, list[str]]]
"""Series that go by each protocol (``opcua``, ``mqtt``), with their topics."""


class Plant(Protocol):
    """A plant that can be served live, or written in bulk."""

    @property
    def name(self) -> str:
        """Name under which its gateway is known to a broker."""

    def routes(self) -> Routes:
        """Everything that is measured, and how it is served."""

    def second(self, epoch_s: int, second_s: int) -> dict[Series, Sample]:
        """What is served of one second; faults count from the epoch, the first live start.

        The first second that is asked for has every regular series undisturbed. The next second is cheap; any other
        one costs a simulation of the hours before it.
        """

    def truth(self, start_ns: int, end_ns: int, epoch_ns: int) -> list[TruthEvent]:
        """What really happens in [start_ns, end_ns), in order of time."""

    def bulk(self, start_s: int, end_s: int, *, faults: bool) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Samples of [start_s, end_s) in long form and in order of time, and until when they reach.

        Faults count from the start; without them the machines are healthy.
        """
