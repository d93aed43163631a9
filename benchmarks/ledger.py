"""Where every frame of a flaky camera went: what the camera says against what the source decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DECODED = "number read"
UNEXPLAINED = "unexplained"
MADE = {"away": "no client", "withheld": "withheld by the camera", "corrupt": "corrupt"}
NOT_YET = "before the connection delivered"
HUNG_UP = "under way when the connection ended"
SPOILT = "after a corrupt frame"
CUT_OFF = "cut off by a restart or a corrupt frame"
REASONS = (DECODED, *MADE.values(), NOT_YET, HUNG_UP, SPOILT, CUT_OFF, UNEXPLAINED)
UNDER_WAY = 2  # frames that a demultiplexer and a parser hold back


@dataclass(frozen=True)
class Entry:
    """What a camera did with a frame."""

    number: int
    fate: str
    connection: int
    is_key: bool
    restarts: bool


def read_ledger(path: Path) -> tuple[list[Entry], dict[str, int]]:
    """The entries of a ledger, and how often each fault was made."""
    entries, faults = [], {}
    for line in path.read_text().splitlines():
        words = line.split()
        if words[0] == "faults":
            faults = {name: int(count) for name, count in (word.split("=") for word in words[1:])}
        else:
            entries.append(Entry(int(words[0]), words[1], int(words[2]), words[3] == "1", words[4] == "1"))
    return entries, faults


def account(entries: Sequence[Entry], decoded: set[int]) -> Counter[str]:
    """Put a reason to every frame that a camera knows of.

    A sent frame that did not come out of the decoder is explained if its connection had not begun to deliver
    (the decoder looks at the stream and waits for a key frame), if it follows a corrupt frame before the next
    key frame, or if it was under way when the connection ended, the encoder was started again or a corrupt
    frame came: in a transport stream the end of a frame shows by the beginning of the next.

    Args:
        entries: The ledger.
        decoded: Numbers that were read off decoded frames.

    Returns:
        Frames per reason; ``unexplained`` ones are those that nobody accounts for.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for entry in entries:
        if entry.number in decoded:
            first.setdefault(entry.connection, entry.number)
            last[entry.connection] = entry.number
    cut = _cut_off(entries)
    reasons: Counter[str] = Counter()
    after_corrupt = False
    for entry in entries:
        if entry.fate == "corrupt":
            after_corrupt = True
        elif entry.fate == "sent" and entry.is_key:
            after_corrupt = False
        if entry.number in decoded:
            reason = DECODED
        elif entry.fate in MADE:
            reason = MADE[entry.fate]
        elif entry.connection not in first or entry.number < first[entry.connection]:
            reason = NOT_YET
        elif entry.number > last[entry.connection]:
            reason = HUNG_UP
        elif after_corrupt:
            reason = SPOILT
        elif entry.number in cut:
            reason = CUT_OFF
        else:
            reason = UNEXPLAINED
        reasons[reason] += 1
    return reasons


def _cut_off(entries: Sequence[Entry]) -> set[int]:
    cut: set[int] = set()
    sent: list[int] = []
    for entry in entries:
        if entry.restarts or entry.fate == "corrupt":
            cut.update(sent[-UNDER_WAY:])
        if entry.fate == "sent":
            sent.append(entry.number)
    return cut
