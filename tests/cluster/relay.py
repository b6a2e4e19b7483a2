"""``relay.py DESCRIPTOR HOST:PORT``: pass on what comes to a socket that is listened on already, in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and tell it on: HTTP and TLS both close one direction at a time."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def main(descriptor: int, host: str, port: int) -> None:
    """Serve until killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, here), _copy(there, writer))
        here.close()
        writer.close()

    server = await asyncio.start_server(serve, sock=socket.socket(fileno=descriptor))
    await server.serve_forever()


if __name__ == "__main__":
    address, _, number = sys.argv[2].rpartition(":")
    asyncio.run(main(int(sys.argv[1]), address, int(number)))
