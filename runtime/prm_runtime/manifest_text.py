"""From the text of ``manifest.json`` to a manifest whose values can be relied on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from prm_runtime.malformed import MalformedError
from prm_runtime.manifest import SCHEMA_VERSION, GraphSpec, Manifest
from prm_runtime.manifest_limits import check_limits

MAX_DEPTH: Final = 20
MAX_NUMBER: Final = 1e20  # larger than any seed of a recipe
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def parse_manifest(text: bytes) -> Manifest:
    """Parse and check a manifest.

    Raises:
        MalformedError: If it is not JSON, of a newer schema, of wrong types or values, or contradictory.
    """
    data = _load(text)
    if not isinstance(data, dict):
        raise MalformedError("the manifest is not a JSON object; export the bundle again")
    _check_version(data.get("schema_version"))
    _check_values(data, ())
    try:
        manifest = Manifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise MalformedError(
            f"invalid manifest at {_where(first['loc'])}: {first['msg']}; export the bundle again, or update "
            "prm-edge if a newer one wrote it"
        ) from None
    for name, digest in manifest.sha256.items():
        if not _SHA256.fullmatch(digest):
            raise MalformedError(
                f"the manifest's SHA-256 of {_shown(name)} is not one; export the bundle again"
            )
    check_limits(manifest)
    _check_graphs(manifest)
    return manifest


def _load(text: bytes) -> Any:
    try:
        return json.loads(text.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except RecursionError:
        raise MalformedError(
            f"the manifest is nested more than {MAX_DEPTH} deep; export the bundle again"
        ) from None
    except MalformedError:
        raise
    except ValueError as error:
        raise MalformedError(f"manifest.json is not JSON ({error}); export the bundle again") from None


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("the manifest names a field twice; export the bundle again")
    return found


def _refuse(constant: str) -> None:
    raise MalformedError(f"the manifest holds {constant}, which is no number; export the bundle again")


def _check_version(version: object) -> None:
    if type(version) is not int or version < 1:
        found = _shown(version) if type(version) is int else f"a {type(version).__name__}"
        raise MalformedError(
            f"the manifest's schema_version is {found}, expected a number from 1 to {SCHEMA_VERSION}; export "
            "the bundle again"
        )
    if version > SCHEMA_VERSION:
        raise MalformedError(
            f"written for schema version {_shown(version)}, this prm-edge reads up to {SCHEMA_VERSION}; "
            "update prm-edge with: pip install --upgrade prm-edge"
        )


def _check_values(value: object, where: tuple[str | int, ...]) -> None:
    """Refuse what would trip somebody later: depth, numbers without bound, strings that steer a terminal."""
    if len(where) > MAX_DEPTH:
        raise MalformedError(f"the manifest is nested more than {MAX_DEPTH} deep; export the bundle again")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_values(key, where)
            _check_values(item, (*where, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_values(item, (*where, index))
    elif isinstance(value, str) and _UNPRINTABLE.search(value):
        raise MalformedError(f"invalid manifest at {_where(where)}: {_shown(value)} is not plain text")
    elif isinstance(value, (int, float)) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise MalformedError(f"invalid manifest at {_where(where)}: a number beyond ±{MAX_NUMBER:g}")


def _check_graphs(manifest: Manifest) -> None:
    """What the graphs say of themselves has to suit each other, the network's input and the classes."""
    for graph in (manifest.forward, manifest.backprop):
        if graph.file not in manifest.sha256:
            raise MalformedError(
                f"the manifest has no SHA-256 for {_shown(graph.file)}; export the bundle again"
            )
    _expect_channels(manifest.forward, "image", 3, "a picture's three")
    classes = len(manifest.classes)
    for name, channels in {
        "class_maps": classes,
        "class_scores": classes,
        "mask_logits": classes + 1,
    }.items():
        _expect_channels(manifest.forward, name, channels, f"those of {classes} classes")
    given = {tensor.name: tensor.dtype for tensor in manifest.forward.outputs}
    for tensor in manifest.backprop.inputs:
        if given.get(tensor.name, tensor.dtype) != tensor.dtype:
            raise MalformedError(
                f"the manifest gives {_shown(tensor.name)} as {_shown(given[tensor.name])} and takes it as "
                f"{_shown(tensor.dtype)}; export the bundle again"
            )


def _expect_channels(graph: GraphSpec, name: str, channels: int, meaning: str) -> None:
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.name == name and not (
            len(tensor.shape) >= 2 and (tensor.shape[1] == channels or isinstance(tensor.shape[1], str))
        ):
            raise MalformedError(
                f"the manifest's {name} has shape {_shown(list(tensor.shape))}, expected {channels} "
                f"channels, {meaning}; export the bundle again"
            )


def _where(location: Sequence[str | int]) -> str:
    text = ".".join(map(str, location)) or "its top"
    return text if text.isprintable() and len(text) <= 100 else _shown(text)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
