"""The derivative table. Importing this package fills `minigrad.graph.table`."""

from . import basics, composed, products, special

__all__ = ["basics", "composed", "products", "special"]
