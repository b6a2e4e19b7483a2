"""A tenant's streams, buckets and config documents, made to be as the plan says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import APIError, KeyNotFoundError, NotFoundError, ServiceUnavailableError

from wheeltapper_api.backbone import BucketDefinition, StreamDefinition
from wheeltapper_api.config import WorkerConfig
from wheeltapper_api.wire import CONFIG_BUCKET

_INSUFFICIENT_STORAGE: Final = (10023, 10047)


class BackboneError(Exception):
    """The backbone refuses what was asked, or does not answer; the message says what to change."""


async def ensure_streams(
    client: Client, streams: list[StreamDefinition], buckets: list[BucketDefinition], *, replicas: int = 1
) -> None:
    """Create streams and buckets, or change those whose definition differs.

    Parameters
    ----------
    client : Client
        Connection to the tenant's account.
    streams, buckets : list
        As the plan says.
    replicas : int
        On how many servers of the backbone each is kept.

    Raises
    ------
    BackboneError
        If the server refuses one, or does not answer.
    """
    jetstream = client.jetstream()
    for stream in streams:
        with _explained(f"the stream {stream.name}"):
            await _ensure_stream(jetstream, stream, replicas)
    for bucket in buckets:
        with _explained(f"the bucket {bucket.name}"):
            await _ensure_bucket(jetstream, bucket, replicas)


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


async def _ensure_stream(jetstream: JetStreamContext, stream: StreamDefinition, replicas: int) -> None:
    config = _stream_config(stream, replicas)
    try:
        await jetstream.stream_info(stream.name)
    except NotFoundError:
        await jetstream.add_stream(config)
    else:
        await jetstream.update_stream(config)


async def _ensure_bucket(jetstream: JetStreamContext, bucket: BucketDefinition, replicas: int) -> None:
    wanted = {
        "max_msgs_per_subject": bucket.history,
        "max_bytes": bucket.max_bytes,
        "num_replicas": replicas,
    }
    try:
        config = (await jetstream.stream_info(f"KV_{bucket.name}")).config
    except NotFoundError:
        fresh = KeyValueConfig(bucket.name, history=bucket.history, max_bytes=bucket.max_bytes, replicas=replicas)
        await jetstream.create_key_value(fresh)
        return
    if any(getattr(config, name) != value for name, value in wanted.items()):
        await jetstream.update_stream(config.evolve(**wanted))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        # Of an account for which the servers have not enough room they only say that it has no JetStream.
        no_room = error.err_code in _INSUFFICIENT_STORAGE or isinstance(error, ServiceUnavailableError)
        remedy = "; give the backbone more storage, or lower spec.limits.storage of the TenantPolicy" if no_room else ""
        said = error.description or "it is not available"
        raise BackboneError(f"The backbone refuses {what}: {said}{remedy}") from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise BackboneError(f"The backbone does not answer about {what}: {error or type(error).__name__}") from error


def _stream_config(stream: StreamDefinition, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_bytes=stream.max_bytes,
        max_msgs_per_subject=stream.max_messages_per_subject,
        max_age=stream.max_age_seconds,
        max_msg_size=stream.max_message_bytes,
        duplicate_window=stream.duplicate_window_seconds,
        discard=DiscardPolicy.NEW if stream.discard == "new" else DiscardPolicy.OLD,
    )
