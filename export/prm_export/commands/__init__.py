"""The commands of ``prm-export``, one module each."""
