"""Files that a gateway sends, written where the person wants them and nowhere else."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from wheeltapper_cli.errors import InvalidInputError
from wheeltapper_cli.gateway.frames import FrameError

_LONGEST: Final = 1000
_DEEPEST: Final = 16


class Received:
    """Takes files into a folder of its own, which nobody else has put anything into, and moves them at the end.

    Parameters
    ----------
    target
        File or folder that the person named. None lets the command name it.
    default
        How the name then begins; empty if the command writes nothing.

    Raises
    ------
    InvalidInputError
        If there is something already.
    """

    def __init__(self, target: Path | None, default: str) -> None:
        self._target, self._default = target, default
        self._folder = target.parent if target else Path.cwd()
        if target is not None:
            _refuse_what_is_there(target)
        self._partial: Path | None = None
        self._file: BinaryIO | None = None

    def __enter__(self) -> Received:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing that is not whole."""
        self._close()
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)

    def begin(self, name: str) -> None:
        """Take the next file, of which the name is relative.

        Raises
        ------
        FrameError
            If it is no name of a file within what was asked for.
        OSError
            If it cannot be written.
        """
        self._close()
        parts = name.split("/")
        wrong = {"", ".", ".."} & set(parts) or {"\\", "\0", ":"} & set(name)
        if wrong or len(name) > _LONGEST or len(parts) > _DEEPEST or not self._is_wanted(parts[0]):
            raise FrameError(f"The gateway sends a file that was not asked for: {name[:_LONGEST]!r}")
        if self._partial is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._partial = Path(tempfile.mkdtemp(prefix=".wheeltapper-", dir=self._folder))
        file = self._partial.joinpath(*parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("xb")

    def content(self, data: bytes) -> None:
        """More of the file that was begun last."""
        if self._file is None:
            raise FrameError("The gateway sends content of no file")
        self._file.write(data)

    def finish(self) -> None:
        """Everything has come: put it where it belongs."""
        self._close()
        for found in sorted(self._partial.iterdir()) if self._partial else []:
            place = self._folder / found.name
            _refuse_what_is_there(place)
            if place.is_dir():
                place.rmdir()
            found.rename(place)

    def _is_wanted(self, first: str) -> bool:
        if self._target is None:
            return bool(self._default) and first.startswith(self._default)
        # Beside a file that is exported lies one that describes it.
        return first in {self._target.name, f"{self._target.stem}.datapackage.json"}

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def _refuse_what_is_there(place: Path) -> None:
    is_empty_folder = place.is_dir() and not place.is_symlink() and not any(place.iterdir())
    if (place.exists() or place.is_symlink()) and not is_empty_folder:
        raise InvalidInputError(f"{place} is there already; name another place with --to")
