"""The page as an ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from prm_runtime.serve.access import Access
from prm_runtime.serve.access_token import Token
from prm_runtime.serve.health import Condition, condition, is_healthy
from prm_runtime.serve.hub import Hub
from prm_runtime.serve.metrics import Metrics
from prm_runtime.serve.viewer import serve_viewer

STATIC = Path(__file__).parent / "static"
MAX_VIEWERS = 32
_TICK_S = 1.0
_TRY_AGAIN_LATER = 1013


def create_app(
    hub: Hub, metrics: Metrics, about: dict[str, Any], *, token: Token | None, port: int
) -> ASGIApp:
    """The app that shows what is in ``hub``.

    Args:
        hub: The newest results.
        metrics: What has been counted.
        about: What the page says about the run: ``model``, ``version``, ``min_score``.
        token: The secret to ask for, see :class:`~prm_runtime.serve.access.Access`.
        port: Where the page listens.
    """
    viewers: set[WebSocket] = set()

    async def page(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def watch(socket: WebSocket) -> None:
        if len(viewers) >= MAX_VIEWERS:
            await socket.accept()  # a refused handshake has no code that a page could read
            await socket.close(_TRY_AGAIN_LATER)
            return
        viewers.add(socket)
        metrics.viewers.set(len(viewers))
        try:
            await serve_viewer(socket, hub, about)
        finally:
            viewers.discard(socket)
            metrics.viewers.set(len(viewers))

    async def numbers(_: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: Request) -> Response:
        statuses = hub.statuses
        conditions = [condition(status) for status in statuses]
        healthy = is_healthy(statuses)
        # Anybody may ask, so it gives counts and no names.
        counts = {kind.value: conditions.count(kind) for kind in Condition}
        body = {"status": "ok" if healthy else "no source delivers", "sources": counts}
        return JSONResponse(body, status_code=200 if healthy else 503)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ticking = asyncio.create_task(_tick(hub))
        yield
        ticking.cancel()

    routes = [
        Route("/", page),
        Route("/metrics", numbers),
        Route("/healthz", health),
        WebSocketRoute("/watch", watch),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    return Access(app, token, port, STATIC / "login.html")


async def _tick(hub: Hub) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        hub.tick()
