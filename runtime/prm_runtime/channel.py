"""A bounded hand-over from one thread to another."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 (not an error: how either side says goodbye)
    """Nothing more will pass."""


class Channel(Generic[T]):
    """A queue with room for a few items, which either side can close.

    Unlike :class:`queue.Queue`, closing it wakes whoever waits.
    """

    def __init__(self, room: int) -> None:
        """Make room for ``room`` items."""
        self._items: deque[T] = deque()
        self._room = room
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Wait for room and pass an item.

        Raises:
            Closed: If the channel is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._room or self._is_closed)
            if self._is_closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> T | None:
        """The next item; None if none comes in time.

        Raises:
            Closed: If the channel is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._is_closed:
                raise Closed
            return None

    def close(self) -> None:
        """Let nothing more in; what is inside can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
