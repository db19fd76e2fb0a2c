"""The derivative table, continued: Fourier transforms."""
