"""YOLO11n-seg's ``predict``, one frame at a time, for ``benchmarks.frame``; in an interpreter of its own.

``PYTHON yolo_worker.py FRAMES.npy FOLDER [WEIGHTS.pt]`` with the packages of requirements-yolo.txt. Answers
each line ``{"engine", "shape", "frame"}`` on standard input by one line of JSON with the seconds of the call.

Without weights the network has random ones, which cost the same to run. So that predict does what it does
for a trained network, batch norms take their statistics from the frames, each frame's ``conf`` is the score
of its 100th best box, so that 100 boxes enter non-maximum suppression, and ``max_det`` is 8: eight masks.
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import torch

os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever ultralytics prints must not get between the answers


def provide_torchvision() -> str:
    """Where NMS comes from: torchvision, or OpenCV where torchvision does not load beside this torch.

    ultralytics has an NMS of its own for that case, but in Python: predict would look slower than it is.
    """
    try:
        import torchvision  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = stand_in = ModuleType("torchvision")
        stand_in.ops = SimpleNamespace(nms=opencv_nms)
        return "OpenCV in place of torchvision"
    return "torchvision"


def opencv_nms(boxes: torch.Tensor, scores: torch.Tensor, iou: float) -> torch.Tensor:
    """Indices of the boxes (x0, y0, x1, y1) that are kept, best first, as torchvision.ops.nms has them."""
    corners = boxes.numpy()
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(sides, scores.numpy(), 0.0, iou)
    return torch.as_tensor(np.asarray(kept).ravel(), dtype=torch.int64)


NMS = provide_torchvision()

from ultralytics import YOLO  # noqa: E402
from ultralytics.data.augment import LetterBox  # noqa: E402

CANDIDATES, INSTANCES, CALIBRATION = 100, 8, 8
FORMATS = {"onnxruntime": ("onnx", ".onnx"), "openvino": ("openvino", "_openvino_model")}

frames = np.load(sys.argv[1])  # RGB uint8 [N, H, W, 3]
folder, weights = Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
os.chdir(folder)
torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


def tensor(number: int, shape: tuple[int, int]) -> torch.Tensor:
    """A frame as predict prepares it, float32 [1, 3, h, w]."""
    image = LetterBox(shape, auto=False)(image=frames[number])
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None])).float() / 255


@cache
def network() -> YOLO:
    """The network in torch."""
    if weights:
        return YOLO(weights)
    torch.manual_seed(0)
    model = YOLO("yolo11n-seg.yaml")
    norms = [module for module in model.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all that it sees
    chosen = np.linspace(0, len(frames) - 1, CALIBRATION).astype(int)
    model.model.train()
    with torch.no_grad():
        model.model(torch.cat([tensor(number, (640, 640)) for number in chosen]))
    model.model.eval()
    return model


@cache
def exported(engine: str, shape: tuple[int, int]) -> YOLO:
    """The network in an engine, at a fixed size."""
    form, suffix = FORMATS[engine]
    of = Path(weights).stem if weights else "random"
    path = folder / f"{of}-{shape[0]}x{shape[1]}{suffix}"
    if not path.exists():
        Path(network().export(format=form, imgsz=list(shape))).rename(path)
    return YOLO(path, task="segment")


@cache
def confidence(number: int, shape: tuple[int, int]) -> float:
    """Score of a frame's 100th best box; ultralytics' own default with given weights."""
    if weights:
        return 0.25
    with torch.no_grad():
        found = network().model(tensor(number, shape))
    boxes = found[0][0] if isinstance(found[0], tuple) else found[0]
    return float(boxes[0, 4:84].amax(0).topk(CANDIDATES).values[-1])


def predict(engine: str, shape: tuple[int, int], number: int) -> dict[str, object]:
    """Time one call."""
    model, conf = exported(engine, shape), confidence(number, shape)
    image = np.ascontiguousarray(frames[number][..., ::-1])  # predict takes BGR
    start = perf_counter()
    (result,) = model.predict(image, imgsz=list(shape), conf=conf, max_det=INSTANCES, verbose=False)
    seconds = perf_counter() - start
    stages = {stage: milliseconds / 1000 for stage, milliseconds in result.speed.items()}
    return {"seconds": {"total": seconds, **stages}, "instances": len(result.boxes)}


def answer(message: dict[str, object]) -> None:
    """Send one line."""
    answers.write(json.dumps(message) + "\n")
    answers.flush()


packages = ("ultralytics", "torch", "onnxruntime", "openvino")
answer({"nms": NMS, "weights": weights or "random", "versions": {name: version(name) for name in packages}})
for line in sys.stdin:
    asked = json.loads(line)
    answer(predict(asked["engine"], tuple(asked["shape"]), asked["frame"]))
