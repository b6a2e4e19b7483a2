"""The corrector as a part of the store worker: a bounded pass over each line, again and again, in a thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from deltalake.exceptions import CommitFailedError

from wheeltapper_api.wire import Line
from wheeltapper_workers.history.late.corrector import Corrector, Pass
from wheeltapper_workers.history.place import PlaceError
from wheeltapper_workers.history.query import QueryError
from wheeltapper_workers.history.store_words import STORAGE_ERRORS, said
from wheeltapper_workers.history.tables import Store

log = logging.getLogger(__name__)

REST_SECONDS: Final = 15.0
"""Between looks for late samples: what is late by then is corrected in one commit."""


class CorrectionJob:
    """Corrects the lines of one tenant.

    Parameters
    ----------
    open_store
        Opens the place of the tables; called again after they could not be reached, since keys may be replaced.
    """

    def __init__(self, tenant: str, open_store: Callable[[], Store]) -> None:
        self._tenant, self._open_store = tenant, open_store
        self._corrector: Corrector | None = None
        self._late = self._windows = self._scores = 0
        self._problems: dict[Line, str] = {}

    async def run(self, lines: Callable[[], list[Line]]) -> None:
        """Correct until cancelled; ``lines`` is asked for the lines of now."""
        try:
            while True:
                await asyncio.sleep(REST_SECONDS)
                for line in lines():
                    while await self._pass(line):
                        pass
        finally:
            if self._corrector is not None:  # its thread would go on
                self._corrector.stop()
            self._corrector = None

    @property
    def problem(self) -> str:
        """What keeps late data from being corrected; empty if nothing does."""
        return "; ".join(dict.fromkeys(problem for problem in self._problems.values() if problem))

    def summary(self) -> dict[str, Any]:
        """For the status document: since the worker's start."""
        return {"late": self._late, "windows": self._windows, "scores": self._scores}

    async def _pass(self, line: Line) -> bool:
        """One pass over a line; returns whether another has something to do at once."""
        try:
            if self._corrector is None:
                self._corrector = await asyncio.to_thread(self._open)
            done = await asyncio.to_thread(self._corrector.work, line, time.time_ns() // 1000)
        except CommitFailedError as error:
            log.info("Late data is corrected another time: %s", error)
            return False
        except (QueryError, PlaceError, *STORAGE_ERRORS) as error:
            why = said(error) if isinstance(error, STORAGE_ERRORS) else str(error)
            self._tell(line, f"Late data of {line.plant}/{line.asset_class} is not corrected: {why}")
            self._corrector = None
            return False
        except Exception as error:  # what is wrong with a correction must not keep the historian from its work
            log.exception("Correcting %s/%s failed", line.plant, line.asset_class)
            self._tell(line, f"Late data of {line.plant}/{line.asset_class} is not corrected: {error!r}")
            return False
        self._tell(line, ". ".join(done.notes))
        self._count(line, done)
        return done.more

    def _open(self) -> Corrector:
        return Corrector(self._open_store(), self._tenant)

    def _count(self, line: Line, done: Pass) -> None:
        self._late += done.late
        self._windows += done.windows
        self._scores += done.scores
        if done.windows or done.scores:
            place = f"{line.plant}/{line.asset_class}"
            log.info("%s: late data corrected %d windows and %d scores", place, done.windows, done.scores)

    def _tell(self, line: Line, problem: str) -> None:
        if problem and problem != self._problems.get(line):
            log.warning("%s", problem)
        self._problems[line] = problem
