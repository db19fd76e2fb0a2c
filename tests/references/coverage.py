"""Functions that HIPS autograd differentiates (hips.json) and that are something else here, or nothing, and why."""

from __future__ import annotations

INTERNAL = "autograd's own arithmetic of vector spaces: here gradients are arrays or Tensors, added with +"
CONTAINERS = "how autograd sees into lists and dicts: here `grad` takes a list of Tensors, and trees are in `tree.py`"
DENSITY = "a formula: NumPy's functions and those of scipy.special that are in the table, {} above all"

ELSEWHERE = {
    **dict.fromkeys(("autograd.add", "autograd.mut_add", "autograd.scalar_mul", "autograd.inner_prod",
                     "autograd.covector", "autograd.core.sparse_add"), INTERNAL),
    **dict.fromkeys(("autograd.builtins._make_dict", "autograd.builtins.container_take",
                     "autograd.builtins.container_untake", "autograd.builtins.make_sequence",
                     "autograd.builtins.sequence_extend_left", "autograd.builtins.sequence_extend_right"), CONTAINERS),
    "autograd.__getitem__": "`x[index]`",
    "autograd.misc.fixed_points.fixed_point": "an iteration: a loop of Tensors records itself, step by step",
    "numpy.numpy_jvps.untake": "the adjoint of indexing, `scatter_add`",
    "numpy.numpy_jvps.dot_adjoint_0": "the rules of products are products (`np.matmul`, `np.einsum`) themselves",
    "numpy.numpy_jvps.dot_adjoint_1": "as dot_adjoint_0",
    "numpy.numpy_jvps.tensordot_adjoint_0": "as dot_adjoint_0",
    "numpy.numpy_jvps.tensordot_adjoint_1": "as dot_adjoint_0",
    "numpy._array_from_scalar_or_array": "inside autograd's np.array: here `np.stack` makes one Tensor of several",
    "numpy.array_from_args": "inside autograd's np.array: here `np.stack` makes one Tensor of several",
    "numpy.concatenate_args": "inside autograd's `np.concatenate`",
    "numpy.make_diagonal": "the adjoint of autograd's diagonal: here `np.diagonal` is indexing, so it is `scatter_add`",
    "numpy.fft.truncate_pad": "the adjoint of an FFT's n=: here a step of the rules of `np.fft`",
    "numpy.full": "NumPy does not hand a Tensor over to us there: `np.broadcast_to(t, shape)`",
    "numpy.linspace": "NumPy does not hand a Tensor over to us there: `a + (b - a) * np.linspace(0, 1, n)`",
    "scipy.linalg.solve_banded": "`np.linalg.solve`, of the whole matrix",
    "scipy.signal.convolve": "`np.convolve`, and conv2d and conv3d of `minigrad.functional`",
    "scipy.special.jn": "SciPy's other name of `scipy.special.jv`",
    "scipy.integrate.odeint": "a solver, not an op: a Runge-Kutta loop of Tensors records itself, step by step",
    **{f"scipy.stats.{d}.{f}": DENSITY.format(made) for d, fs, made in (
        ("beta", "cdf logpdf pdf", "`betainc`, `betaln`"), ("chi2", "cdf logpdf pdf", "`gammainc`, `gammaln`"),
        ("dirichlet", "logpdf pdf", "`gammaln`"), ("gamma", "cdf logpdf pdf", "`gammainc`, `gammaln`"),
        ("multivariate_normal", "entropy logpdf pdf", "`np.linalg.solve`, `np.linalg.slogdet`"),
        ("norm", "cdf logcdf logpdf logsf pdf sf", "`ndtr`, `log_ndtr`"),
        ("poisson", "cdf logpmf pmf", "`gammaincc`, `gammaln`"), ("t", "cdf logcdf logpdf pdf", "`betainc`, `gammaln`"),
    ) for f in fs.split()},
}
