"""The commands of ``prm-eval``, one module each."""
