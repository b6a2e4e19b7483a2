"""Whether a stream still is the one that the tables have read, and has all they have not. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wheeltapper_api.wire import Stage


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the server says of a stream; times are microseconds since 1970, None where it cannot say."""

    made_us: int | None
    """When the stream was made: one made anew under the same name counts its messages anew."""
    last: int
    """Sequence of its last message, whether or not that is still there."""
    published_us: int | None
    """When the message was stored that was read last."""


@dataclass(frozen=True, slots=True)
class ReadUpTo:
    """The message of a stream that was read last; times as in :class:`StreamState`."""

    sequence: int = 0
    published_us: int | None = None
    made_us: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that were gone before they could be stored; both ends belong to it."""

    stage: Stage
    first: int
    last: int
    by_server: bool = False
    """Whether the server has lost them, rather than let them go."""

    @property
    def count(self) -> int:
        """How many messages."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """Say what is missing, why, and what to do."""
        if self.by_server:
            return (
                f"The server has lost {self.stage.stream} {self.first} to {self.last} before they could be stored, "
                f"{self.count} messages, as after a power failure. Check that its disk keeps what is written"
            )
        return (
            f"{self.stage.stream} {self.first} to {self.last} were gone before they could be stored, {self.count} "
            "messages: the stream was full, purged or too old. Give it more room (spec.limits.storage of the "
            "TenantPolicy), and see why the historian was late"
        )


def made_anew(stage: Stage, state: StreamState, read: ReadUpTo) -> str:
    """Why a stream does not continue what was read, and what to do; nothing if it does.

    A stream that was deleted and made again, or restored from an older backup, gives its numbers to other messages: it
    ends before what was read last, or that was published at another time. Where that is gone by now, the stream itself
    was made at another time; one restored from a backup was, too, and has it still. One that was made at the same time
    may have :func:`lost_end`.
    """
    if state.made_us is not None and state.made_us == read.made_us:
        return ""
    told = [(state.published_us, read.published_us), (state.made_us, read.made_us)]
    here, there = next((pair for pair in told if None not in pair), (None, None))
    same = state.last >= read.sequence and here == there
    if same or read.sequence == 0:
        return ""
    return (
        f"The stream {stage.stream} is not the one it was: it ends at {state.last}, and the tables have other messages "
        f"up to {read.sequence}. Nothing more of it is stored, since its messages would be taken for those; it keeps "
        "them. Restore the stream from the backup of these tables, or begin new tables elsewhere (spec.storage.url of "
        "the TenantPolicy)"
    )


def lost_end(state: StreamState, read: ReadUpTo) -> bool:
    """Whether a stream has lost the message that was read last, and all behind it: the server had acknowledged them.

    It ends before that message, or has given its number to another one since.
    """
    if state.made_us is None or state.made_us != read.made_us:
        return False
    known = None not in (state.published_us, read.published_us)
    return state.last < read.sequence or (known and state.published_us != read.published_us)
