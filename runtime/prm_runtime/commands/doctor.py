"""``prm-run doctor``: what is installed, what will be used, and what is wrong with it."""

from __future__ import annotations

import platform
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, distributions, version

import onnxruntime
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prm_runtime.backends import BACKENDS, BackendInfo, create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.errors import PrmError

PACKAGES = (
    "prm-edge",
    "numpy",
    "opencv-python",
    "av",
    "numba",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-python",
    "pycuda",
)


def doctor() -> None:
    """Show versions, inference engines and the shipped model; exit code 1 if something needs mending."""
    console = Console()
    console.print(_versions())
    console.print(_engines())
    problems = engine_problems(_installed())
    try:
        manifest = Bundle.open(shipped_bundle()).manifest
        console.print(escape(f"model: {manifest.name}, {len(manifest.classes)} classes, {shipped_bundle()}"))
    except PrmError as error:
        problems.append(str(error))
    for problem in problems:
        console.print("[bold red]problem:[/]", escape(problem), highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    console.print("[green]all well[/]")


def engine_problems(installed: Collection[str]) -> list[str]:
    """What is wrong with a set of installed distributions, each with the commands that mend it.

    ``onnxruntime`` and its variants (``onnxruntime-gpu`` ...) unpack into the same folder: whichever was
    installed last wins, and parts of the other stay behind.

    Example:
        >>> engine_problems(["numpy", "onnxruntime"])
        []
    """
    variants = sorted(name for name in installed if name in _ONNXRUNTIME_VARIANTS)
    if len(variants) < 2:
        return []
    keep = next((name for name in variants if name != "onnxruntime"), variants[0])
    return [
        f"{' and '.join(variants)} are installed over each other; keep one: "
        f"pip uninstall -y {' '.join(variants)} && pip install {keep}"
    ]


_ONNXRUNTIME_VARIANTS = frozenset(
    {
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-directml",
        "onnxruntime-openvino",
        "onnxruntime-qnn",
        "onnxruntime-rocm",
    }
)


def _installed() -> set[str]:
    names = (distribution.metadata["Name"] for distribution in distributions())
    return {name.lower().replace("_", "-") for name in names if name}


def _versions() -> Table:
    table = Table("package", "version", title="versions", title_justify="left")
    table.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "-")
    return table


def _state(name: str, info: BackendInfo) -> str:
    if info.missing():
        return f"not installed; {info.install}"
    try:
        description = create_backend(name).description
    except PrmError as error:  # installed, but there is no GPU: not wrong as long as nobody asks for it
        return f"unusable: {error}"
    return description + (" (default)" if name == "onnxruntime" else "")


def _engines() -> Table:
    table = Table("backend", "state", title="inference engines", title_justify="left")
    for name, info in BACKENDS.items():
        table.add_row(name, escape(_state(name, info)))
    # Providers are compiled in, which does not mean that they run here.
    table.add_row("onnxruntime providers", ", ".join(onnxruntime.get_available_providers()))
    return table
