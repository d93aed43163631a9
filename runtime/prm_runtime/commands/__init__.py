"""The commands of ``prm-run``, one module each."""
