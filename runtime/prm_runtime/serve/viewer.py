"""One browser that watches: it gets the newest results as fast as it asks for them, and a report a second.

Server to browser: text ``{"type": "hello", ...}`` once, ``{"type": "report", ...}`` every second, and results
as binary messages (:meth:`~prm_runtime.serve.snapshot.Snapshot.message`). Browser to server:
``{"type": "next"}`` for each result that it has drawn, and ``{"type": "watch", "source": 0}`` (null for all).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from prm_runtime.serve.hub import Hub
from prm_runtime.serve.rates import HISTORY

IN_FLIGHT = 2  # results under way to a viewer: one is drawn while the next one travels
_GOING_AWAY, _POLICY_VIOLATION = 1001, 1008


async def serve_viewer(socket: WebSocket, hub: Hub, about: dict[str, Any]) -> None:
    """Serve a viewer until it leaves or the page is taken down.

    Args:
        socket: Its connection, not accepted yet.
        hub: Where the results are.
        about: What the page says about the run; part of the first message.
    """
    viewer = _Viewer(socket, hub)
    with hub.listening(viewer.wake_from_thread):
        await socket.accept()
        async with anyio.create_task_group() as jobs:

            async def run(job: Callable[[], Awaitable[None]]) -> None:
                with suppress(WebSocketDisconnect):
                    await job()
                jobs.cancel_scope.cancel()

            jobs.start_soon(run, partial(viewer.send, about))
            jobs.start_soon(run, viewer.receive)
    if socket.client_state is WebSocketState.CONNECTED:
        with suppress(WebSocketDisconnect):
            await socket.close(_GOING_AWAY if hub.is_closed else _POLICY_VIOLATION)


class _Viewer:
    """What is known about one connection."""

    def __init__(self, socket: WebSocket, hub: Hub) -> None:
        self._socket = socket
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._may_send = IN_FLIGHT
        self._sources = len(hub.statuses)
        self._seen = [0] * self._sources
        self._watched: int | None = None
        self._last = -1
        self._ticks = 0

    def wake_from_thread(self) -> None:
        """Look for news; called by the pipeline's thread."""
        with suppress(RuntimeError):  # the server has just stopped
            self._loop.call_soon_threadsafe(self._news.set)

    async def send(self, about: dict[str, Any]) -> None:
        """Send what is new, until the page is taken down."""
        self._ticks = self._hub.ticks
        await self._send_text("hello", **about, sources=self._hub.report(HISTORY))
        self._news.set()
        while not self._hub.is_closed:
            await self._news.wait()
            self._news.clear()
            await self._send_report()
            await self._send_results()

    async def receive(self) -> None:
        """Take the viewer's wishes, until one is not understood."""
        while True:
            try:
                wish = json.loads(await self._socket.receive_text())
                kind = wish["type"]
                if kind == "next":
                    self._may_send = min(self._may_send + 1, IN_FLIGHT)
                elif kind == "watch":
                    self._watch(wish["source"])
                else:
                    return
            except (ValueError, KeyError, TypeError):
                return
            self._news.set()

    def _watch(self, source: int | None) -> None:
        if source is not None and not 0 <= source < self._sources:
            raise ValueError(source)
        self._watched = source
        self._seen = [0] * self._sources  # what it shows next may have been skipped before

    async def _send_report(self) -> None:
        missed = self._hub.ticks - self._ticks
        if missed:
            self._ticks += missed
            await self._send_text("report", sources=self._hub.report(missed))

    async def _send_results(self) -> None:
        while self._may_send:
            snapshot = self._hub.newer(self._seen, self._order())
            if snapshot is None:
                return
            self._may_send -= 1
            self._seen[snapshot.source] = snapshot.sequence
            self._last = snapshot.source
            await self._socket.send_bytes(await anyio.to_thread.run_sync(snapshot.message))

    def _order(self) -> list[int]:
        if self._watched is not None:
            return [self._watched]
        return [(self._last + 1 + n) % self._sources for n in range(self._sources)]

    async def _send_text(self, kind: str, **values: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, **values}, separators=(",", ":")))
