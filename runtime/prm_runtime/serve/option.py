"""What ``prm-run --serve`` does: opens the page, says where it is, and keeps it up."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from prm_runtime.console import stderr
from prm_runtime.interrupts import Interrupts
from prm_runtime.serve.about import About
from prm_runtime.serve.access_token import given_token, new_token
from prm_runtime.serve.address import parse_address
from prm_runtime.sinks.base import SinkError

if TYPE_CHECKING:
    from prm_runtime.serve.hub import Watched
    from prm_runtime.serve.page import LivePage

_LOOK_EVERY_S = 0.2


def start_page(text: str, sources: Sequence[Watched], about: About, context: typer.Context) -> LivePage:
    """Serve the live page until the command ends, and tell the user where it is.

    The token is that of ``PRM_SERVE_TOKEN``. Where there is none and others can reach the page, a new one is
    shown on the terminal, but never written into a log.

    Args:
        text: HOST:PORT.
        sources: What the run reads.
        about: What the page says about the run.
        context: Of the command.

    Raises:
        SinkError: If the extra ``serve`` is missing, or the page cannot or must not be served there.
    """
    try:
        from prm_runtime.serve.page import LivePage
    except ImportError as error:
        raise SinkError(f'--serve needs {error.name}; run: pip install "prm-edge[serve]"') from None
    address = parse_address(text)
    given = given_token(os.environ)
    fresh = None if given else new_token(address, can_be_shown=sys.stderr.isatty())
    page = context.with_resource(LivePage(address, sources, about, token=given or fresh))
    url = f"{page.url}?token={fresh}" if fresh else page.url
    stderr.print(f"live page: {escape(url)}", highlight=False, soft_wrap=True)
    return page


def hold(page: LivePage) -> None:
    """Keep the page up until Ctrl-C or SIGTERM; not if all sources died, which a supervisor should see."""
    if not page.is_healthy:
        return
    stderr.print(f"the page stays at {escape(page.url)} until Ctrl-C", highlight=False, soft_wrap=True)
    with Interrupts() as interrupts:
        while interrupts.received is None:
            time.sleep(_LOOK_EVERY_S)
