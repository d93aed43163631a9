"""``prm-run SOURCE``: find instances in pictures, video or a camera."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from prm_proposals.sources import DEFAULT
from prm_runtime.auto import choose_backend
from prm_runtime.backends import AUTO, BACKENDS
from prm_runtime.bundle import Bundle, shipped_bundle
from prm_runtime.classes import split_class_list
from prm_runtime.console import PrmError, stderr
from prm_runtime.distributed.option import refuse_beside_ray, run_with_ray
from prm_runtime.inference import streams_for
from prm_runtime.instances import SHOWN
from prm_runtime.interrupts import Interrupts
from prm_runtime.pipeline import run_pipeline
from prm_runtime.report import findings, print_summary, progress_bar, tell_state, title, total_frames
from prm_runtime.reuse import Reuse, ReuseSettings
from prm_runtime.segmenter import Segmenter
from prm_runtime.serve.about import About
from prm_runtime.serve.option import hold, start_page
from prm_runtime.sinks import LabelFormat, Outputs, Result, Window, open_sinks
from prm_runtime.sources import Patience, SourceOptions, open_sources
from prm_runtime.sources.pipe import RawFormat
from prm_runtime.tracking import TrackSettings, open_tracks

EXIT_INCOMPLETE = 3
SETTINGS = ("retrieval", "proposals", "min_score", "classes", "fused")  # what results depend on


def segment(
    context: typer.Context,
    source: Annotated[
        list[str],
        typer.Argument(
            help="Picture, folder, quoted glob, video file, MCAP recording, camera number or path, stream "
            "URI, or - for raw frames on standard input; several at once take turns."
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Bundle (.prm) to run, or voc20-lite0 (default) or voc20-lite2, which are shipped: "
            "the latter has better masks and takes longer."
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            envvar="PRM_BACKEND",
            help=f"Inference engine: {AUTO} (the fastest that is installed, measured once), "
            f"{', '.join(BACKENDS)}.",
        ),
    ] = AUTO,
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
    serve: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve a live page, /metrics and /healthz there; a PORT alone is for this computer only, "
            "other hosts ask for a token.",
        ),
    ] = None,
    ray: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Map the bundle over pictures with Ray Data, on all devices that Ray finds; results are "
            "Parquet files in DIR, and a run goes on where the one before it in DIR stopped.",
        ),
    ] = None,
    serve_hold: Annotated[
        bool,
        typer.Option("--serve-hold/--no-serve-hold", help="Keep the page up after the source, until Ctrl-C."),
    ] = True,
    track: Annotated[
        bool, typer.Option("--track", help="Name instances by track from frame to frame; smooths scores.")
    ] = False,
    carry_proposals: Annotated[
        bool,
        typer.Option(
            "--carry-proposals", help="Carry superpixels and proposals over where the picture is still."
        ),
    ] = False,
    refresh: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Run the network on every N-th frame; masks follow between."),
    ] = 1,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Smallest probability of an instance that is reported.")
    ] = SHOWN,
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
    stdin_size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of the raw frames on standard input.")
    ] = None,
    stdin_format: Annotated[
        Literal["rgb24", "bgr24"], typer.Option(help="Pixels of the raw frames on standard input.")
    ] = "rgb24",
    stall_after: Annotated[
        float,
        typer.Option(
            min=0.1,
            metavar="SECONDS",
            help="A live source without a frame for so long is stalled; after twice as long it is opened "
            "again.",
        ),
    ] = 5.0,
    retry_for: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Give a lost live source up after so long; default: never."
        ),
    ] = None,
    decoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What decodes video: software, auto (the first hardware decoder that opens it), or one of "
            "FFmpeg's, such as cuda, vaapi, qsv or videotoolbox.",
        ),
    ] = "software",
) -> None:
    """Find instances and draw, save or show them.

    Exit codes: 0 all done, 1 error, 2 wrong usage, 3 done but parts of the sources could not be read or a
    result not be written, 130 or 143 interrupted (files are finished). --debug shows tracebacks.
    """
    outputs = Outputs(
        save_json, save_video, save_images, save_prm, save_labels, label_format, save_coco, coco_ids,
        save_mcap, callback,
    )  # fmt: skip
    _refuse_overwriting(source, outputs.files)
    bundle = Bundle.open(model or shipped_bundle(), require_signature=require_signature)
    names = bundle.manifest.classes
    wanted = None if not classes else [name for text in classes for name in split_class_list(text, names)]
    sources = open_sources(
        source,
        SourceOptions(
            Patience(stall_after, retry_for),
            decoder,
            None if stdin_size is None else RawFormat.parse(stdin_size, stdin_format),
        ),
    )
    are_still = all(one.is_still for one in sources)
    reuse = ReuseSettings(carry_proposals, refresh)
    tracking = TrackSettings(min_score=min_score)
    transforms = [open_tracks(tracking)] if track else []
    engine = _engine(backend, bundle, threads, are_still)
    open_segmenter = partial(
        Segmenter.open,
        bundle.path.resolve(),
        engine,
        threads=threads,
        retrieval=retrieval,
        proposals=proposals,
        min_score=tracking.detection_score if track else min_score,
        classes=wanted,
        fused=fused,
        streams=1 if reuse.is_on or ray else streams_for(sources, threads),
        require_signature=require_signature,
    )
    if ray:
        refuse_beside_ray(
            sources, {"--save-prm": save_prm, "--show": show, "--serve": serve, "--track": track}
        )
        sinks = open_sinks(outputs, sources, names)
        settings = {name: open_segmenter.keywords[name] for name in SETTINGS}
        settings["model"] = sha256(bundle.manifest_text).hexdigest()
        if run_with_ray(sources, open_segmenter, engine, settings, ray, names, sinks):
            raise typer.Exit(EXIT_INCOMPLETE)
        return
    segmenter = open_segmenter()
    page = None
    if serve:  # before any file is overwritten: the port may be taken
        about = About(bundle.manifest.name, min_score, segmenter.settings.map_shift)
        page = start_page(serve, sources, about, context)
    sinks = open_sinks(outputs, sources, names)
    window = Window(hold=are_still) if show else None
    if window:
        sinks.append(window)
    if page:
        sinks.append(page)

    with Interrupts() as interrupts, progress_bar(stderr) as progress:
        task = progress.add_task(escape(title(sources)), total=total_frames(sources))
        for one in sources:
            one.keeper.listen(partial(tell_state, progress.console))

        def on_result(result: Result) -> None:
            if not sinks and are_still:
                typer.echo(findings(result))
            progress.advance(task)

        def should_stop() -> bool:
            return interrupts.received is not None or (window is not None and window.is_closed)

        summary = run_pipeline(
            segmenter,
            sources,
            sinks,
            should_stop=should_stop,
            on_result=on_result,
            transforms=transforms,
            analyse=Reuse(segmenter, reuse) if reuse.is_on else None,
        )
    print_summary(stderr, segmenter, sources, summary)
    if interrupts.received:
        raise typer.Exit(interrupts.exit_code)
    if page and serve_hold:
        hold(page)
    if summary.problems or any(one.problems for one in sources):
        raise typer.Exit(EXIT_INCOMPLETE)


def _engine(backend: str, bundle: Bundle, threads: int | None, are_still: bool) -> str:
    """The engine that was asked for, or the one that is fastest."""
    if backend != AUTO:
        return backend
    with stderr.status("choosing the engine"):
        return choose_backend(bundle, threads, many_sizes=are_still).backend


def _refuse_overwriting(sources: Sequence[str], outputs: Sequence[str | None]) -> None:
    for source in sources:
        for output in outputs:
            if output and Path(output).exists() and Path(source).exists() and Path(output).samefile(source):
                raise PrmError(f"{output} is the source itself; choose another file to write to")
