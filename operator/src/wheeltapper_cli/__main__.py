"""``python -m wheeltapper_cli``."""

from wheeltapper_cli.main import main

main()
