"""A record of a run of any length in bounded memory."""

from __future__ import annotations

__all__ = ["Thinned"]


class Thinned:
    """Keeps each ``every``-th of what is added; beyond ``most``, every second one goes. The last is always there.

    count: how many were added; each is kept as (its number, what).
    """

    def __init__(self, every: int, most: int):
        self.stride, self.most, self.count = every, most, 0
        self.kept: list[tuple[int, object]] = []
        self.last: tuple[int, object] | None = None

    def add(self, what: object) -> None:
        """Take it in as number ``count``."""
        self.last = self.count, what
        if self.count % self.stride == 0:
            self.kept.append(self.last)
            if len(self.kept) > self.most:
                self.kept, self.stride = self.kept[::2], 2 * self.stride
        self.count += 1

    @property
    def all(self) -> list[tuple[int, object]]:
        """What is kept, and the last."""
        return self.kept + [self.last] * (self.last is not None and self.last not in self.kept[-1:])
