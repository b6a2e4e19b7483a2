"""The project's own images, built from their Containerfiles on a base that is made here: no registry is asked.

Packages come from wherever pip is configured to take them, before the build; the build itself sees only their files.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cluster.programs import Tell, cache, locked

ROOT: Final = Path(__file__).parents[2]
# The base's Python, for which packages are fetched.
PYTHON: Final = "3.11"
_SUITE: Final = "bookworm"
# What a public Python image has beyond the essential system and is used here.
_PACKAGES: Final = "python3,python3-venv,ca-certificates,libstdc++6"
_BASE: Final = f"wheeltapper.test/base:{hashlib.sha256(f'{_SUITE},{_PACKAGES}'.encode()).hexdigest()[:16]}"


def archive_of(part: str, folder: Path, tell: Tell) -> tuple[str, Path]:
    """Name and archive of the image of a part, ``workers`` or ``operator``, built of what stands in this checkout.

    Raises
    ------
    RuntimeError
        When a step of the build fails; it says what the step said.
    """
    name, archive = f"wheeltapper.test/{part}:1", folder / f"{part}.tar"
    with locked(cache() / "images.lock", tell):
        _base(tell)
        wheels = _wheels(part, tell)
        tell(f"Building the image of {part}")
        _build(part, name, wheels)
        archive.unlink(missing_ok=True)
        _buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")
    return name, archive


def _base(tell: Tell) -> None:
    """Make the base image: Debian's smallest system with its Python."""
    known = subprocess.run(_command("inspect", "--type=image", _BASE), capture_output=True, check=False)
    if known.returncode == 0:
        return
    tell("Making the base image of Debian packages")
    system = cache() / "base.tar"
    _run(["mmdebstrap", "--quiet", "--variant=essential", f"--include={_PACKAGES}", _SUITE, str(system)])
    container = _buildah("from", "scratch").strip()
    try:
        _buildah("add", "--quiet", container, str(system), "/")
        _buildah("commit", "--quiet", container, _BASE)
    finally:
        _buildah("rm", container)
        system.unlink()


def _wheels(part: str, tell: Tell) -> Path:
    """Folder with the packages that an image of a part installs, and pip's configuration that points at it."""
    locks = [_run([sys.executable, "workers/lock_of.py", name]) for name in (part, "hatchling")]
    folder = cache() / f"wheels-{part}-{hashlib.sha256(''.join(locks).encode()).hexdigest()[:16]}"
    if (folder / "pip.conf").exists():
        return folder
    tell(f"Fetching the packages of {part}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.lock").write_text("".join(locks))
    choice = [
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={PYTHON}",
    ]
    where = [f"--dest={folder}", f"--requirement={folder / 'requirements.lock'}"]
    # An environment need not have pip.
    _run([sys.executable, "-m", "venv", str(cache() / "pip")])
    _run([str(cache() / "pip" / "bin" / "pip"), "download", "--quiet", *choice, *where])
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return folder


def _build(part: str, name: str, wheels: Path) -> None:
    # Without a limit of its own Debian's apt and pip close a billion descriptors one by one.
    how = ["--isolation=chroot", "--ulimit=nofile=20000:20000", "--pull-never", "--layers", f"--build-arg=BASE={_BASE}"]
    mounts = [f"--volume={wheels}:/wheels:ro", f"--volume={wheels / 'pip.conf'}:/etc/pip.conf:ro"]
    _buildah("build", "--quiet", *how, *mounts, f"--file={part}/Containerfile", f"--tag={name}", str(ROOT))


def _command(*arguments: str) -> list[str]:
    # Storage of our own: a developer's images are left alone, and all of it goes with the cache.
    store = cache() / "buildah"
    folders = [f"--root={store / 'root'}", f"--runroot={store / 'run'}", "--storage-driver=overlay"]
    return ["nice", "-n", "10", "buildah", *folders, *arguments]


def _buildah(*arguments: str) -> str:
    return _run(_command(*arguments))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout
