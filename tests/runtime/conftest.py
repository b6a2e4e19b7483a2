from __future__ import annotations

import pytest

from tests.support.nats import Server


@pytest.fixture
async def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    await server.ready()
    await server.streams()
    yield server
    server.kill()
