"""A tenant's streams, buckets and config documents, made to be as the plan says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import APIError, KeyNotFoundError, NotFoundError

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition
from wheeltapper_api.config import WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET

_INSUFFICIENT_STORAGE: Final = (10023, 10047)


class BackboneError(Exception):
    """The backbone refuses what was asked, or does not answer; the message says what to change."""


async def ensure_streams(client: Client, streams: list[StreamDefinition], buckets: list[BucketDefinition]) -> None:
    """Create streams and buckets, or change those whose definition differs.

    Raises
    ------
    BackboneError
        If the server refuses one, or does not answer.
    """
    jetstream = client.jetstream()
    for stream in streams:
        with _explained(f"the stream {stream.name}"):
            await _ensure_stream(jetstream, stream)
    for bucket in buckets:
        with _explained(f"the bucket {bucket.name}"):
            await _ensure_bucket(jetstream, bucket)


async def put_configs(client: Client, configs: Iterable[WorkerConfig]) -> None:
    """Put the workers' config documents; an equal one is not written again, so that nobody has to compare it.

    Without documents not even their bucket has to be there.

    Raises
    ------
    BackboneError
        If the server refuses one, or does not answer.
    """
    jetstream = client.jetstream()
    for config in configs:
        with _explained(f"the config of {config.worker}"):
            await _put_config(jetstream, config)


async def _put_config(jetstream: JetStreamContext, config: WorkerConfig) -> None:
    bucket = await jetstream.key_value(CONFIG_BUCKET)
    data = config.model_dump_json().encode()
    try:
        current = (await bucket.get(config.worker)).value
    except KeyNotFoundError:
        current = None
    if current != data:
        await bucket.put(config.worker, data)


async def _ensure_stream(jetstream: JetStreamContext, stream: StreamDefinition) -> None:
    config = _stream_config(stream)
    try:
        await jetstream.stream_info(stream.name)
    except NotFoundError:
        await jetstream.add_stream(config)
    else:
        await jetstream.update_stream(config)


async def _ensure_bucket(jetstream: JetStreamContext, bucket: BucketDefinition) -> None:
    try:
        config = (await jetstream.stream_info(f"KV_{bucket.name}")).config
    except NotFoundError:
        await jetstream.create_key_value(
            KeyValueConfig(bucket=bucket.name, history=bucket.history, max_bytes=bucket.max_bytes)
        )
        return
    if (config.max_msgs_per_subject, config.max_bytes) != (bucket.history, bucket.max_bytes):
        await jetstream.update_stream(config.evolve(max_msgs_per_subject=bucket.history, max_bytes=bucket.max_bytes))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        remedy = (
            "; free disk space, or lower spec.limits.storage of the TenantPolicy"
            if error.err_code in _INSUFFICIENT_STORAGE
            else ""
        )
        raise BackboneError(f"The backbone refuses {what}: {error.description}{remedy}") from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BackboneError(f"The backbone does not answer about {what}: {error or type(error).__name__}") from error


def _stream_config(stream: StreamDefinition) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=StorageType.FILE,
        max_bytes=stream.max_bytes,
        max_age=stream.max_age_seconds,
        max_msg_size=stream.max_message_bytes,
        duplicate_window=stream.duplicate_window_seconds,
        discard=DiscardPolicy.NEW if stream.discard == "new" else DiscardPolicy.OLD,
    )
