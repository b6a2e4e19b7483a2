"""Follows the files that are run: an edit is live within seconds, and a wrong one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from wheeltapper_api.documents import find_files
from wheeltapper_cli.errors import CommandError, InvalidInputError
from wheeltapper_cli.files import load_valid
from wheeltapper_cli.installation import Installation
from wheeltapper_cli.reporters import Reporter
from wheeltapper_operator.compile import compile_plan


class Files:
    """Files and folders as they were when they were last looked at; that is first when this is made."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._seen = self._state()
        self._refusal = ""

    async def follow(self, installation: Installation, shown: Reporter) -> None:
        """Apply the files if they have changed."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            plan = compile_plan(await asyncio.to_thread(load_valid, self._paths))
        except InvalidInputError as error:
            shown.progress(f"{error.message}\nWhat ran before goes on.")
            return
        try:
            await installation.apply(plan)
        except CommandError as error:
            self._try_again(error.message, shown)
            return
        self._refusal = ""
        shown.progress("The changed files are in force")

    def _try_again(self, refusal: str, shown: Reporter) -> None:
        """Files that are right but cannot be applied now count as not seen; why is told once."""
        if refusal != self._refusal:
            shown.progress(f"The changed files are not in force yet; trying again. {refusal}")
        self._seen, self._refusal = {}, refusal

    def _state(self) -> dict[Path, int]:
        found = {}
        for file in find_files(list(self._paths)):
            with contextlib.suppress(OSError):  # an editor replaces it just now, or it leads nowhere
                found[file] = file.stat().st_mtime_ns
        return found
