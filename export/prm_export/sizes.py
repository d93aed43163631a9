"""Which picture sizes a bundle is made for, from what the user asks for."""

from __future__ import annotations

import re

from pydantic import ValidationError

from prm_export.errors import ExportError
from prm_runtime.manifest import Preprocessing, Size, SizeProfile
from prm_runtime.preprocess import input_size

USUAL_FRAME = (3, 4)  # height and width of what most cameras and data sets give


def with_sizes(
    preprocessing: Preprocessing, size: str | None, dynamic: bool, profile: str | None
) -> Preprocessing:
    """Preprocessing with a size profile.

    Args:
        preprocessing: As the network was trained.
        size: ``448``, the long side, or ``352x448``, height and width of a fixed size; None keeps the
            network's own long side.
        dynamic: Whether height and width stay free.
        profile: ``MIN,OPT,MAX``, each height x width; None spans all that frames can become.

    Raises:
        ExportError: If these do not go together, or a side is no multiple of the network's stride.
    """
    multiple = preprocessing.multiple
    sides = None if size is None else _sides(size, "--size", multiple)
    if sides is not None:
        preprocessing = preprocessing.model_copy(update={"size": max(sides)})
    if not dynamic:
        if profile is not None:
            raise ExportError("--profile goes with --dynamic: a fixed size has no other")
        fixed = sides or (preprocessing.size, preprocessing.size)
        _check_multiple(fixed, "--size", multiple)
        return preprocessing.model_copy(update={"profile": SizeProfile(min=fixed, opt=fixed, max=fixed)})
    if size is not None and "x" in size:
        raise ExportError(f"--size {size} is one fixed size: add --fixed, or give the long side alone")
    if profile is None:
        longest = input_size(1, 1, preprocessing)
        usual = input_size(*USUAL_FRAME, preprocessing)
        found = SizeProfile(min=(multiple, multiple), opt=usual, max=longest)
    else:
        found = _profile(profile, multiple)
    return preprocessing.model_copy(update={"profile": found})


def _profile(text: str, multiple: int) -> SizeProfile:
    parts = text.split(",")
    if len(parts) != 3:
        raise ExportError(f"--profile takes MIN,OPT,MAX such as 192x192,352x448,448x448, found '{text}'")
    low, usual, high = (_sides(part, "--profile", multiple) for part in parts)
    try:
        return SizeProfile(min=low, opt=usual, max=high)
    except ValidationError:
        raise ExportError(
            f"--profile has to rise from MIN over OPT to MAX in height and width, found '{text}'"
        ) from None


def _sides(text: str, option: str, multiple: int) -> Size:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    if match is None:
        raise ExportError(f"{option} takes 448 or HEIGHTxWIDTH such as 352x448, found '{text}'")
    height = int(match[1])
    sides = (height, int(match[2]) if match[2] else height)
    if match[2]:
        _check_multiple(sides, option, multiple)
    if min(sides) < multiple:
        raise ExportError(f"{option} has to be at least {multiple} pixels, found '{text}'")
    return sides


def _check_multiple(sides: Size, option: str, multiple: int) -> None:
    if any(side % multiple for side in sides):
        near = "x".join(str(max(1, round(side / multiple)) * multiple) for side in sides)
        raise ExportError(
            f"{option}: sides have to be multiples of {multiple}, found {sides[0]}x{sides[1]}: use {near}"
        )
