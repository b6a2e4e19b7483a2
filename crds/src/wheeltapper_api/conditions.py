"""Condition types and reasons: each a constant with the sentence that explains it.

``Ready`` is always present. ``Reconciling``, ``Stalled`` and ``Degraded`` are present only while they are true.
"""

from __future__ import annotations

from typing import Final

READY: Final = "Ready"
"""True when everything the spec asks for runs at this generation."""
RECONCILING: Final = "Reconciling"
"""Present while the spec is being brought about."""
STALLED: Final = "Stalled"
"""Present when a person has to change something; waiting does not help."""
DEGRADED: Final = "Degraded"
"""Present when part of it does not work while the rest goes on."""
ONBOARDED: Final = "Onboarded"
"""Of a twin: True once every required signal has delivered and its baselines are learned."""
FRESH: Final = "Fresh"
"""Of a twin: True while its telemetry, features and scores meet the tenant's freshness objectives."""

RUNNING: Final = "Running"
"""Ready: the workers run this generation."""
REFERENCE_NOT_FOUND: Final = "ReferenceNotFound"
"""Stalled: a class, plant, connection or signal that is named does not exist. Create it or correct the name."""
INPUT_NOT_AVAILABLE: Final = "InputNotAvailable"
"""Stalled: a failure model needs a quantity, statistic or mounting that the class does not give."""
UNIT_NOT_CONVERTIBLE: Final = "UnitNotConvertible"
"""Stalled: the source's unit and the class's unit measure different things, or one is not UCUM."""
AMBIGUOUS: Final = "Ambiguous"
"""Stalled: two objects or entries claim the same name."""
LIMIT_EXCEEDED: Final = "LimitExceeded"
"""Stalled: the tenant's limits are exceeded."""
INVALID: Final = "Invalid"
"""Stalled: the spec contradicts itself."""
