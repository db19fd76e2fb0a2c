"""The derivative table. Importing this package fills `minigrad.graph.table`."""

from . import basics, complex, composed, elementwise, fft, indexing, linalg, ordering, products, scans, special

__all__ = ["basics", "complex", "composed", "elementwise", "fft", "indexing", "linalg", "ordering", "products", "scans",
           "special"]
