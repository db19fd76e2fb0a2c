"""What registering a hook returns."""

from __future__ import annotations

from collections.abc import Callable


class Handle:
    """Takes a hook away again: ``handle()``, or ``handle.remove()`` as in PyTorch. A second time does nothing."""

    __slots__ = ("remove",)

    def __init__(self, remove: Callable[[], None]):
        self.remove = remove

    def __call__(self):
        self.remove()
