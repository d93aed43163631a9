"""The live page: a sink whose results can be watched in a browser."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from types import TracebackType
from typing import Self

import uvicorn

from prm_runtime.serve.about import About
from prm_runtime.serve.access_token import Token
from prm_runtime.serve.address import Address, listen
from prm_runtime.serve.app import create_app
from prm_runtime.serve.health import is_healthy
from prm_runtime.serve.hub import Hub, Watched
from prm_runtime.serve.metrics import Metrics
from prm_runtime.sinks.base import Result, SinkError

_GRACE_S = 2
_MAX_MESSAGE_BYTES = 1024  # what a viewer has to say is short


class LivePage:
    """Serves the newest result of every source from a thread of its own; it never holds the pipeline up.

    Attributes:
        url: What to type into a browser, without the token.

    Example:
        >>> with LivePage(parse_address("8080"), [source], About("voc20-lite0")) as page:  # doctest: +SKIP
        ...     run_pipeline(segmenter, source, [page], ...)
    """

    def __init__(
        self, address: Address, sources: Sequence[Watched], about: About, *, token: str | None = None
    ) -> None:
        """Listen; nobody is answered before the ``with`` block.

        Args:
            address: Where.
            sources: What the run reads; their states are shown.
            about: What the page says about the run.
            token: The secret to ask viewers for. Without one only this computer's own names are answered to.

        Raises:
            SinkError: If nothing can listen there, or others could reach the page and there is no token.
        """
        if token is None and not address.is_loopback:
            raise SinkError(f"{address.host}: others can reach this address, so the page needs a token")
        self._listener = listen(address)
        port = int(self._listener.getsockname()[1])
        self.url = Address(address.host, port).url
        self._hub = Hub(sources, about.map_shift)
        self._metrics = Metrics(self._hub)
        app = create_app(
            self._hub,
            self._metrics,
            {"version": version("prm-edge"), **asdict(about)},
            token=Token(token) if token else None,
            port=port,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                log_level="warning",  # below it are the addresses of requests, maybe with a token
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                ws_max_size=_MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,  # pictures are compressed already
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listener],), name="live-page", daemon=True
        )

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the page down."""
        self._hub.close()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def __str__(self) -> str:
        """Where it is."""
        return f"live page at {self.url}"

    @property
    def is_healthy(self) -> bool:
        """What ``/healthz`` says: whether a source delivers or has delivered everything."""
        return is_healthy(self._hub.statuses)

    def write(self, result: Result) -> None:
        """Show a result in place of the one before it."""
        self._metrics.count(result, self._hub.put(result))

    def close(self) -> None:
        """No more results come; the last ones stay on the page until the ``with`` block ends."""
