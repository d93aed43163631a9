"""Class names out of a text file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from prm_export.errors import ExportError


def read_labels(path: Path) -> tuple[str, ...]:
    """Names of the classes in the order of the classifier's outputs, one per line.

    Raises:
        ExportError: If the file cannot be read as text, or a line before the last name is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise ExportError(f"{path}: the labels cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ExportError(f"{path}: expected labels as UTF-8 text, one name per line") from None
    names = [line.strip() for line in lines]
    if not all(names) or not names:
        line = names.index("") + 1 if names else 1
        raise ExportError(f"{path}: line {line} is empty, expected the name of class {line - 1}")
    return distinct(names)


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Number names that occur more than once, as ImageNet's bird and machine do.

    Example:
        >>> distinct(["crane", "cat", "crane"])
        ('crane', 'cat', 'crane (2)')
    """
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
