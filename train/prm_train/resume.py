"""The state of a run after its last finished epoch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from prm_runtime.console import PrmError
from prm_train.config import Recipe

STATE_FILE = "state.ckpt"

State = dict[str, Any]


def save_state(
    fabric: Fabric, directory: Path, state: State, recipe: Recipe, classes: tuple[str, ...]
) -> None:
    """Write the state whole or not at all: a kill while writing leaves the one before."""
    path = directory / STATE_FILE
    temporary = path.with_suffix(".part")
    fabric.save(temporary, state | _identity(recipe, classes))
    if fabric.is_global_zero:
        temporary.replace(path)
    fabric.barrier()


def restore_state(
    fabric: Fabric, directory: Path, state: State, recipe: Recipe, classes: tuple[str, ...], *, resume: bool
) -> None:
    """Fill a fresh run's state from the one in its folder, in place; nothing happens where there is none.

    Raises:
        PrmError: If the folder holds a run and ``resume`` is not asked for, or it was started differently,
            or its state is damaged.
    """
    path = directory / STATE_FILE
    if not path.exists():
        return
    if not resume:
        raise PrmError(f"{directory} holds an earlier run: give --resume to go on, or another --out")
    # before anything is filled in: the state of another backbone would not even fit
    saved = _identity(recipe, classes)
    try:
        fabric.load(path, saved, weights_only=True)
    except Exception as error:  # torch's reader meets damage with a dozen types, IndexError among them
        raise PrmError(f"{path} is damaged: give another --out, or delete it to start anew") from error
    then = saved["recipe"] | {"classes": saved["classes"]}
    now = asdict(recipe) | {"classes": list(classes)}
    changed = [name for name, value in now.items() if then.get(name) != value]
    if changed:
        raise PrmError(
            f"{directory} was started with other {', '.join(changed)}: resume with the same, or give"
            " another --out"
        )
    fabric.load(path, state, weights_only=True)


def _identity(recipe: Recipe, classes: tuple[str, ...]) -> State:
    return {"recipe": asdict(recipe), "classes": list(classes)}
