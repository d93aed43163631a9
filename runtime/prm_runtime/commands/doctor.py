"""``prm-run doctor``: what is installed, what will be used and why, and what is wrong or could be faster."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from importlib.metadata import distributions

import onnxruntime
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prm_runtime.auto import Choice, choose_backend
from prm_runtime.auto.candidates import installed_version
from prm_runtime.backends import BACKENDS, BackendInfo, create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.console import PrmError
from prm_runtime.nvidia import has_nvidia_driver

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
VARIANTS = {
    "onnxruntime": (
        "onnxruntime",
        "onnxruntime-directml",
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "onnxruntime-qnn",
        "onnxruntime-rocm",
    ),
    "opencv": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
"""Distributions that unpack into one folder, the plainest first."""


def doctor() -> None:
    """Show versions, engines, which will be used and why; exit code 1 if something needs mending.

    Engines that were not measured here before are measured, which takes some seconds.
    """
    console = Console()
    console.print(_versions())
    console.print(_engines())
    problems = double_installs(_installed())
    try:
        bundle = Bundle.open(shipped_bundle())
        manifest = bundle.manifest
        console.print(escape(f"model: {manifest.name}, {len(manifest.classes)} classes, {shipped_bundle()}"))
        choice = choose_backend(bundle)
        console.print(escape(will_be_used(choice)), highlight=False, soft_wrap=True)
        for line in could_be_faster(choice, has_nvidia_driver()):
            console.print("[yellow]faster:[/]", escape(line), highlight=False, soft_wrap=True)
    except PrmError as error:
        problems.append(str(error))
    for problem in problems:
        console.print("[bold red]problem:[/]", escape(problem), highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    console.print("[green]all well[/]")


def double_installs(installed: Collection[str]) -> list[str]:
    """What is wrong with a set of installed distributions, each with the commands that mend it.

    Variants of one package unpack into the same folder: whichever was installed last wins, and parts of the
    other stay behind.

    Example:
        >>> double_installs(["numpy", "onnxruntime", "opencv-python"])
        []
    """
    problems = []
    for variants in VARIANTS.values():
        found = [name for name in variants if name in installed]
        if len(found) > 1:
            problems.append(
                f"{' and '.join(found)} are installed over each other; keep one: "
                f"pip uninstall -y {' '.join(found)} && pip install {found[-1]}"
            )
    return problems


def will_be_used(choice: Choice) -> str:
    """Which engine ``auto`` means here, and why."""
    return f"engine that prm-run takes: {choice.backend}, {choice.reason} (--backend NAME takes another)"


def could_be_faster(
    choice: Choice, has_gpu: bool, backends: Mapping[str, BackendInfo] = BACKENDS
) -> list[str]:
    """What to install, or to do, to be faster."""
    advice = []
    if backends["openvino"].missing():
        advice.append(
            "OpenVINO is mostly the fastest engine on x86 CPUs; try it: " + backends["openvino"].install
        )
    if not has_gpu:
        return advice
    advice += [
        f"{name} does not run yet: {choice.unusable[name]}"
        for name in ("tensorrt", "tensorrt-rtx", "cuda")
        if name in choice.unusable
    ]
    if not any(name in choice.seconds or name in choice.unusable for name in ("tensorrt", "tensorrt-rtx")):
        advice.append(f"there is an NVIDIA driver, but no TensorRT: {backends['tensorrt-rtx'].install}")
    return advice


def _installed() -> set[str]:
    names = (distribution.metadata["Name"] for distribution in distributions())
    return {name.lower().replace("_", "-") for name in names if name}


def _versions() -> Table:
    table = Table("package", "version", title="versions", title_justify="left")
    table.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        table.add_row(package, installed_version(package) or "-")
    return table


def _state(name: str, info: BackendInfo) -> str:
    if info.missing():
        return f"not installed; {info.install}"
    try:
        return create_backend(name).description
    except PrmError as error:  # installed, but there is no GPU: not wrong as long as nobody asks for it
        return f"unusable: {error}"


def _engines() -> Table:
    table = Table("backend", "state", title="inference engines", title_justify="left")
    for name, info in BACKENDS.items():
        table.add_row(name, escape(_state(name, info)))
    # Providers are compiled in, which does not mean that they run here.
    table.add_row("onnxruntime providers", ", ".join(onnxruntime.get_available_providers()))
    return table
