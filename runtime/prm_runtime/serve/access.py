"""Who may see the page: the token, the Host header, and headers that tie browsers down."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode

from starlette.datastructures import URL, Headers, MutableHeaders, QueryParams
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prm_runtime.serve.access_token import Token
from prm_runtime.serve.address import Address

_OPEN_PATHS = ("/healthz", "/static/")  # nothing about the run
_COOKIE_AGE_S = 30 * 24 * 3600
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Access:
    """Lets requests through to ``app`` if they may see the page.

    Without a token only this computer can reach the page, and the Host header has to say so: a page elsewhere
    whose name is pointed at 127.0.0.1 (DNS rebinding) would name itself there. With a token any name will do,
    since a browser gives our cookie to the name that set it and to no other.

    Args:
        app: What answers.
        token: The secret to ask for; None lets everybody in who comes by a loopback name.
        port: Where the page listens; cookies do not keep ports apart, so their name does.
        login: The HTML file that asks for the token.
    """

    def __init__(self, app: ASGIApp, token: Token | None, port: int, login: Path) -> None:
        self._app = app
        self._token = token
        self._cookie = f"prm_{port}"
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008})  # answered as 403
                return
            await self._app(scope, receive, send)
            return
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """What to answer instead of the page; None lets the request through."""
        headers = Headers(scope=scope)
        if self._token is None and not _names_loopback(headers.get("host", "")):
            return PlainTextResponse("this page answers to localhost only\n", status_code=421)
        if scope["type"] == "websocket" and not _is_same_origin(headers):
            return PlainTextResponse("another page's scripts may not watch\n", status_code=403)
        if self._token is None or scope["path"].startswith(_OPEN_PATHS):
            return None
        return self._ask_for_token(HTTPConnection(scope), self._token)

    def _ask_for_token(self, request: HTTPConnection, token: Token) -> Response | None:
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token.matches(credentials.strip()):
            return None
        if token.matches_cookie(request.cookies.get(self._cookie, "")):
            return None
        if request.scope["type"] == "http" and token.matches(request.query_params.get("token", "")):
            return self._remember(request, token)
        wants_page = "text/html" in request.headers.get("accept", "")
        challenge = {"WWW-Authenticate": "Bearer"}
        if wants_page:
            return FileResponse(self._login, status_code=401, headers=challenge)
        return PlainTextResponse(
            "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN once in a browser\n",
            status_code=401,
            headers=challenge,
        )

    def _remember(self, request: HTTPConnection, token: Token) -> Response:
        """Go on to the same address without the token in it, which history and screens would show."""
        answer = RedirectResponse(_without_token(request.url, request.query_params), status_code=303)
        answer.set_cookie(
            self._cookie,
            token.cookie,
            max_age=_COOKIE_AGE_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer


def _without_token(url: URL, query: QueryParams) -> str:
    """Path and query; never a host, which the request could have chosen."""
    rest = urlencode([(key, value) for key, value in query.multi_items() if key != "token"])
    return "/" + url.path.lstrip("/") + (f"?{rest}" if rest else "")


def _names_loopback(host_header: str) -> bool:
    host = re.sub(r":\d+$", "", host_header)
    return Address(host.removeprefix("[").removesuffix("]"), 0).is_loopback


def _is_same_origin(headers: Headers) -> bool:
    """Whether a WebSocket was opened by this page, or by a program that is no browser."""
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sender
