"""Memory that torch frees on a CPU is kept for its next tensors."""

from __future__ import annotations

import ctypes
import sys

# options of glibc's mallopt, from malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT = 2**31 - 1
PAD = 256 << 20


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory: the system would have to clear and map it again, page by page.

    A network's feature maps are tens of megabytes each and live for a layer. Where glibc is not the
    allocator nothing changes. The process stays as large as it once was.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, KEPT)
    mallopt(M_TOP_PAD, PAD)
