"""The cluster's programs, built from their published Go modules into a cache that all checkouts share."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

KUBERNETES_VERSION: Final = "v1.33.4"

_MODULES: Final = Path(__file__).parent / "modules"
_VERSION: Final = {
    f"k8s.io/{package}.{name}": value
    for package in ("component-base/version", "client-go/pkg/version")
    for name, value in {"gitVersion": KUBERNETES_VERSION, "gitMajor": "1", "gitMinor": "33"}.items()
}

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Module:
    """A Go module in a folder of the same name, what is built of it, and values that its builders set."""

    name: str
    packages: tuple[str, ...] = ("tool",)
    values: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)


KUBERNETES: Final = Module("kubernetes", ("tool", "./pause"), _VERSION, {"server": "etcd"})
COREDNS: Final = Module("coredns", (".",))
HELM: Final = Module("helm")


def cache() -> Path:
    """Folder in which what was built is kept from one run to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "wheeltapper" / "cluster"


def go() -> str:
    """The Go command, also where its usual folder is not on the path."""
    return shutil.which("go") or "/usr/local/go/bin/go"


def built(module: Module) -> bool:
    """Whether a module's programs are in the cache."""
    return _folder(module).is_dir()


def folder_of(module: Module, tell: Tell) -> Path:
    """Folder with the programs of a module, built where they are not yet.

    Raises
    ------
    RuntimeError
        When Go cannot build them; it says what the compiler said.
    """
    if not built(module):
        with locked(cache() / f"{module.name}.lock", tell):
            if not built(module):
                _build(module, _folder(module), tell)
    return _folder(module)


@contextlib.contextmanager
def locked(file: Path, tell: Tell) -> Iterator[None]:
    """Hold a lock file, so that two runs do not make the same thing; the system frees it when its holder dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"Waiting for another run, which holds {file}")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _folder(module: Module) -> Path:
    """Folder named by a digest of all that decides what comes out, save for Go itself."""
    source = _MODULES / module.name
    files = sorted(path for path in source.rglob("*") if path.name in {"go.mod", "go.sum"} or path.suffix == ".go")
    content = b"".join(path.read_bytes() for path in files) + repr(module).encode()
    return cache() / f"{module.name}-{hashlib.sha256(content).hexdigest()[:16]}"


def _build(module: Module, folder: Path, tell: Tell) -> None:
    began = time.monotonic()
    total = len(_go(module, "list", "-deps", *module.packages).splitlines())
    tell(f"Building {module.name} from its Go modules: {total} packages, some minutes the first time")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{module.name}-") as work:
        out = Path(work) / "out"
        _compile(module, out, total, tell)
        for old, new in module.renamed.items():
            (out / old).rename(out / new)
        shutil.move(out, folder)
    tell(f"Built {module.name} in {time.monotonic() - began:.0f} s")


def _compile(module: Module, out: Path, total: int, tell: Tell) -> None:
    """Compile a module's packages, telling every ten seconds how far it is."""
    flags = "-s -w " + " ".join(f"-X {name}={value}" for name, value in module.values.items())
    out.mkdir()
    command = ["nice", "-n", "10", go(), "build", "-v", "-trimpath", f"-ldflags={flags}", f"-o={out}/"]
    done: list[str] = []
    told = time.monotonic()
    with subprocess.Popen(
        [*command, *module.packages],
        cwd=_MODULES / module.name,
        env=_environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            done.append(line.rstrip())
            if time.monotonic() > told + 10:
                told = time.monotonic()
                tell(f"  {len(done)} of at most {total}: {done[-1]}")
    if process.returncode:
        raise RuntimeError(f"{module.name} cannot be built:\n" + "\n".join(done[-20:]))


def _go(module: Module, *arguments: str) -> str:
    command = [go(), *arguments]
    done = subprocess.run(
        command, cwd=_MODULES / module.name, env=_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed for {module.name}: {done.stderr[-2000:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    # Two at a time: a package of Kubernetes takes up to a gigabyte to compile, and others use the machine, too.
    fixed = {"CGO_ENABLED": "0", "GOMAXPROCS": "2", "GOFLAGS": "-p=2 -buildvcs=false -mod=readonly", "GOWORK": "off"}
    return os.environ | fixed
