"""Process of a gateway: ``python -m wheeltapper_cli.gateway``, beside the store worker in its pod.

Environment: what the tenant's workers have (``WHEELTAPPER_TENANT``, ``_BACKBONE_URL``, ``_BACKBONE_CREDENTIALS``,
``_TABLES``, ``_TABLES_PLACE`` and ``_SECRETS``), ``WHEELTAPPER_NAMESPACE``, ``WHEELTAPPER_GATEWAY_TLS``, a folder with
``tls.crt`` and ``tls.key``, and ``WHEELTAPPER_GATEWAY_PORT``; the limits are in :class:`Limits`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from wheeltapper_cli.audit_log import AuditError, AuditLog
from wheeltapper_cli.gateway import offered
from wheeltapper_cli.gateway.access import Access
from wheeltapper_cli.gateway.limits import Limits
from wheeltapper_cli.gateway.server import Gateway
from wheeltapper_cli.pod import Pod
from wheeltapper_workers.runtime import jetstream

log = logging.getLogger(__name__)

_PORT: Final = "8443"
_RETRY_S: Final = 2.0
_LONGEST_TOKEN: Final = 32 * 2**10
_STOP_S: Final = 5.0


async def run() -> None:
    """Answer until told to stop."""
    task = asyncio.create_task(_serve())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _serve() -> None:
    own, limits, namespace = Pod.read(os.environ), Limits.read(os.environ), os.environ["WHEELTAPPER_NAMESPACE"]
    menu = await offered.ask()
    client = await jetstream.connect(own.backbone, own.credentials, "wheeltapper-gateway")
    access = Access.of_pod(namespace)
    try:
        audit = AuditLog(client)
        await _opened(audit)
        runner = _runner(Gateway(namespace, menu, access, audit, limits), limits)
        await runner.setup()
        try:
            await _site(runner).start()
            log.info("Answering for the tenant %s", own.tenant)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
    finally:
        await access.close()
        await client.close()


async def _opened(audit: AuditLog) -> None:
    """Wait until there is a log to write: without it nothing may be answered."""
    while True:
        try:
            return await audit.open()
        except AuditError as error:
            log.warning("The audit log cannot be opened: %s; trying again", error)
            await asyncio.sleep(_RETRY_S)


def _runner(gateway: Gateway, limits: Limits) -> web.AppRunner:
    silent = logging.getLogger("wheeltapper.silent")
    silent.addHandler(logging.NullHandler())
    silent.propagate = False
    return web.AppRunner(
        gateway.application(),
        handler_cancellation=True,  # a command whose asker has gone is ended
        access_log=None,
        logger=silent,  # what it says of a broken request has the request's headers in it, a token among them
        keepalive_timeout=limits.idle_seconds,
        auto_decompress=False,
        max_field_size=_LONGEST_TOKEN,
        shutdown_timeout=_STOP_S,
        lingering_time=_STOP_S,
    )


def _site(runner: web.AppRunner) -> web.TCPSite:
    folder = Path(os.environ["WHEELTAPPER_GATEWAY_TLS"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    host, port = os.environ.get("WHEELTAPPER_GATEWAY_HOST"), os.environ.get("WHEELTAPPER_GATEWAY_PORT", _PORT)
    return web.TCPSite(runner, host, int(port), ssl_context=context)


def main() -> None:
    """Entry point."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("nats").setLevel(logging.ERROR)
    asyncio.run(run())


if __name__ == "__main__":
    main()
