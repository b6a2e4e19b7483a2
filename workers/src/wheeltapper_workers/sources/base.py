"""What every source is to the collector, whatever its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from wheeltapper_api.config import SeriesConfig
from wheeltapper_workers.contracts.problems import SeriesProblem
from wheeltapper_workers.contracts.raw import RawBatch


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """A connection as the status document shows it."""

    connected: bool
    since_ns: int
    """When it last changed from connected to not connected or back."""
    message: str = ""
    """Why it is not connected and what to do; empty while it is."""
    connects: int = 0
    """How often it was made."""


class Delivery:
    """A batch and the duty to say when it is safe.

    ``done`` is to be called once the batch is in the stream, by the stream's own acknowledgement. Only then does the
    source acknowledge it to the machine's side. Deliveries may be done in any order; calling it again does nothing.
    """

    __slots__ = ("_batch", "_done", "_make", "broken", "place")

    def __init__(
        self, make: Callable[[], RawBatch], done: Callable[[], None], broken: str = "", place: str = ""
    ) -> None:
        self.broken = broken
        """Why samples of any series may be missing in front of it; empty if none are."""
        self.place = place
        """What the source calls it, so that the next run can tell what comes after it; empty if it does not need to."""
        self._make = make
        self._batch: RawBatch | None = None
        self._done: Callable[[], None] | None = done

    @property
    def batch(self) -> RawBatch:
        """The samples, in positions of the list of series that holds when this is first read. May be empty."""
        if self._batch is None:
            self._batch = self._make()
        return self._batch

    def done(self) -> None:
        """Acknowledge."""
        done, self._done = self._done, None
        if done is not None:
            done()


@dataclass(frozen=True, slots=True)
class History:
    """What the machine's side had kept."""

    batch: RawBatch
    """Samples in the order of their source times."""
    complete: npt.NDArray[np.bool_]
    """For each series that was asked for: whether nothing is missing since the sample that was named."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a source hands to the one that follows it after a restart, through the collector's checkpoint."""

    memory: dict[str, Any]
    """Ready for JSON; empty at first. No secrets."""
    keep: Callable[[dict[str, Any]], None]
    """Save another memory now."""
    place: str = ""
    """Of the last delivery that is in the stream as a whole; empty if it is not known."""


NOTHING_KEPT: Final = Kept({}, lambda _: None)


class Source(Protocol):
    """A connection that delivers samples until it is closed, through every failure of the other side.

    At most a fixed number of deliveries are open at a time; a consumer that does not call ``done`` stops the flow, and
    what comes meanwhile waits at the machine's side as long as that can keep it.
    """

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Deliveries in the order of their receipt; ends when the source is closed."""

    def connection(self) -> ConnectionState:
        """State of the connection."""

    def problems(self) -> list[SeriesProblem]:
        """Addresses that do not work, one entry for every series that is read from one."""

    def status_name(self, code: int) -> str:
        """Name of a status code of this protocol."""

    async def history(self, series: npt.NDArray[np.int32], since_ns: npt.NDArray[np.int64], until_ns: int) -> History:
        """What the machine's side has kept of some series, each from its own known sample on.

        Parameters
        ----------
        series
            Positions, [n].
        since_ns
            Source time of the last sample known, [n].
        until_ns
            Where to end.

        Raises
        ------
        ConnectionError
            If the other side cannot be asked now.
        """

    async def reconfigure(self, series: Sequence[SeriesConfig]) -> None:
        """Read these series from now on; items whose address and interval stay are not touched.

        Batches first looked at after this call use positions in the new list.
        """

    async def close(self, *, keep: bool = False) -> None:
        """Let go of the connection and everything that runs.

        ``keep`` leaves at the other side what the next run of the collector can go on with.
        """


async def batches(source: Source) -> AsyncIterator[RawBatch]:
    """Batches of a source, each acknowledged when the body of the ``async for`` is through with it."""
    async for delivery in source.deliveries():
        yield delivery.batch
        delivery.done()


def without_secret(secret: Path | None) -> str:
    """What to add to the reason of a failed connection whose Secret is named and not there; empty if it is."""
    # What begins with two dots is there whenever Kubernetes has mounted something.
    if secret is None or (secret.is_dir() and any(not entry.name.startswith("..") for entry in secret.iterdir())):
        return ""
    return f" The secret {secret.name} is not there, or empty: create it."
