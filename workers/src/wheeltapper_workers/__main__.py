"""``python -m wheeltapper_workers``."""

from wheeltapper_workers.main import main

main()
