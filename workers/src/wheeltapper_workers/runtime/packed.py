"""Bytes compressed for the backbone, which say how large they are."""

from __future__ import annotations

import pyarrow as pa

_SIZE: int = 8
"""Bytes of a size."""


def pack(data: bytes) -> bytes:
    """Compressed bytes; in front their size, which a reader needs to know."""
    compressed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return len(data).to_bytes(_SIZE, "big") + compressed


def unpack(packed: bytes, most: int) -> bytes:
    """Bytes of which there are at most so many.

    Raises
    ------
    ValueError
        If they are damaged, or say that they are more.
    """
    size = int.from_bytes(packed[:_SIZE], "big")
    if size > most:
        raise ValueError(f"it claims to be {size} bytes large, of {most} that it may be")
    try:
        data: bytes = pa.decompress(packed[_SIZE:], decompressed_size=size, codec="zstd", asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"it is damaged: {error}") from error
    return data
