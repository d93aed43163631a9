"""A page to watch a run on, with metrics and a health check; needs the extra ``serve``."""
