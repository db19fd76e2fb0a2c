"""Fourier transforms: values of gradients against PyTorch's, arguments, dtypes, adjoints, errors."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.testing import check_adjoint, gradcheck

z0 = np.array([3 + 4j, 0, -2j, -1])
one_d = [np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft]
real_only = (np.fft.rfft, np.fft.ihfft, np.fft.rfft2, np.fft.rfftn)


def gradient(f, x):
    """With 1, 2, 3... as the gradient of the output, times 1 - i/2 if that is complex."""
    t = Tensor(np.array(x), requires_grad=True)
    y = f(t)
    g = np.arange(1, y.size + 1).reshape(y.shape) * (1 - 0.5j if y.dtype.kind == "c" else 1)
    return grad(y, t, gradient=g).data


@pytest.mark.parametrize(("f", "x", "expected"), [
    (np.fft.rfft, [1.0, 2, -3, 0.5, 1], [6, 1.0237169, -0.5297829, 1.1478174, -2.6417514]),
    (np.fft.fft, [1.0, 2, -3], [6, -1.9330127, -1.0669873]),
    (np.fft.irfft, z0, [3.5, -1 + 1.7320508j, -1 + 0.5773503j, -0.5]),
    (lambda x: np.fft.irfft(x, 5), z0, [3, -1 + 1.3763819j, -1 + 0.3249197j, 0]),
    (lambda x: np.fft.hfft(x, 5, norm="ortho"), z0, [6.7082039, -2.2360680 - 3.0776835j, -2.2360680 - 0.7265425j, 0]),
    (np.fft.ihfft, [1.0, 2, -3], [1, -0.2886751, 0.2886751]),
    (lambda x: np.fft.fft(x, 6, norm="forward"), z0,
     [3.5 - 1.75j, -0.9330127 - 0.6160254j, -0.6443376 - 0.0386751j, -0.5 + 0.25j]),
], ids=range(7))
def test_gradients_are_pytorchs(f, x, expected):
    np.testing.assert_allclose(gradient(f, x), expected, atol=1e-6)


@pytest.mark.parametrize("key", one_d)
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9])
@pytest.mark.parametrize("length", [4, 5])
def test_every_length_and_norm(key, norm, n, length):
    r = np.random.default_rng(0)
    x = r.standard_normal((2, length)) + (0 if key in real_only else 1j * r.standard_normal((2, length)))
    gradcheck(lambda t: key(t, n, norm=norm), x, order=1)
    gradcheck(lambda t: key(t.T, n=n, axis=0, norm=norm), x, order=1)


@pytest.mark.parametrize("key", [np.fft.fft, np.fft.ifft, np.fft.irfft, np.fft.hfft, np.fft.fft2, np.fft.irfftn])
def test_real_input_has_a_real_gradient(key):
    for dtype in (np.float64, np.float32):
        assert gradient(key, np.ones((3, 4), dtype)).dtype == dtype
    gradcheck(lambda x: np.square(key(x)), np.random.default_rng(0).standard_normal((3, 4)))


def test_float32_gives_complex64():
    x = Tensor(np.ones((4, 4), np.float32), requires_grad=True)
    for key in (np.fft.fft, np.fft.rfft, np.fft.ihfft, np.fft.fftn, np.fft.rfft2):
        assert key(x).dtype == np.complex64
    for key in (np.fft.irfft, np.fft.hfft, np.fft.irfftn, np.fft.irfft2):
        assert key(x.astype(np.complex64)).dtype == np.float32


def test_the_imaginary_parts_that_irfft_passes_over_have_gradient_0():
    g = gradient(np.fft.irfft, np.array([1 + 1j, 2 + 1j, 3 + 1j]))
    assert g[0].imag == g[2].imag == 0 != g[1].imag


def test_transforms_of_several_axes_are_numpys():
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    for end, more in (("2", {}), ("2", {"axes": (1, 0)}), ("n", {}), ("n", {"axes": (1, 2)}), ("n", {"axes": [0]}),
                      ("n", {"s": (2, 6), "axes": (2, 0)}), ("n", {"s": (-1, 7), "axes": (1, 2)}),
                      ("n", {"axes": (1, 1, 2)}), ("n", {"axes": (2, 2)}), ("2", {"axes": (0, 0)}),
                      ("2", {"s": [3, 3], "norm": "forward"})):
        for start in ("fft", "ifft", "rfft", "irfft"):
            key = getattr(np.fft, start + end)
            y = key(Tensor(x, requires_grad=True), **more)
            assert y.requires_grad
            np.testing.assert_allclose(y.data, key(x, **more), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.fft.fftn(Tensor(x, requires_grad=True), axes=()).data, x)


def test_parseval():
    """sum |x|^2 = sum |fft(x)|^2 / n, so both have the gradient 2 x."""
    x = np.random.default_rng(0).standard_normal((4, 6))
    for f in (lambda t: np.square(np.abs(np.fft.fft2(t, norm="ortho"))).sum(),
              lambda t: np.square(np.abs(np.fft.fftn(t))).sum() / 24):
        t = Tensor(x, requires_grad=True)
        np.testing.assert_allclose(grad(f(t), t).data, 2 * x, rtol=1e-12)


def test_a_convolution_through_the_spectrum_is_differentiable():
    r = np.random.default_rng(0)
    x, w = r.standard_normal(7), r.standard_normal(3)

    def convolve(x, w):
        return np.fft.irfft(np.fft.rfft(x, 9) * np.fft.rfft(w, 9), 9)
    np.testing.assert_allclose(convolve(Tensor(x), Tensor(w)).data, np.convolve(x, w), atol=1e-12)
    gradcheck(convolve, x, w)


@pytest.mark.parametrize("n", [4, 5])
def test_the_gradient_is_the_adjoint(n):
    """As users see it: the conjugate transpose, for a complex number counts as a pair of real ones."""
    r = np.random.default_rng(0)
    for key in one_d:
        x = r.standard_normal(5) + (0 if key in real_only else 1j * r.standard_normal(5))

        def adjoint(y, key=key, x=x):
            t = Tensor(x, requires_grad=True)
            return grad(key(t, n), t, gradient=y)
        y = key(x, n)
        v = r.standard_normal(y.shape) + (1j * r.standard_normal(y.shape) if y.dtype.kind == "c" else 0)
        check_adjoint(lambda x, key=key: key(x, n), adjoint, x, v)


def test_frequencies_need_no_rule():
    x = Tensor(np.ones(5), requires_grad=True)
    derivative = np.fft.ifft(np.fft.fft(x) * 2j * np.pi * np.fft.fftfreq(5))
    assert derivative.requires_grad


def test_errors():
    x, z = (Tensor(np.ones((3, 4), dtype), requires_grad=True) for dtype in (float, complex))
    for f, error, message in (
            (lambda: np.fft.fft(x, norm="unitary"), ValueError, "unitary"),
            (lambda: np.fft.hfft(z, norm="unitary"), ValueError, "unitary"),
            (lambda: np.fft.fft(x, 0), ValueError, "Invalid number of FFT data points"),
            (lambda: np.fft.fft(x, axis=2), IndexError, "axis|index|range"),
            (lambda: np.fft.fft(x, out=np.zeros((3, 4), complex)), TypeError, "out="),
            (lambda: np.fft.fft2(x, out=np.zeros((3, 4), complex)), TypeError, "does not support out="),
            (lambda: np.fft.fft2(x, s=(1, 2, 3)), ValueError, r"fft2 wants a length for each of its axes.*\(1, 2, 3\)"),
            (lambda: np.fft.rfftn(x, axes=()), ValueError, "rfftn wants a length"),
            (lambda: np.fft.rfft(z), TypeError, "rfft")):
        with pytest.raises(error, match=message):
            f()
