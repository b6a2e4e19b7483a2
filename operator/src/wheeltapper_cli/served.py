"""Commands that answer from a cluster, too: through the gateway of a tenant, which runs the very same command.

A command says so by its class: ``@click.command(cls=Served, resource="telemetry")``. Everything that decides what a
gateway accepts follows from that: commands without it are refused there, and of a command that has it every parameter
is accepted but those that say where an installation is. Parameters that name local files have to be declared, so that
nobody's path is ever opened on the other side.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click
from click.core import ParameterSource

from wheeltapper_cli.errors import InvalidInputError

Resource = Literal["alerts", "audit", "evidence", "tables", "telemetry", "workers"]
"""Subresource of ``assettwins`` that a person has to be allowed to ``get``."""

PLUGIN: Final = "kubectl twin"
"""Name of the command line as a plugin of kubectl."""

SHOWN_FOLDER: Final = "WHEELTAPPER_SHOWN_FOLDER"
"""Environment variable: the folder in which a person wants what a command writes, where it writes elsewhere first."""

_CHOICE: Final = "wheeltapper.cluster"
_WHERE: Final = {"state", "tenant"}
"""Parameters that say which installation is meant; in a cluster the namespace says it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tenant of which cluster; what is None is as kubectl has it."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None


def chosen(context: click.Context) -> Choice | None:
    """The cluster that a command speaks to, or None where it speaks to an installation on this machine."""
    given: Mapping[str, str] = context.meta.get(_CHOICE, {})
    return Choice(**given) if given or context.find_root().obj == PLUGIN else None


def _choose(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta.setdefault(_CHOICE, {})[str(parameter.name)] = value


def cluster_options() -> list[click.Option]:
    """Options that choose a cluster, named as kubectl names them."""
    told: dict[str, Any] = {"expose_value": False, "callback": _choose}
    return [
        click.Option(["--namespace", "-n"], help="Ask the tenant of this namespace in a cluster.", **told),
        click.Option(["--context"], help="Ask the cluster of this context of the kubeconfig.", **told),
        click.Option(["--kubeconfig"], help="File that says how to reach the cluster.", **told),
    ]


class Served(click.Command):
    """A command that a gateway runs for people.

    Parameters
    ----------
    resource
        What a person needs access to.
    reads
        Names of parameters that name a file whose content goes with the request.
    writes
        Name of the parameter that names what the command writes, or nothing; it may be a file or a folder.
    writes_default
        How the name of what is written begins where the person names nothing.
    """

    def __init__(
        self,
        *args: Any,
        resource: Resource,
        reads: Sequence[str] = (),
        writes: str = "",
        writes_default: str = "",
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.resource, self.reads, self.writes, self.writes_default = resource, reads, writes, writes_default
        if reads and writes:
            raise TypeError(f"{self.name}: what it reads would be sent back among what it writes")
        undeclared = {
            str(one.name)
            for one in self.params
            if isinstance(one.type, click.Path | click.File) and one.name not in {*_WHERE, *reads, writes}
        }
        if undeclared:
            raise TypeError(f"{self.name}: say whether it reads or writes {', '.join(sorted(undeclared))}")
        used = {option for one in self.params for option in one.opts}
        self.params += [one for one in cluster_options() if not used & set(one.opts)]

    @property
    def accepted(self) -> dict[str, click.Parameter]:
        """Parameters that may come through a gateway, by name, in their order."""
        return {str(one.name): one for one in self.params if one.expose_value and one.name not in _WHERE}

    def invoke(self, ctx: click.Context) -> Any:
        """Run here, or have the gateway run it."""
        choice = chosen(ctx)
        if choice is None:
            return super().invoke(ctx)
        refuse_place(ctx)
        from wheeltapper_cli.cluster.command import run  # noqa: PLC0415 - Kubernetes' client takes a second to load

        return ctx.exit(run(choice, self, ctx))


def refuse_place(context: click.Context) -> None:
    """Refuse options that say where an installation is on this machine, where a cluster is spoken to.

    Raises
    ------
    InvalidInputError
        If one is given.
    """
    for name in sorted(_WHERE & context.params.keys()):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise InvalidInputError(
                f"--{name} is for an installation on this machine; choose a tenant with --namespace"
            )


def refuse_cluster(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    """Refuse a command that needs an installation on this machine where a cluster is spoken to.

    Raises
    ------
    InvalidInputError
        If it does; callback of the option ``--state``.
    """
    if chosen(context) is not None and not isinstance(context.command, Served):
        raise InvalidInputError(
            f"{context.info_name} is for an installation on this machine; call it as wheeltapper {context.info_name}"
        )
    return value


def shown(path: str) -> str:
    """A path that a command has written, as the person named it."""
    folder = os.environ.get(SHOWN_FOLDER)
    return str(Path(folder) / path) if folder else path
