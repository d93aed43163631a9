"""The dependency direction of docs/architecture.md, checked on the source of every module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPONENTS = {
    "prm_proposals": ("proposals", set()),
    "prm_runtime": ("runtime", {"prm_proposals"}),
    "prm_evaluation": ("evaluation", {"prm_proposals", "prm_runtime"}),
    "prm_train": (
        "train",
        {
            "prm_proposals",
            "prm_evaluation",
            "prm_runtime.console",
            "prm_runtime.manifest",
            "prm_runtime.preprocess",
        },
    ),
    "prm_export": (
        "export",
        {
            "prm_proposals",
            "prm_runtime",
            "prm_evaluation",
            "prm_train.aggregation",
            "prm_train.checkpoint",
            "prm_train.fcn",
        },
    ),
}
DEVICE_SIDE = ("prm_proposals", "prm_runtime", "prm_evaluation")


def imported_modules(path: Path) -> set[str]:
    """Names of all modules that a file imports, ``from a import b`` as both ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / COMPONENTS[package][0] / package).rglob("*.py"))
    assert files
    return files


def is_within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


@pytest.mark.parametrize("package", COMPONENTS)
def test_components_import_only_what_the_architecture_allows(package: str) -> None:
    allowed = COMPONENTS[package][1] | {package}
    for path in sources(package):
        ours = {name for name in imported_modules(path) if name.split(".")[0] in COMPONENTS}
        parents = {name.rsplit(".", 1)[0] for name in allowed if "." in name}
        foreign = {name for name in ours if not is_within(name, allowed) and name not in parents}
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize("package", DEVICE_SIDE)
def test_the_device_side_never_imports_torch(package: str) -> None:
    for path in sources(package):
        assert not is_within_any(imported_modules(path), {"torch", "lightning_fabric", "torchmetrics"}), path


def is_within_any(modules: set[str], names: set[str]) -> bool:
    return any(is_within(module, names) for module in modules)
