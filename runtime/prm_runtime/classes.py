"""Class names that users type."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from prm_runtime.errors import PrmError


def class_indices(names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Indices of class names, ignoring case.

    Raises:
        PrmError: If a name is unknown; the message lists what it is close to, else all classes.

    Example:
        >>> class_indices(["Dog"], ["cat", "dog"])
        [1]
    """
    known = {name.casefold(): index for index, name in enumerate(classes)}
    indices = []
    for name in names:
        index = known.get(name.casefold())
        if index is None:
            close = [classes[known[match]] for match in get_close_matches(name.casefold(), known, n=3)]
            hint = f"did you mean {' or '.join(close)}?" if close else f"known are: {', '.join(classes)}"
            raise PrmError(f"unknown class {name!r}; {hint}")
        indices.append(index)
    return indices


def split_class_list(text: str, classes: Sequence[str]) -> list[str]:
    """Split ``"dog,person"`` at commas, except where the whole is itself a class (``"tench, Tinca tinca"``).

    Example:
        >>> split_class_list("cat, dog", ["cat", "dog"])
        ['cat', 'dog']
    """
    if text.casefold() in {name.casefold() for name in classes}:
        return [text]
    return [part.strip() for part in text.split(",") if part.strip()]
