"""Libraries we compare with and do not use.

They are installed into a folder of their own: in the environment of the product some of them would be imported by its
libraries (pyarrow imports pandas where it finds it), and so change what is measured.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.bench.harness import CannotRunError

FOLDER: Final = Path(sys.prefix) / "bench-peers"
_LOCK: Final = Path(__file__).parent / "peers.txt"


def need(module: str) -> None:
    """Make the peers importable in this process; installs them the first time.

    Raises
    ------
    CannotRunError
        If they cannot be installed.
    """
    if not (FOLDER / module).is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*command, "--target", FOLDER, "--requirement", _LOCK], check=False)
        if done.returncode:
            raise CannotRunError(f"{module} cannot be installed from {_LOCK.name}; see that a package index is reached")
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # at the end: what both have is the product's
