"""A function of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from prm_runtime.sinks.base import Result, SinkError


class Callback:
    """Calls a function with the result of every frame, in order, in the thread that runs the model.

    Example:
        >>> found = []
        >>> sink = Callback(lambda result: found.append(result.instances.labels))
    """

    def __init__(self, function: Callable[[Result], object]) -> None:
        """Keep the function; the next frame waits until it returns."""
        self._function = function

    @classmethod
    def named(cls, name: str) -> Callback:
        """The function that ``MODULE:FUNCTION`` names; modules are looked for in the current folder too.

        Raises:
            SinkError: If there is none.
        """
        module_name, _, function_name = name.partition(":")
        if not (module_name and function_name):
            raise SinkError(f"{name!r} names no function; expected MODULE:FUNCTION, such as robot:on_result")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            function = getattr(import_module(module_name), function_name)
        except ImportError as error:
            raise SinkError(f"{name}: cannot import {module_name} ({error})") from error
        except AttributeError:
            raise SinkError(f"{name}: {module_name} has no {function_name}") from None
        if not callable(function):
            raise SinkError(f"{name} is no function, it is of type {type(function).__name__}")
        return cls(function)

    def __str__(self) -> str:
        """What people call it."""
        return f"callback {getattr(self._function, '__qualname__', self._function)}"

    def write(self, result: Result) -> None:
        """Call the function.

        Raises:
            SinkError: If it raises.
        """
        try:
            with result.times.stage("write"):
                self._function(result)
        except Exception as error:
            where = f"frame {result.frame.index} of {result.frame.source}"
            raise SinkError(f"the callback failed at {where}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing to finish."""
