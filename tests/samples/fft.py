"""Samples of derivatives/fft.py."""

from __future__ import annotations

import numpy as np

from .core import complex_normal, normal, sample

of_complex, to_real, of_real = (np.fft.fft, np.fft.ifft), (np.fft.irfft, np.fft.hfft), (np.fft.rfft, np.fft.ihfft)
for key in (*of_complex, *to_real, *of_real):
    by = normal if key in of_real else complex_normal
    sample(key, (by, (2, 5)))
    sample(key, (by, (6,)))
    sample(key, (by, (4, 0, 3)), axis=0)
    for n in (3, 4, 7, 10, 1):
        sample(key, (by, (4, 2)), n=n, axis=-2, norm={3: "ortho", 4: "forward", 10: "backward"}.get(n))
    if key in to_real:
        sample(key, (by, (1,)), n=1)
    else:
        sample(key, (by, (1,)))
for key in of_complex:
    sample(key, (2, 3))

for key, by in ((np.fft.fftn, complex_normal), (np.fft.ifftn, complex_normal), (np.fft.rfftn, normal),
                (np.fft.irfftn, complex_normal)):
    sample(key, (by, (2, 3, 4)))
    sample(key, (by, (2, 3, 4)), axes=(2, 0), norm="ortho")
    sample(key, (by, (2, 3, 4)), s=(3, 5), axes=(0, -1), norm="forward")
    sample(key, (by, (3, 4)), s=(-1, 3), axes=(0, 1))
    sample(key, (by, (4, 3)), axes=(0, 0))
for key, by in ((np.fft.fft2, complex_normal), (np.fft.ifft2, complex_normal), (np.fft.rfft2, normal),
                (np.fft.irfft2, complex_normal)):
    sample(key, (by, (2, 3, 4)))
    sample(key, (by, (3, 4)), s=(2, 5), norm="ortho")
    sample(key, (by, (3, 2, 3)), axes=(0, 1))
sample(np.fft.fftn, (2, 3))
for key in (np.fft.fftshift, np.fft.ifftshift):
    sample(key, (5,))
    sample(key, (complex_normal, (2, 3, 4)), axes=(0, -1))
    sample(key, (3, 4), axes=0)
    sample(key, (0, 3))
