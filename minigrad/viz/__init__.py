"""Pictures: graphs (the package graphviz), and of training (the extra ``plot``)."""

from .graph import draw, save
from .training import MissingExtra, confusion_matrix, curves, wrongest

__all__ = ["MissingExtra", "confusion_matrix", "curves", "draw", "save", "wrongest"]
