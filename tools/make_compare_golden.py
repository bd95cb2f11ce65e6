"""Prints the rows of tests/unit/test_compare.c: PSNR and SSIM of small made-up pictures, computed by numpy.

SSIM is computed here from its definition (Wang et al. 2004): every 11 x 11 window by itself, with weighted
deviations from its weighted mean. Inkstone sums rows and columns apart and takes E[x^2] - E[x]^2.
"""

import numpy as np

KINDS = 5


def picture(width, height, kind):
    """The same arithmetic as make_picture() of the test."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    base = (x * 7 + y * 5 + c * 40) % 256
    values = [
        base,
        np.minimum(255, base + (x * y + c) % 9),
        255 - base,
        np.full_like(base, 128),
        (x * x + 3 * y * y + x * y * c) % 251,
    ]
    return values[kind].astype(np.float64)


def psnr(a, b):
    error = ((a - b) ** 2).mean()
    return 10 * np.log10(255**2 / error) if error else float("inf")


def ssim(a, b):
    a, b = (p @ np.array([0.299, 0.587, 0.114]) for p in (a, b))
    at = np.arange(11) - 5
    weights = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    a, b = (np.lib.stride_tricks.sliding_window_view(p, (11, 11)) for p in (a, b))

    def mean(windows):
        return (windows * weights).sum((-1, -2))

    mean_a, mean_b = mean(a), mean(b)
    from_a, from_b = a - mean_a[..., None, None], b - mean_b[..., None, None]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * mean_a * mean_b + c1) * (2 * mean(from_a * from_b) + c2)
    index /= (mean_a**2 + mean_b**2 + c1) * (mean(from_a**2) + mean(from_b**2) + c2)
    return index.mean()


for width, height in ((11, 11), (24, 16), (37, 29)):
    first = picture(width, height, 0)
    for kind in range(1, KINDS):
        other = picture(width, height, kind)
        print(f"{{{width}, {height}, {kind}, {psnr(first, other):.12g}, {ssim(first, other):.12g}}},")
