"""``--backend auto``: which of the installed engines runs a bundle fastest on this machine."""

from prm_runtime.auto.choose import Choice, choose_backend

__all__ = ["Choice", "choose_backend"]
