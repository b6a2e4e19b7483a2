"""Condition types and reasons: constants for the code, and what each means for people and the pages of the kinds.

``Ready`` is always present. ``Reconciling``, ``Stalled`` and ``Degraded`` are present only while they are true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
DEGRADED: Final = "Degraded"
FRESH: Final = "Fresh"

# Of a worker, in its status document.
FLOWING: Final = "Flowing"
STORING: Final = "Storing"
CLOCK_SANE: Final = "ClockSane"
COMPLETE: Final = "Complete"

RUNNING: Final = "Running"
ACCEPTED: Final = "Accepted"

REFERENCE_NOT_FOUND: Final = "ReferenceNotFound"
INPUT_NOT_AVAILABLE: Final = "InputNotAvailable"
UNIT_NOT_CONVERTIBLE: Final = "UnitNotConvertible"
AMBIGUOUS: Final = "Ambiguous"
LIMIT_EXCEEDED: Final = "LimitExceeded"
INVALID: Final = "Invalid"
NAMESPACE_TAKEN: Final = "NamespaceTaken"
IN_USE: Final = "InUse"

APPLYING: Final = "Applying"
STARTING: Final = "Starting"
WORKER_SILENT: Final = "WorkerSilent"
IMAGE_UNAVAILABLE: Final = "ImageUnavailable"
QUOTA_EXCEEDED: Final = "QuotaExceeded"
UNSCHEDULABLE: Final = "Unschedulable"
VOLUME_UNBOUND: Final = "VolumeUnbound"
WORKER_FAILS: Final = "WorkerFails"
NAMESPACE_ENDING: Final = "NamespaceEnding"
REFUSED: Final = "Refused"
BACKBONE_AWAY: Final = "BackboneAway"

SIGNALS_FAULTY: Final = "SignalsFaulty"
SOURCE_AWAY: Final = "SourceAway"
BACKBONE_REFUSES: Final = "BackboneRefuses"
STREAM_FULL: Final = "StreamFull"
READER_BEHIND: Final = "ReaderBehind"
STORAGE_UNWRITABLE: Final = "StorageUnwritable"
STATE_UNWRITABLE: Final = "StateUnwritable"
CLOCK_STEPPED: Final = "ClockStepped"
SOURCE_CLOCK_OFF: Final = "SourceClockOff"
MESSAGES_MISSED: Final = "MessagesMissed"
BACKBONE_LOST: Final = "BackboneLost"
SOURCE_LOST: Final = "SourceLost"

WITHIN_OBJECTIVE: Final = "WithinObjective"
NO_DATA: Final = "NoData"
SIGNALS_STALE: Final = "SignalsStale"

AS_EXPECTED: Final = "AsExpected"
CONNECTING: Final = "Connecting"

ALERT_OPEN: Final = "AlertOpen"

WORKER: Final = "Worker"
"""In place of a kind: the status document of a worker."""
EVENT: Final = "Event"
"""In place of a condition: it is told as an Event and stands in no status."""

CONDITIONS: Final[Mapping[str, str]] = {
    READY: "True when everything that the spec asks for is there at this generation.",
    RECONCILING: "Present while the spec is being brought about, or the cluster keeps it from that. Ready is False.",
    STALLED: "Present when a person has to change the object; waiting does not help. Ready is False.",
    DEGRADED: "Present when a part does not work while the rest goes on. Ready stays what it is.",
    FRESH: "True while values arrive as recently as they should.",
    FLOWING: "True while a worker's input becomes output; whatever holds it up is the reason.",
    STORING: "True while tables and states can be written.",
    CLOCK_SANE: "True while the machine's clock goes on evenly and the sources' clocks agree with it.",
    COMPLETE: "True unless something was lost in the last day. What was lost of telemetry is in the ledger of gaps.",
}
"""What each type of condition says."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a condition is what it is."""

    of: Mapping[str, tuple[str, ...]]
    """Conditions that can have it, by kind."""
    meaning: str
    remedy: str


def _on(condition: str, *kinds: str) -> Mapping[str, tuple[str, ...]]:
    return dict.fromkeys(kinds, (condition,))


_POLICY, _PLANT, _CLASS, _MODEL, _TWIN = "TenantPolicy", "Plant", "AssetClass", "FailureModel", "AssetTwin"
_WAITING: Final = _on(RECONCILING, _POLICY, _TWIN)
_FLOW: Final = {_POLICY: (DEGRADED,), WORKER: (FLOWING,)}
_STORE: Final = {_POLICY: (DEGRADED,), WORKER: (STORING,)}
_CLOCK: Final = {_POLICY: (DEGRADED,), WORKER: (CLOCK_SANE,)}
_LOSS: Final = {_POLICY: (DEGRADED,), WORKER: (COMPLETE,)}

REASONS: Final[Mapping[str, Reason]] = {
    RUNNING: Reason(
        _on(READY, _POLICY, _TWIN),
        "The workers run this generation.",
        "Nothing to do.",
    ),
    ACCEPTED: Reason(
        _on(READY, _PLANT, _CLASS, _MODEL),
        "It is understood and serves those that name it; the message counts them.",
        "Nothing to do.",
    ),
    APPLYING: Reason(
        _WAITING,
        "The workers have not taken up this generation yet.",
        "Wait: that takes a second or two once they run.",
    ),
    STARTING: Reason(
        _WAITING,
        "A worker's pod is being started, or has not reported yet.",
        "Wait. If it lasts, `kubectl describe pod` of the worker that the message names.",
    ),
    WORKER_SILENT: Reason(
        _WAITING,
        "A worker runs and has not reported for a quarter of a minute.",
        "Look at its log: `kubectl logs deployment/<worker>`.",
    ),
    WORKER_FAILS: Reason(
        _WAITING,
        "A worker ends again and again.",
        "Look at its log; `--previous` shows the run before.",
    ),
    IMAGE_UNAVAILABLE: Reason(
        _WAITING,
        "A node cannot get the workers' image.",
        "Correct `workers.image` of the chart, or give the node access to the registry.",
    ),
    QUOTA_EXCEEDED: Reason(
        _WAITING,
        "A ResourceQuota of the namespace keeps a worker's pod from being made.",
        "Raise the quota that the message names.",
    ),
    UNSCHEDULABLE: Reason(
        _WAITING,
        "No node takes a worker's pod.",
        "Add a node, or make room on one.",
    ),
    VOLUME_UNBOUND: Reason(
        _WAITING,
        "A claim has no volume.",
        "Name a storage class that provides volumes in `workers.storageClass` of the chart, or make one the default.",
    ),
    NAMESPACE_ENDING: Reason(
        _WAITING,
        "The tenant's namespace is being deleted.",
        "Wait: it is made anew once it is gone. If it does not go, see which finalizers hold what is in it.",
    ),
    REFUSED: Reason(
        _WAITING,
        "The API server refuses an object of the tenant; the message has its words.",
        "Change what refuses it: an admission policy, a quota, or the operator's role. It is tried again by itself.",
    ),
    BACKBONE_AWAY: Reason(
        {_POLICY: (RECONCILING, DEGRADED), _TWIN: (RECONCILING,), WORKER: (FLOWING,)},
        "The NATS server does not answer, or refuses what the operator asks.",
        "Look at the pods of `wheeltapper-nats`. Work goes on by itself once it answers.",
    ),
    NAMESPACE_TAKEN: Reason(
        {_POLICY: (STALLED,), _TWIN: (RECONCILING,)},
        "The tenant's namespace exists and is not labelled as the tenant's.",
        "Label it, by the command in the message, or name another one in `spec.namespace`.",
    ),
    REFERENCE_NOT_FOUND: Reason(
        _on(STALLED, _POLICY, _PLANT, _CLASS, _MODEL, _TWIN),
        "Something that is named does not exist, or nothing binds a required signal, or the namespace is no tenant's.",
        "Create it or correct the name; the message offers the nearest. It is looked at again when either changes.",
    ),
    INPUT_NOT_AVAILABLE: Reason(
        _on(STALLED, _MODEL, _TWIN),
        "A failure model needs a feature, quantity, statistic or mounting that the class does not give.",
        "Take a feature that fits, correct the class, or switch the model off in the twin's `failureModels`.",
    ),
    UNIT_NOT_CONVERTIBLE: Reason(
        _on(STALLED, _CLASS, _TWIN),
        "The source's unit and the class's unit measure different things, or one is not UCUM.",
        "Write a UCUM code that converts, or turn the number into one with `scale` and `offset`.",
    ),
    AMBIGUOUS: Reason(
        _on(STALLED, _POLICY, _TWIN),
        "Two objects claim the same namespace, tag or alias.",
        "Correct one of the two; the message names the other.",
    ),
    LIMIT_EXCEEDED: Reason(
        _on(STALLED, _POLICY),
        "The tenant has more than its limits allow. What runs goes on.",
        "Raise the limit in `spec.limits`, or have fewer.",
    ),
    INVALID: Reason(
        _on(STALLED, _POLICY, _PLANT, _CLASS, _MODEL, _TWIN),
        "The spec contradicts itself, or holds something that this version does not understand.",
        "Correct the field that the message names.",
    ),
    IN_USE: Reason(
        _on(STALLED, _POLICY, _PLANT, _CLASS),
        "It is deleted and still needed; it works on until then.",
        "Delete what needs it, which the message names. It goes by itself right after.",
    ),
    SIGNALS_FAULTY: Reason(
        _on(DEGRADED, _TWIN),
        "Some signals cannot be read or break their contract; the others go on. The message names the first.",
        "Correct the address, or mend the sensor. The collector's log has each in words.",
    ),
    SOURCE_AWAY: Reason(
        {_PLANT: (DEGRADED,), **_FLOW},
        "A machine's server or broker cannot be reached, or refuses the credentials.",
        "The message says which and why: mend the network, the connection, or its Secret.",
    ),
    BACKBONE_REFUSES: Reason(
        _FLOW,
        "The NATS server cannot store, its disk being full for one. What was not stored waits where it comes from.",
        "Give the servers more disk, or the tenants less of it.",
    ),
    STREAM_FULL: Reason(
        _FLOW,
        "A stream has reached its limit and holds its writers until its slowest reader has gone on.",
        "Mend the reader that the message names, or raise `spec.limits.storage` or the stream's share.",
    ),
    READER_BEHIND: Reason(
        _FLOW,
        "What was read last was stored more than a minute ago, and more waits behind it.",
        "Wait after an outage. If it grows, give the worker more CPU.",
    ),
    STORAGE_UNWRITABLE: Reason(
        _STORE,
        "The tables cannot be written. Their rows wait in memory up to a bound, then in the streams.",
        "Make room on the volume, or correct `spec.storage` and its Secret.",
    ),
    STATE_UNWRITABLE: Reason(
        _STORE,
        "A checkpoint cannot be written. Work goes on; after a restart more is done again.",
        "Make room on the worker's volume.",
    ),
    CLOCK_STEPPED: Reason(
        _CLOCK,
        "The clock of a worker's node was set in the last quarter of an hour. Nothing is lost by it.",
        "Keep the nodes' clocks by NTP.",
    ),
    SOURCE_CLOCK_OFF: Reason(
        _CLOCK,
        "A source's clock disagrees with the node's beyond the connection's bounds.",
        "Set the source's clock, or widen `clock` of the connection.",
    ),
    MESSAGES_MISSED: Reason(
        _LOSS,
        "A stream was full or too old, and messages left it before a reader came to them.",
        "Find why the reader was away. It ends by itself after a day.",
    ),
    BACKBONE_LOST: Reason(
        _LOSS,
        "The NATS server has lost messages that it had acknowledged, as after a power failure.",
        "`kubectl twin gaps` has what is missing. It ends by itself after a day.",
    ),
    SOURCE_LOST: Reason(
        _LOSS,
        "A source did not deliver samples and cannot give them any more.",
        "`kubectl twin gaps` has each. It ends by itself after a day.",
    ),
    WITHIN_OBJECTIVE: Reason(
        _on(FRESH, _TWIN),
        "The newest value is as recent as the tenant asks for.",
        "Nothing to do.",
    ),
    NO_DATA: Reason(
        _on(FRESH, _TWIN),
        "Nothing has arrived yet.",
        "Wait for the first value. If none comes, look at the plant's Degraded and the twin's addresses.",
    ),
    SIGNALS_STALE: Reason(
        {_TWIN: (FRESH,), _POLICY: (DEGRADED,), WORKER: (FRESH,)},
        "Nothing has come for longer than the tenant's `freshness.telemetry`, or of a signal than its `staleAfter`.",
        "See whether the machine, its server and the network are up.",
    ),
    AS_EXPECTED: Reason(
        {WORKER: (FLOWING, STORING, CLOCK_SANE, COMPLETE, FRESH)},
        "Nothing is wrong.",
        "Nothing to do.",
    ),
    CONNECTING: Reason(
        _on(FLOWING, WORKER),
        "A connection is being made for the first time.",
        "Wait.",
    ),
    ALERT_OPEN: Reason(
        _on(EVENT, _TWIN),
        "An alert of the machine has opened.",
        "`kubectl twin get alerts` lists it, `kubectl twin trace` explains it.",
    ),
}
"""What each reason means, where it can stand, and what to do."""
