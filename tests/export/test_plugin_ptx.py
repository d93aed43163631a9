"""PeakFind's kernel for GPUs that are not here: compiled, and assembled by NVIDIA's ptxas."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from prm_export.errors import ExportError

if find_spec("triton") is None:
    pytest.skip("triton is not installed: pip install triton", allow_module_level=True)

import triton

from prm_export.plugin.ptx import compile_peak_find, without_hidden_parameters

PTXAS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"


@pytest.mark.parametrize("compute_capability", [75, 80, 86, 87, 89, 90])
def test_it_compiles_without_a_gpu(compute_capability: int, tmp_path: Path) -> None:
    code = compile_peak_find(3, 16, 0.5, compute_capability)
    target = re.search(r"^\.target (\w+)", code.ptx, flags=re.MULTILINE)
    assert target is not None
    assert target[1].startswith(f"sm_{compute_capability}")
    declared = code.ptx.split(f".entry {code.name}(")[1].split(")")[0]
    assert re.findall(r"\.param \.(\w+)", declared) == ["u64", "u32", "u32", "u32", "u64", "u64"]
    assert code.threads % 32 == 0
    source = tmp_path / "kernel.ptx"
    source.write_text(code.ptx)
    subprocess.run([PTXAS, "-O0", "-arch", target[1], source, "-o", tmp_path / "kernel.cubin"], check=True)


def test_a_parameter_that_is_used_is_not_cut() -> None:
    ptx = ".visible .entry k(\n\t.param .u64 k_param_0,\n\t.param .u64 k_param_1\n)\n{ ld [k_param_1]; }"
    assert without_hidden_parameters(ptx, "k", 2) == ptx
    with pytest.raises(ExportError, match=r"scratch memory \(k_param_1\)"):
        without_hidden_parameters(ptx, "k", 1)


def test_ptx_without_the_kernel_is_refused() -> None:
    with pytest.raises(ExportError, match="has no kernel other"):
        without_hidden_parameters(".visible .entry k(\n\t.param .u64 k_param_0\n)", "other", 1)
