"""``prm-export keygen NAME`` and ``prm-export sign BUNDLE --key NAME.key``: bundles of known origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prm_export.signing import sign_bundle, write_key_pair
from prm_runtime.console import stderr


def keygen(
    name: Annotated[Path, typer.Argument(help="Path and name of the two files, without an ending.")],
) -> None:
    """Make a pair of Ed25519 keys: NAME.key signs and stays secret, NAME.pub goes to the devices."""
    private, public = write_key_pair(name)
    stderr.print(
        f"wrote {private} (secret: signs bundles) and {public} (public: prm-run --require-signature)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def sign(
    bundle: Annotated[Path, typer.Argument(help="Bundle (.prm) to sign, after it was checked in full.")],
    key: Annotated[Path, typer.Option(help="Private key, NAME.key of prm-export keygen.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Bundle to write.", show_default="the bundle itself"),
    ] = None,
) -> None:
    """Sign a bundle, so that prm-run --require-signature NAME.pub takes it and no altered copy of it.

    What changes a bundle later (prm-eval tune) takes the signature away: sign last.
    """
    target = output or bundle
    signer = sign_bundle(bundle, key, target)
    stderr.print(f"signed {target} with key {signer}", highlight=False, markup=False, soft_wrap=True)
