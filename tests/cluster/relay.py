"""``relay.py DESCRIPTOR|HOST:PORT HOST:PORT``: pass on what comes to a socket, which may be listened on already.

Told by SIGUSR1 it holds all connections that there are: nothing passes any more, and nobody is told. New ones pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event) -> None:
    """Copy until the end, and tell it on: HTTP and TLS both close one direction at a time."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            await passes.wait()
            writer.write(data)
            await writer.drain()
        await passes.wait()
        if writer.can_write_eof():
            writer.write_eof()


async def main(own: str, target: str) -> None:
    """Serve until killed."""
    connections: set[asyncio.Event] = set()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: [passes.clear() for passes in connections])
    host, port = _parted(target)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        passes = asyncio.Event()
        passes.set()
        connections.add(passes)
        await asyncio.gather(_copy(reader, here, passes), _copy(there, writer, passes))
        connections.remove(passes)
        here.close()
        writer.close()

    if own.isdecimal():
        server = await asyncio.start_server(serve, sock=socket.socket(fileno=int(own)))
    else:
        server = await asyncio.start_server(serve, *_parted(own))
    await server.serve_forever()


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
