"""What went wrong with the tables' storage, in words for people, each with the remedy. Never a key in it."""

from __future__ import annotations

import re
from typing import Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

STORAGE_ERRORS: Final = (DeltaError, pa.ArrowException, OSError)
"""What the tables' storage raises, whichever it is."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m|↳")
_LONGEST: Final = 400
_URL: Final = "spec.storage.url of the TenantPolicy"
_ENDPOINT: Final = "spec.storage.endpoint of the TenantPolicy"
_SECRET: Final = "the Secret that spec.storage.credentialsRef of the TenantPolicy names"  # noqa: S105 - where to look, no secret
_DENIED: Final = f"access is denied. Allow this key to list, read, write and delete there, or correct {_URL}"

# The first that occurs in the error counts: causes before their consequences. S3's own codes, then what the HTTP client
# and the kernel say.
_KNOWN: Final = (
    ("NoSuchBucket", f"the bucket is not there. Make it, or correct {_URL}"),
    (
        "RequestTimeTooSkewed",
        "this machine's clock and the server's are too far apart. Set the clock, and keep it by NTP",
    ),
    ("InvalidAccessKeyId", f"the access key is not known there. Correct {_SECRET}"),
    ("SignatureDoesNotMatch", f"the secret key is not that of the access key. Correct {_SECRET}"),
    ("ExpiredToken", f"the session token has expired. Renew it in {_SECRET}"),
    ("InvalidToken", f"the session token is not accepted. Renew it in {_SECRET}"),
    ("QuotaExceeded", "the bucket has no more room. Raise its quota, or free some"),
    ("AccessDenied", f"access is denied. Allow this key to list, read, write and delete there; see {_URL}"),
    (
        "lacked the necessary privileges",
        f"access is denied. Allow this key to list, read, write and delete; see {_URL}",
    ),
    ("InvalidCertificate", f"the server's certificate is not accepted. Put its issuer's as ca into {_SECRET}"),
    ("invalid peer certificate", f"the server's certificate is not accepted. Put its issuer's as ca into {_SECRET}"),
    ("certificate", f"no TLS with the server. Check its certificate, and the ca in {_SECRET}"),
    ("InvalidContentType", f"the server speaks no TLS on this port. Correct {_ENDPOINT}"),
    ("dns error", f"the server's name is not known. Correct {_ENDPOINT}, or the name service"),
    ("Connection refused", f"the server cannot be reached. Start it, or correct {_ENDPOINT}"),
    ("Couldn't connect", f"the server cannot be reached. Start it, or correct {_ENDPOINT}"),
    ("resolve host", f"the server's name is not known. Correct {_ENDPOINT}, or the name service"),
    ("SSL peer certificate", f"the server's certificate is not accepted. Put its issuer's as ca into {_SECRET}"),
    ("SlowDown", "the server asks for fewer requests"),
    ("InsufficientStorage", "the server has no more room. Give it some"),
    ("No space left", "the disk is full. Free some room"),
    ("Disk quota exceeded", "the disk's quota is used up. Free some room, or raise it"),
    ("Permission denied", "the folder may not be written. Give this user its rights back"),
    ("Read-only file system", "the disk is read-only. Mount it for writing"),
    ("timed out", f"the server does not answer in time. Check it and the network, or correct {_ENDPOINT}"),
    ("error sending request", f"the server cannot be reached. Check it and the network, or correct {_ENDPOINT}"),
    ("Server returned non-2xx", "the server has an error of its own, such as a full disk. See its log"),
)


def said(error: BaseException) -> str:
    """Why the storage refuses, and what to do; the library's own words come last, shortened."""
    text = " ".join(_COLOUR.sub(" ", str(error)).split()) or type(error).__name__
    bare = _plain(text)
    reason = next((words for sign, words in _KNOWN if _plain(sign) in bare), None)
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return f"{reason} ({short})" if reason else short


def _plain(text: str) -> str:
    """Letters alone: one library writes NoSuchBucket, another NO_SUCH_BUCKET."""
    return re.sub("[^a-z0-9]", "", text.lower())
