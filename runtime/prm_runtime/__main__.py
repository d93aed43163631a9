"""``python -m prm_runtime`` is ``prm-run``."""

from prm_runtime.cli import main

main()
