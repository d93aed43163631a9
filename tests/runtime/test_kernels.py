"""The kernels that are loaded ahead are those of a frame."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PICTURE = Path(__file__).parents[2] / "demo" / "photos" / "astronaut.jpg"
IN_A_NEW_PROCESS = """
import sys
import cv2
from dataclasses import replace
from numba.core.dispatcher import Dispatcher
from prm_runtime.backends import create_backend
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.kernels import rehearse
from prm_runtime.segmenter import Segmenter

def loaded():
    return {
        (name, kernel, str(types))
        for name, module in list(sys.modules.items()) if name.startswith("prm_")
        for kernel, value in vars(module).items() if isinstance(value, Dispatcher)
        for types in value.signatures
    }

method, picture = sys.argv[1:]
frame = cv2.cvtColor(cv2.imread(picture), cv2.COLOR_BGR2RGB)
bundle = Bundle.open(shipped_bundle())
settings = replace(bundle.manifest.retrieval, method=method)
rehearse(bundle.manifest, settings)
before = loaded()
with Segmenter(bundle, create_backend(), settings) as segmenter:
    assert len(segmenter(frame)) > 0
print(sorted(loaded() - before))
"""


@pytest.mark.parametrize("method", ["walk", "eq6"])
def test_a_frame_needs_no_kernel_that_the_rehearsal_did_not_load(method: str) -> None:
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, method, str(PICTURE)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.stdout.strip() == "[]", finished.stdout + finished.stderr
