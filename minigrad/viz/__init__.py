"""Pictures and pages: of graphs and backward passes, of optimizers, of training (most need the extra ``plot``)."""

from . import boundary, filters, landscape, signals
from .explain import explain
from .graph import draw, save
from .player import player
from .training import MissingExtra, confusion_matrix, curves, wrongest

__all__ = ["MissingExtra", "boundary", "confusion_matrix", "curves", "draw", "explain", "filters", "landscape",
           "player", "save", "signals", "wrongest"]
