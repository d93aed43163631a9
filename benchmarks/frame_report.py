"""The report of ``benchmarks.frame``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.limits import Machine, Work
from benchmarks.report import Report, Table, Target
from benchmarks.timing import TOTAL, Samples, disturbance_notes

from prm_runtime.timing import STAGES

PEAKS = 8
FULL, SHIPPED, EMPTY, BARE, PUBLISHED = (
    f"{PEAKS} peaks",
    "as shipped",
    "no objects",
    "bare forward",
    "published",
)
WITHOUT_DECODE = [stage for stage in STAGES if stage not in ("decode", "draw", "write")]
ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Measured:
    """Everything that was measured.

    Attributes:
        samples: Ours and YOLO in turn.
        published: Ours and the published inference in turn.
        work: What the graphs have to do.
        machine: What the machine can do.
        yolo: What YOLO's worker says about itself; None where it was left out.
    """

    samples: Samples
    published: Samples
    work: Mapping[str, Work]
    machine: Machine
    yolo: Mapping[str, Any] | None


def build(
    measured: Measured,
    backends: Sequence[str],
    *,
    command: str,
    clip: str,
    model: str,
    threads: int,
    aspect: str | None = None,
) -> Report:
    """Tables and targets."""
    samples = measured.samples
    tables = [_stages(samples, backends), _others(measured, backends), _limits(measured, backends)]
    return Report(
        name="frame" if aspect is None else f"frame-{aspect.replace(':', 'x')}",
        command=command,
        protocol=(
            f"{model}, {clip}, {threads} threads, medians with quartiles. {FULL}: whatever the frame shows, "
            f"the {PEAKS} strongest peaks are back-propagated, and all they retrieve becomes masks. "
            f"{SHIPPED}: the bundle's own thresholds, as prm-run has them. Ratios are paired frame by frame."
        ),
        tables=tables,
        targets=_targets(measured, backends, "" if aspect is None else f" ({aspect})"),
        notes=_notes(measured),
        data={
            "turns": samples.as_json(),
            "turns_with_published": measured.published.as_json(),
            "work": {name: asdict(work) for name, work in measured.work.items()},
            "machine_rates": asdict(measured.machine),
            "yolo": measured.yolo,
        },
    )


def _stages(samples: Samples, backends: Sequence[str]) -> Table:
    rows = [["decode", *[str(samples.of("decode"))] * len(backends)]]
    rows.append([BARE, *(str(samples.of(f"{name}, {BARE}")) for name in backends)])
    for variant in (FULL, SHIPPED, EMPTY):
        for stage in (*WITHOUT_DECODE, TOTAL):
            found = [samples.of(f"{name}, {variant}", stage) for name in backends]
            label = "whole frame" if stage == TOTAL else stage
            if any(each.n for each in found):
                rows.append([f"{variant}: {label}", *(str(each) if each.n else "-" for each in found)])
    return Table("Milliseconds per stage", ["stage", *backends], rows)


def _yolo_variants(samples: Samples, backend: str) -> list[str]:
    return [name for name in samples.ms if name.startswith(f"{backend}, YOLO")]


def _others(measured: Measured, backends: Sequence[str]) -> Table:
    rows = []
    for name in backends:
        ours = f"{name}, {FULL}"
        for other in _yolo_variants(measured.samples, name):
            samples = measured.samples
            took, ratio = samples.of(other), samples.ratio(ours, other)
            shipped = samples.ratio(f"{name}, {SHIPPED}", other)
            rows.append([other, str(took), str(samples.of(ours)), str(ratio), str(shipped)])
        samples = measured.published
        took, ratio = samples.of(PUBLISHED), samples.ratio(ours, PUBLISHED)
        rows.append([f"{name}, {PUBLISHED} (torch)", str(took), str(samples.of(ours)), str(ratio), "-"])
    header = ["instead", "its ms", f"ours, {FULL}, ms", "ours / its", f"{SHIPPED} / its"]
    return Table("Beside what a user would pick instead", header, rows)


def _limits(measured: Measured, backends: Sequence[str]) -> Table:
    stage_of = {"bare": (BARE, TOTAL), "forward": (FULL, "forward"), "reverse": (FULL, "back-propagation")}
    rows = []
    for graph, work in measured.work.items():
        variant, stage = stage_of[graph.split()[0]]
        limit = 1000 * work.seconds
        cells = []
        for name in backends:
            took = measured.samples.of(f"{name}, {variant}", stage).median
            cells.append(f"{took:.1f} ({100 * limit / took:.0f} %)")
        rows.append([graph, f"{work.macs / 1e9:.2f}", f"{work.bytes / 1e6:.0f}", f"{limit:.1f}", *cells])
    header = [
        "graph",
        "GMACs",
        "MB moved",
        "limit, ms",
        *(f"{name}, ms (share of limit)" for name in backends),
    ]
    return Table("Beside the machine's limit", header, rows)


def _targets(measured: Measured, backends: Sequence[str], label: str) -> list[Target]:
    samples, targets = measured.samples, []

    def at_most(figure: str, limit: float, above: str, below: str) -> None:
        known = above in samples.ms and below in samples.ms
        ratio = samples.ratio(above, below) if known else None
        found = f"{ratio} ×" if ratio else "not measured"
        targets.append(Target(figure, f"≤ {limit} ×", found, ratio and ratio.median <= limit))

    for name in (name for name in ENGINES if name in backends):
        ours, engine = f"{name}, {FULL}", ENGINES[name] + label
        versus = _yolo_variants(samples, name) or [f"{name}, YOLO 640 x 640"]
        for other in versus:
            at_most(
                f"`Segmenter(frame)`, {FULL}, against {other.split(', ')[1]} `predict`, {engine}",
                1.0,
                ours,
                other,
            )
        speedup = measured.published.ratio(PUBLISHED, ours)
        figure = f"`Segmenter(frame)`, {FULL}, against the published inference, {engine}"
        targets.append(Target(figure, "≥ 30 × faster", f"{speedup} ×", speedup.median >= 30))
        at_most(f"whole frame, {FULL}, against its bare forward, {engine}", 3.0, ours, f"{name}, {BARE}")
        at_most(
            f"frame without objects against bare forward, {engine}",
            1.15,
            f"{name}, {EMPTY}",
            f"{name}, {BARE}",
        )
    return targets


def _yolo_stages(samples: Samples) -> str:
    """Where predict spends its time."""
    return "; ".join(
        f"{name}: "
        + ", ".join(
            f"{stage} {samples.of(name, stage).median:.1f}" for stage in samples.ms[name] if stage != TOTAL
        )
        for name in samples.ms
        if ", YOLO" in name
    )


def _notes(measured: Measured) -> list[str]:
    gflops = ", ".join(f"{what} {rate:.0f} GFLOP/s" for what, rate in measured.machine.gflops.items())
    gbytes = ", ".join(f"triad {what} {rate:.0f} GB/s" for what, rate in measured.machine.gbytes.items())
    stages = {stage: measured.published.of(PUBLISHED, stage) for stage in measured.published.ms[PUBLISHED]}
    parts = ", ".join(f"{stage} {took.median:.0f}" for stage, took in stages.items() if stage != TOTAL)
    notes = [
        f"Measured rates: {gflops}; {gbytes}. The limit takes the fastest product and the triad in cache.",
        f"Published inference, ms: {parts}. Making its proposals does not count, ours does.",
        *disturbance_notes(measured.samples, measured.published),
    ]
    if measured.yolo is None:
        return [*notes, "YOLO11n-seg was left out: no --yolo-python was given."]
    versions = ", ".join(f"{name} {number}" for name, number in measured.yolo["versions"].items())
    how = (
        "its weights are random (speed only): batch norms take their statistics from the clip, conf is set "
        "for each frame so that 100 boxes enter NMS, and max_det 8 leaves eight masks"
        if measured.yolo["weights"] == "random"
        else f"weights {measured.yolo['weights']}, conf 0.25, max_det 8"
    )
    return [
        *notes,
        f"YOLO's own stages, ms: {_yolo_stages(measured.samples)}.",
        f"YOLO11n-seg: {versions}, NMS by {measured.yolo['nms']}; {how}. Its masks are those of the padded "
        "input, ours those of the frame. 640 x 640 is what predict does with a default export; the other "
        "size is an export made for the clip's aspect.",
    ]
