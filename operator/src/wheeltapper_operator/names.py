"""Names that the chart and the operator share; a test holds the chart's templates against them."""

from __future__ import annotations

from typing import Final

KEYS_SECRET: Final = "wheeltapper-backbone-keys"  # noqa: S105 - a name
"""In the release's namespace: what all keys of the backbone are derived from, and the servers' own configuration."""
RESOLVER_FILE: Final = "resolver.conf"
"""Key of that Secret which the servers of the backbone include."""
ACCOUNTS_FOLDER: Final = "/data/accounts"
"""Where a server of the backbone keeps the accounts, on its volume."""
