"""Whole archives of pictures with Ray Data: ``prm-run --ray``."""
