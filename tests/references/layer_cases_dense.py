"""Dense layers."""

from __future__ import annotations

from references.layers import Case

from minigrad import nn

CASES = [
    Case("Linear", lambda: nn.Linear(3, 2), lambda t: t.nn.Linear(3, 2), ((4, 3),)),
    Case("Linear, no bias, 3-D", lambda: nn.Linear(3, 2, bias=False), lambda t: t.nn.Linear(3, 2, bias=False),
         ((2, 4, 3),)),
    Case("Linear in a Sequential", lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
         lambda t: t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2)), ((5, 3),)),
]
