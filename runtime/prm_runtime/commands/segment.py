"""``prm-run SOURCE``: find instances in pictures, video or a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from prm_proposals.sources import DEFAULT
from prm_runtime.backends import BACKENDS
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.classes import split_class_list
from prm_runtime.console import PrmError, stderr
from prm_runtime.interrupts import Interrupts
from prm_runtime.pipeline import Summary, run_pipeline
from prm_runtime.report import findings, progress_bar, stage_table, summary_line
from prm_runtime.segmenter import Segmenter
from prm_runtime.sinks import LabelFormat, Outputs, Result, Window, open_sinks
from prm_runtime.sources import Source, open_source

EXIT_SOME_UNREADABLE = 3
MAX_PROBLEMS = 20  # a damaged stream can have thousands


def segment(
    source: Annotated[
        str, typer.Argument(help="Picture, folder, quoted glob, video file, camera number or stream URI.")
    ],
    model: Annotated[
        Path | None, typer.Option(help="Bundle (.prm) to run; default: the one that is shipped.")
    ] = None,
    backend: Annotated[str, typer.Option(help=f"Inference engine: {', '.join(BACKENDS)}.")] = "onnxruntime",
    save_json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write JSON lines, one per frame; - is standard output."),
    ] = None,
    save_video: Annotated[str | None, typer.Option(metavar="FILE", help="Write an H.264 video.")] = None,
    save_images: Annotated[str | None, typer.Option(metavar="DIR", help="Write a picture per frame.")] = None,
    save_prm: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write each instance's Peak Response Map.")
    ] = None,
    save_labels: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write a data set of pseudo-labels, see --format.")
    ] = None,
    label_format: Annotated[
        LabelFormat, typer.Option("--format", help="Format of --save-labels.")
    ] = LabelFormat.COCO,
    save_coco: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write COCO results, a JSON list with RLE masks.")
    ] = None,
    coco_ids: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="COCO annotations whose ids of pictures and categories --save-coco takes."
        ),
    ] = None,
    save_mcap: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write an MCAP recording for Foxglove.")
    ] = None,
    callback: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Call a function with each result.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the result in a window; q quits.")] = False,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Smallest probability of an instance that is reported.")
    ] = 0.2,
    classes: Annotated[
        list[str] | None, typer.Option(metavar="NAME[,NAME...]", help="Report only these classes.")
    ] = None,
    retrieval: Annotated[
        Literal["eq6", "walk"] | None,
        typer.Option(help="How masks are retrieved; default: the bundle's way."),
    ] = None,
    proposals: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.onnx|DIR",
            help="Where segment proposals come from: default (as the bundle says), "
            "no-network (boundaries and colours), live (features of an EfficientNet-Lite0), offline (the "
            "same, finer and slower), selective-search (needs opencv-contrib-python), an ONNX model of "
            "class-agnostic masks such as FastSAM, or a folder of galleries: dog.npz or dog.json (COCO RLE) "
            "for dog.jpg, clip_000012.npz for frame 12 of clip.mp4.",
        ),
    ] = DEFAULT,
    fused: Annotated[
        bool,
        typer.Option(
            "--fused",
            help="Run the bundle's fused graph (prm-export --fused): one call a frame, which back-propagates "
            "every row of the peak table.",
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of the engine; default: all cores.")
    ] = None,
    require_signature: Annotated[
        Path | None,
        typer.Option(metavar="KEY.pub", help="Run the bundle only if it is signed with this public key."),
    ] = None,
) -> None:
    """Find instances and draw, save or show them.

    Exit codes: 0 all done, 1 error, 2 wrong usage, 3 done but parts of the source could not be read,
    130 or 143 interrupted (files are finished). --debug shows tracebacks.
    """
    outputs = Outputs(
        save_json, save_video, save_images, save_prm, save_labels, label_format, save_coco, coco_ids,
        save_mcap, callback,
    )  # fmt: skip
    _refuse_overwriting(source, outputs.files)
    bundle = Bundle.open(model or shipped_bundle(), require_signature=require_signature)
    names = bundle.manifest.classes
    wanted = None if not classes else [name for text in classes for name in split_class_list(text, names)]
    frames = open_source(source)
    segmenter = Segmenter.open(
        bundle.path,
        backend,
        threads=threads,
        retrieval=retrieval,
        proposals=proposals,
        min_score=min_score,
        classes=wanted,
        fused=fused,
        require_signature=require_signature,
    )
    sinks = open_sinks(outputs, frames.fps, names)
    window = Window(hold=frames.fps is None) if show else None
    if window:
        sinks.append(window)

    with Interrupts() as interrupts, progress_bar(stderr) as progress:
        task = progress.add_task(escape(frames.name), total=frames.length)

        def on_result(result: Result) -> None:
            if not sinks and frames.fps is None:
                typer.echo(findings(result))
            progress.advance(task)

        def should_stop() -> bool:
            return interrupts.received is not None or (window is not None and window.is_closed)

        summary = run_pipeline(segmenter, frames, sinks, should_stop=should_stop, on_result=on_result)
    _report(segmenter, frames, summary)
    if interrupts.received:
        raise typer.Exit(interrupts.exit_code)
    if frames.problems:
        raise typer.Exit(EXIT_SOME_UNREADABLE)


def _refuse_overwriting(source: str, outputs: Sequence[str | None]) -> None:
    for output in outputs:
        if output and Path(output).exists() and Path(source).exists() and Path(output).samefile(source):
            raise PrmError(f"{output} is the source itself; choose another file to write to")


def _report(segmenter: Segmenter, source: Source, summary: Summary) -> None:
    for problem in source.problems[:MAX_PROBLEMS]:
        stderr.print("[yellow]skipped:[/]", escape(problem), highlight=False, soft_wrap=True)
    if len(source.problems) > MAX_PROBLEMS:
        stderr.print(f"[yellow]skipped:[/] {len(source.problems) - MAX_PROBLEMS} more")
    stderr.print(escape(summary_line(summary)), highlight=False, soft_wrap=True)
    stderr.print(stage_table(segmenter.times, summary.frames))
    stderr.print(escape(segmenter.backend.description), highlight=False)
