"""mpi4py, imported on first use."""

from __future__ import annotations


def mpi():
    """mpi4py's MPI. Raises ImportError that names the extra."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py without an MPI library
        raise ImportError(f"minigrad.distributed needs mpi4py and an MPI ({error}): "
                          'pip install "minigrad[mpi]"') from error
    return MPI
