"""``prm-export inspect BUNDLE``: what is inside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prm_export.contents import Contents, GraphInfo, TensorInfo, contents
from prm_runtime.bundle import Bundle
from prm_runtime.manifest import Preprocessing

MANY_GAINS = 4


def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle, a .prm file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    all_tensors: Annotated[
        bool, typer.Option("--all", help="List every gain map and every calibrated class.")
    ] = False,
) -> None:
    """Show what is inside a bundle: graphs, inputs, outputs, cost, settings and where it comes from.

    Costs are those of a square picture of the size that the bundle asks for. MACs are multiply-accumulates
    of convolutions and matrix products; the reverse graph's grow with the number of peaks.
    """
    found = contents(Bundle.open(bundle))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    console = Console()
    console.print(_overview(found))
    for graph in found.graphs:
        console.print(_graph(graph, found.measured_at, all_tensors))
    manifest = found.manifest
    settings = {"peaks": manifest.peaks, "retrieval": manifest.retrieval, "proposals": manifest.proposals}
    for title, part in settings.items():
        console.print(_settings(title, part, all_tensors))
    console.print(_provenance(manifest.provenance))


def _overview(found: Contents) -> Table:
    manifest = found.manifest
    rows = {
        "name": manifest.name,
        "file": f"{found.path}, {_bytes(found.bytes)}",
        "schema version": manifest.schema_version,
        "classes": f"{len(manifest.classes)}: {', '.join(manifest.classes[:8])}"
        + (", …" if len(manifest.classes) > 8 else ""),
        "input": _input(manifest.preprocessing),
        "parameters": f"{found.parameters:,}",
        "precision": manifest.precision,
        "frames at once": manifest.batch,
    }
    return _pairs("bundle", rows.items())


def _input(settings: Preprocessing) -> str:
    profile = settings.profile
    if profile is not None and profile.is_fixed:
        size = f"{_by(profile.min)}, all frames stretched to it"
    else:
        size = f"long side {settings.size}, sides multiples of {settings.multiple}"
        if profile is not None:
            size += f", {_by(profile.min)} to {_by(profile.max)}, mostly {_by(profile.opt)}"
    return f"{size}; RGB - {settings.mean}, / {settings.std}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _graph(graph: GraphInfo, size: tuple[int, int], all_tensors: bool) -> Table:
    opset = ", ".join(f"{domain} {version}" for domain, version in graph.opset.items())
    weights = ", ".join(f"{count:,} {dtype}" for dtype, count in graph.weights.items())
    title = (
        f"{graph.file}: {_bytes(graph.bytes)}, {graph.nodes} nodes, opset {opset}\n"
        f"{_macs(graph)} at {_by(size)}; weights: {weights or 'none'}"
    )
    table = Table("", "tensor", "type", "shape", "size", "bytes", title=title, title_justify="left")
    for kind, tensors in (("in", graph.inputs), ("out", graph.outputs)):
        gains = [tensor for tensor in tensors if tensor.name.startswith("gain_")]
        shorten = len(gains) > MANY_GAINS and not all_tensors
        for tensor in tensors:
            if not (shorten and tensor in gains):
                cells = (tensor.name, tensor.dtype, _shape(tensor.shape), _shape(tensor.size))
                table.add_row(kind, *map(escape, cells), _bytes(_tensor_bytes(tensor)))
        if shorten:
            total = sum(_tensor_bytes(tensor) or 0 for tensor in gains)
            table.add_row(kind, f"{len(gains)} gain maps (--all)", "", "", "", _bytes(total))
    return table


def _settings(title: str, part: Any, everything: bool) -> Table:
    plain: dict[str, Any] = TypeAdapter(type(part)).dump_python(part, mode="json")
    rows = []
    for name, value in plain.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{key}", item) for key, item in value.items()]
        elif isinstance(value, list) and len(value) > 8 and not everything:
            rows.append((name, f"{len(value)} numbers (--all)"))
        else:
            rows.append((name, value))
    return _pairs(title, rows)


def _provenance(part: BaseModel) -> Table:
    plain = part.model_dump(exclude_none=True)
    metrics = plain.pop("metrics", {})
    return _pairs("provenance", [*plain.items(), *metrics.items()])


def _pairs(title: str, rows: Iterable[tuple[str, object]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows:
        table.add_row(name, escape(str(value)))
    return table


def _macs(graph: GraphInfo) -> str:
    if graph.macs is None:
        return "MACs not known"
    fixed = f"{graph.macs / 1e9:.2f} GMACs"
    return fixed if graph.macs_per_peak is None else f"{fixed} + {graph.macs_per_peak / 1e9:.2f} per peak"


def _shape(shape: tuple[int | str, ...] | None) -> str:
    return "?" if shape is None else f"[{', '.join(map(str, shape))}]"


_ITEM_BYTES = {"float32": 4, "int64": 8, "float16": 2, "int8": 1, "uint8": 1}


def _tensor_bytes(tensor: TensorInfo) -> int | None:
    if tensor.size is None or tensor.dtype not in _ITEM_BYTES:
        return None
    count = _ITEM_BYTES[tensor.dtype]
    for side in tensor.size:
        count *= side
    return count


def _bytes(count: int | None) -> str:
    if count is None:
        return "?"
    return f"{count / 1e6:.2f} MB" if count >= 10_000 else f"{count} B"
