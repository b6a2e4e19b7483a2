"""The lost end of a stream: messages that the server had acknowledged and no longer has, as after a power failure.

The server would give their numbers to other messages, and a number is an identity here: positions, lineages and tables
name it. So whoever notices has the stream count on behind the last number that it knows, and the lost messages become
a hole. What others have written under such numbers before that is told from what was lost by when it was stored.

Nothing in here insists: what does not go through is raised, and may be tried again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

WRONG_LAST_SEQUENCE: Final = 10071
"""The server's code for a message that is not the next one its writer takes it for."""
_EXPECTED_LAST: Final = "Nats-Expected-Last-Sequence"
_AT_ONCE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def count_on(client: Client, stream: str, known: int) -> None:
    """Have a stream give no number up to ``known`` any more.

    It counts on by messages without content, which are removed at once. Each names the one before it, so that several
    that do this at the same time do it once.

    Raises
    ------
    nats.errors.Error
        If the stream is full, or the server does not answer.
    """
    jetstream = client.jetstream()
    info = await jetstream.stream_info(stream)
    last = info.state.last_seq
    if last >= known:
        return
    subject = (info.config.subjects or [""])[0].replace(">", "lost")
    while last < known:
        end = min(known, last + _AT_ONCE)
        for sequence in range(last, end - 1):
            await client.publish(subject, headers={_EXPECTED_LAST: str(sequence)})
        try:
            await jetstream.publish(subject, stream=stream, headers={_EXPECTED_LAST: str(end - 1)})
        except APIError as error:
            if error.err_code != WRONG_LAST_SEQUENCE:  # somebody else has written in between
                raise
        before, last = last, (await jetstream.stream_info(stream)).state.last_seq
        if last == before:
            raise nats.errors.Error(f"{stream} is full")
    await jetstream.purge_stream(stream, subject=subject)


async def first_after(jetstream: JetStreamContext, stream: str, low: int, high: int, stored_us: int) -> int:
    """Sequence of the first message from ``low`` on that was stored after a time; ``high`` where there is none.

    Found by halving, some twenty requests.

    Parameters
    ----------
    stored_us
        Microseconds since 1970.
    """
    first = high
    while low < high:
        middle = (low + high) // 2
        try:
            found = await jetstream.get_msg(stream, middle, subject=">", next=True)
        except NotFoundError:  # nothing from there on
            high = middle
            continue
        if microseconds(found.time) <= stored_us:
            low = (found.seq or middle) + 1
        else:
            high, first = middle, found.seq or middle
    return first


def microseconds(stored: Any) -> int:
    """When a message was stored, since 1970; the client gives it as it comes from the server, or parsed."""
    moment = stored if isinstance(stored, datetime) else datetime.fromisoformat(f"{str(stored)[:26].rstrip('Z')}+00:00")
    return (moment - _EPOCH) // timedelta(microseconds=1)
