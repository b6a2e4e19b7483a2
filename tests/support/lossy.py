"""A connection to a server that can lose an answer: the request arrives, is carried out, and nobody hears of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable


class Lossy:
    """Loopback port that passes all on to another, but for the answers to the requests that ``loses`` picks."""

    def __init__(self, port: int, loses: Callable[[bytes], bool]) -> None:
        self._to, self._loses = port, loses
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        """Accept nobody any more; what runs ends with its client."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            drops = threading.Event()
            back = threading.Thread(target=self._answer, args=(server, client, drops), daemon=True)
            back.start()
            try:
                while data := client.recv(2**16):
                    if self._loses(data):
                        drops.set()
                    server.sendall(data)
            except OSError:
                pass
            finally:
                server.close()

    def _answer(self, server: socket.socket, client: socket.socket, drops: threading.Event) -> None:
        try:
            while data := server.recv(2**16):
                if drops.is_set():
                    self.lost += 1
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
        except OSError:
            pass
