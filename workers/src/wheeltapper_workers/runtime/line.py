"""A role of a line: consume, step, publish, checkpoint.

The loop is the same for every step. On a restart it loads the checkpoint, reads on from there, and does the steps since
again; outputs that are already in the stream are recognised by the input they were made of and not published twice.
A step being pure, that is an exactly-once result.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import pyarrow as pa
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from opentelemetry import trace

from wheeltapper_api.config import LineConfig, Role
from wheeltapper_api.wire import (
    HEADER_GENERATION,
    HEADER_INPUT,
    HEADER_TICK,
    HEADER_TRACE,
    Line,
    Stage,
)
from wheeltapper_workers.runtime import blocks, metrics, tracing
from wheeltapper_workers.runtime.announcing import Announcer
from wheeltapper_workers.runtime.blocks import Block, Item, Tick
from wheeltapper_workers.runtime.checkpoint import Checkpoint, CheckpointStore
from wheeltapper_workers.runtime.configs import Configs, line_generation
from wheeltapper_workers.runtime.copies import Copies
from wheeltapper_workers.runtime.fenced import FencedWriter
from wheeltapper_workers.runtime.items import parse_input, read_item
from wheeltapper_workers.runtime.jetstream import Message, Missing, StreamReader, insist
from wheeltapper_workers.runtime.lost_end import microseconds
from wheeltapper_workers.runtime.missed import Missed
from wheeltapper_workers.runtime.step import Output, Step
from wheeltapper_workers.runtime.ticks import Ticks

log = logging.getLogger(__name__)

READ_LIMIT: Final = 128
"""Messages asked for at once; with what one block weighs this bounds what a role holds in memory."""
CHECKPOINT_NS: Final = 5 * 10**9
"""Time between checkpoints: how much is done again after a crash."""

FLOW: Final = {
    Role.FEATURIZE: (Stage.TELEMETRY, Stage.FEATURES),
    Role.SCORE: (Stage.FEATURES, Stage.SCORES),
    Role.ALERT: (Stage.SCORES, Stage.EVENTS),
}
"""Input and output of each role."""
_FED: Final = {source for source, _ in FLOW.values()}
"""Stages that another role reads: what is told of configs is passed on to them."""


def part_key(role: Role, line: Line) -> str:
    """Name of a role of a line among the parts of its worker, in logs and of its files."""
    return f"{role.value}-{line.plant}-{line.asset_class}-{line.shard}"


@dataclass(slots=True)
class Progress:
    """What the status document shows of a role."""

    position: int = 0
    pending: int = 0
    outputs: int = 0
    refused: int = 0
    last_refusal: str = ""
    problem: str = ""
    """Why the state cannot be saved; empty while it can."""
    blocks: int = 0
    bytes: int = 0
    read_ns: int = 0
    """When the message that was read last was stored."""
    missed: Missed = field(default_factory=Missed)


class LineRole:
    """One role of one line."""

    def __init__(self, client: Client, role: Role, config: LineConfig, step: Step[Any], store: CheckpointStore) -> None:
        source, target = FLOW[role]
        self.role, self.line = role, config.line
        self.progress = Progress()
        self._source, self._target = source, target
        self._client, self._step, self._store = client, step, store
        self._configs = Configs(config)
        self._copies = Copies(client, role, config.line, store, self._configs)
        self._writer = FencedWriter(client, target.stream, config.line.subject(target, role.value), self._miss)
        self._ticks = Ticks(client, source, config.line)
        self._announcer = Announcer(client, config.line, self._ticks, self._configs, self.name)
        self._tracer = trace.get_tracer("wheeltapper")
        self._state: Any = None
        self._generation = self._pipeline = ""
        self._done = (0, -1)
        self._reader: StreamReader | None = None
        self._saved_ns = time.monotonic_ns()
        self._saved_position = self._saved_before = -1
        self._unsaved_output = 0
        self._ahead = False

    @property
    def name(self) -> str:
        """Role and line, as logs and files name it."""
        return part_key(self.role, self.line)

    @property
    def generation(self) -> str:
        """Generation that runs."""
        return self._generation

    @property
    def current(self) -> bool:
        """Whether that is the one that is wanted."""
        return self._generation == self._configs.generation

    @property
    def _first(self) -> bool:
        """Whether no other role of the line comes before this one."""
        return self._source is Stage.TELEMETRY

    async def start(self, earlier: dict[str, LineConfig]) -> None:
        """Take up the state: from the checkpoint and the config it was made under, or from nothing.

        A config that the input does not tell yet is announced there, so that the stream tells every config.

        ``earlier`` has configs by generation, as far back as the bucket remembers.
        """
        self._configs.remember(earlier)
        await self._writer.open()
        self._done = parse_input(self._writer.last_input)
        checkpoint = await self._newest_checkpoint()
        if checkpoint is None or not self._restore(checkpoint):
            # What came before the first tick runs under that tick's config, here as in a replay.
            first = await (self._ticks.first_config() if self._first else self._ticks.first_message())
            config = self._configs.get(first) or self._configs.wanted
            self._state = self._step.initial(config)
            self._runs(config)
            checkpoint = None
        position = checkpoint.position if checkpoint else 0
        self._reader = StreamReader(
            self._client,
            self._source.stream,
            [self.line.filter(self._source)],
            position,
            on_missing=self._miss,
            read_ns=checkpoint.published_ns if checkpoint else 0,
        )
        self.progress.position = self._saved_position = self._saved_before = position
        done = self._done
        await self._reader.look()  # before anything is written that could get the number of a lost message
        if self._done < done and await self._has_gone_on():
            self._done = done
        if self._first:
            await self._announcer.want()

    async def _newest_checkpoint(self) -> Checkpoint | None:
        """The one on this disk, or the copy that another worker left, whichever goes further."""
        own, copied = self._store.load(self._step.version), await self._copies.newest(self._step.version)
        if copied is None or (own is not None and own.position >= copied[0].position):
            return own
        checkpoint, config = copied
        self._configs.remember({checkpoint.generation: config})
        log.info("%s: goes on from the copy of its state at message %d", self.name, checkpoint.position)
        return checkpoint

    async def configure(self, config: LineConfig) -> None:
        """Ask for another config. It takes effect where the input records it, and there again in every replay.

        The first role of the line records it; the others find it in their input, between the blocks that were made
        before and after.
        """
        if self._configs.want(config) and self._first:
            await self._announcer.want()

    async def tick(self) -> None:
        """Record the time in the input."""
        await self._ticks.tell_time()

    async def run(self) -> None:
        """Work until cancelled.

        Raises
        ------
        Fenced
            If another instance has taken over.
        """
        reader = self._reader
        while reader is not None:
            for message in await reader.read(READ_LIMIT):
                await self._take(message)
            self.progress.position = reader.position  # which also follows a stream that has nothing for this line
            await self._announcer.look()
            self.checkpoint(force=False)

    async def copy(self) -> None:
        """Copy what is saved to the backbone, time and again, until cancelled."""
        await self._copies.run()

    async def stop(self) -> None:
        """Save the state and let go of the consumer."""
        if self._state is not None:
            self.checkpoint(force=True)
            await self._copies.finish()
        if self._reader is not None:
            await self._reader.close()

    def checkpoint(self, *, force: bool) -> None:
        """Save state and position if it is time, or in any case; an unchanged position is not saved twice.

        A state that was stopped while its outputs were on their way is ahead of its position, and not saved.
        """
        now = time.monotonic_ns()
        if self._ahead or self.progress.position == self._saved_position:
            return
        if not force and now - self._saved_ns < CHECKPOINT_NS:
            return
        self._saved_ns = now
        snapshot = self._step.snapshot(self._state)
        position, reader = self.progress.position, self._reader
        published_ns = reader.read_ns if reader and reader.position == position else self.progress.read_ns
        checkpoint = Checkpoint(position, self._generation, self._step.version, snapshot, published_ns)
        problem = self._store.try_save(checkpoint)
        if problem and not self.progress.problem:
            log.warning("%s: %s", self.name, problem)
        self.progress.problem = problem
        if not problem:
            self._saved_before, self._saved_position = self._saved_position, checkpoint.position
            self._unsaved_output = 0

    def summary(self) -> dict[str, Any]:
        """For the status document."""
        return {
            "role": self.role.value,
            "line": self.line.model_dump(),
            "generation": self._generation,
            "position": self.progress.position,
            "pending": self.progress.pending,
            "outputs": self.progress.outputs,
            "refused": self.progress.refused,
            "lastRefusal": self.progress.last_refusal,
            "problem": self.progress.problem,
            "held": self._writer.held,
            "full": self._writer.full,
            "needs": {self._source.stream: self._saved_position},
            "wants": self._wants(),
            "missed": self.progress.missed.document(),
            "blocks": self.progress.blocks,
            "bytes": self.progress.bytes,
            "bytesWritten": self._writer.bytes,
            "readNs": self.progress.read_ns,
            "unsavedSeconds": self._unsaved_s(),
            "learning": self._announcer.waiting_for,
            "summary": self._step.summary(self._state) if self._state is not None else {},
        }

    def _wants(self) -> dict[str, int]:
        """Sequence of each stream behind which it is better kept, if there is room.

        The input from the checkpoint before the last on, which may be all that a damaged disk leaves; of the output
        what was made since the last one, by which it is known and not made twice.
        """
        wants = {self._source.stream: min(self._saved_before, self._copies.position)}
        return wants | ({self._writer.stream: self._unsaved_output - 1} if self._unsaved_output else {})

    def _unsaved_s(self) -> float:
        """Seconds for which the state has been ahead of the checkpoint."""
        ahead = self.progress.position != self._saved_position
        return (time.monotonic_ns() - self._saved_ns) / 1e9 if ahead else 0.0

    def _miss(self, missing: Missing) -> None:
        """Tell that blocks left the stream unread: the stream was full or too old, or the checkpoint is."""
        self.progress.missed.add(missing)
        if missing.known:
            log.error("%s: %s", self.name, missing)
            if missing.stream == self._source.stream:
                self._go_back()
            return
        log.warning("%s: %s. What they held is in no %s of this line", self.name, missing, FLOW[self.role][1].value)

    def _go_back(self) -> None:
        """Other blocks may have got numbers that were read already: they are not done, and still needed."""
        position = self.progress.position = self._reader.position if self._reader else 0
        self._done = min(self._done, (position, sys.maxsize))
        self._saved_position, self._saved_before = (
            min(self._saved_position, position),
            min(self._saved_before, position),
        )

    async def _has_gone_on(self) -> bool:
        """Whether the last output was made of what came after a lost end, by a run before this one."""
        get, begin = self._client.jetstream(), self._reader.position + 1 if self._reader else 1
        last, behind = (self._writer.stream, self._writer.subject), (self._source.stream, begin, ">")
        try:
            output = await insist(lambda: get.get_last_msg(*last), what=f"Reading {last[1]}")
            source = await insist(lambda: get.get_msg(*behind, next=True), what=f"Reading {behind[0]}")
        except NotFoundError:
            return False
        return microseconds(output.time) >= microseconds(source.time)

    def _restore(self, checkpoint: Checkpoint) -> bool:
        config = self._configs.get(checkpoint.generation)
        if config is None:
            log.warning("%s: the config of the checkpoint is forgotten; the state is formed anew", self.name)
            return False
        try:
            self._state = self._step.restore(checkpoint.snapshot, config)
        except (ValueError, KeyError) as error:
            log.warning("%s: the checkpoint does not fit (%s); the state is formed anew", self.name, error)
            return False
        self._runs(config)
        return True

    async def _take(self, message: Message) -> None:
        try:
            item = read_item(self._source, message)
        except ValueError as error:
            self.progress.refused += 1
            self.progress.last_refusal = f"{self._source.stream} {message.sequence}: {error}"
            log.warning("%s: message %d was left out: %s", self.name, message.sequence, error)
        else:
            await self._advance(item, message)
        self.progress.position, self.progress.pending = message.sequence, message.pending
        self.progress.read_ns = message.published_ns
        self._ahead = False

    async def _advance(self, item: Item, message: Message) -> None:
        parts = count()
        self._ahead = True
        if isinstance(item, Tick) and item.generation:
            await self._reconfigure(item.generation, message.published_ns)
            if self._target in _FED:
                told = {HEADER_TICK: str(item.time_ns), HEADER_GENERATION: item.generation}
                learned = item.learned if self._target is Stage.FEATURES else b""
                await self._publish(message.sequence, next(parts), learned, told)
        elif isinstance(item, Block):
            if item.generation:  # the tick that told it may have left the stream unread
                await self._reconfigure(item.generation, message.published_ns)
            self._mind_the_pipeline(item)
        parent = message.headers.get(HEADER_TRACE, "")
        attributes: dict[str, str | int] = {"stream": self._source.stream, "sequence": message.sequence}
        with tracing.span(self._tracer, self.role.value, parent, attributes):
            self._state, outputs = self._step.step(self._state, item)
            for output in outputs:
                told = {HEADER_GENERATION: self._generation, **tracing.headers()}
                await self._publish(message.sequence, next(parts), _to_bytes(output), told)
        if isinstance(item, Block):
            self._count(item, message)

    def _mind_the_pipeline(self, block: Block) -> None:
        """Refuse features in another order than this role reads them: only forgotten configs lead to them.

        Raises
        ------
        ValueError
            If the block is of another pipeline.
        """
        made_by = blocks.metadata(block.batch).get("pipeline_digest", self._pipeline)
        if made_by != self._pipeline:
            raise ValueError("it is of another feature pipeline, whose config is forgotten")

    def _count(self, block: Block, message: Message) -> None:
        self.progress.blocks += 1
        self.progress.bytes += len(message.data)
        metrics.record_delay(self.role.value, self.line, self._source, block.batch)

    async def _reconfigure(self, generation: str, told_ns: int) -> None:
        if generation == self._generation:
            return
        config = await self._configs.find(generation, told_ns)
        if config is None:
            log.warning("%s: config %s is forgotten; the present one goes on", self.name, generation)
            return
        self._state = self._step.reconfigure(self._state, config)
        self._runs(config)
        log.info("%s: runs config %s", self.name, generation)

    def _runs(self, config: LineConfig) -> None:
        self._generation, self._pipeline = line_generation(config), config.pipeline.digest

    async def _publish(self, sequence: int, part: int, data: bytes, told: dict[str, str]) -> None:
        if (sequence, part) <= self._done:
            return  # published before the restart
        await self._writer.write(data, {HEADER_INPUT: f"{sequence}:{part}", **told})
        self._done = (sequence, part)
        self._unsaved_output = self._unsaved_output or self._writer.last_sequence
        self.progress.outputs += 1


def _to_bytes(output: Output) -> bytes:
    return blocks.to_bytes(output) if isinstance(output, pa.RecordBatch) else output.model_dump_json().encode()
