"""The loop behind d_sym, compiled by Numba on first use and kept on disk.

Importing this module costs nothing: Numba is loaded when a distance is measured, not when kept ones are read.
The loop runs without Python's lock and is spread over threads here, rather than by Numba, whose own thread pools
must not be entered twice at once or forked, as a server does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE = 16
"""Rows of either side whose sums are held at once."""

BLOCK = 1024
"""Filters summed in the input's precision before they are added in float64; two tiles of them fit the L2 cache."""

SERIAL = 2e7
"""Shares below which threads cost more than they bring: some 4 ms of work."""


def fill_symmetric(a: NDArray, b: NDArray, out: NDArray[np.float64], triangle: bool) -> None:
    """Write d_sym of every row of ``a[r]`` to every row of ``b[r]`` into ``out[r]``.

    Args:
        a: ``[R, n, D]``, C-contiguous, float32 or float64.
        b: ``[R, m, D]`` likewise.
        out: ``[R, n, m]``; NaN where a row is missing or wholly zero.
        triangle: ``a`` and ``b`` are the same: measure half and mirror it.
    """
    kernel = compiled(a.dtype.char)
    strips = len(a) * -(-a.shape[1] // TILE)
    workers = min(os.cpu_count() or 1, strips)
    if workers < 2 or a.shape[0] * a.shape[1] * b.shape[1] * a.shape[2] < SERIAL:
        kernel(a, b, out, triangle, 0, strips)
        return
    # Strips of a triangle differ in length: small portions, taken one after the other, keep all threads busy.
    portion = max(1, strips // (16 * workers))
    with ThreadPoolExecutor(workers) as pool:
        for done in [
            pool.submit(kernel, a, b, out, triangle, begin, min(begin + portion, strips))
            for begin in range(0, strips, portion)
        ]:
            done.result()


@cache
def compiled(code: str) -> Callable[..., None]:
    """``_strips`` as machine code for one type of number (a NumPy type code)."""
    import numba

    numbers = numba.from_dtype(np.dtype(code))
    rows = numba.types.Array(numbers, 3, "C", readonly=True)
    return to_machine_code(
        _strips, numba.void(rows, rows, numba.float64[:, :, ::1], numba.boolean, numba.int64, numba.int64)
    )


def to_machine_code(loop: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
    """Compile a loop over arrays with Numba, to run without Python's lock; kept on disk between processes.

    Without a signature it is compiled for the types of its first call.
    """
    import numba

    # Reordered sums are what makes an inner loop a vector loop; NaN and infinity keep their meaning.
    jit = partial(numba.njit, signature, nogil=True, fastmath={"reassoc", "contract"}, error_model="numpy")
    try:
        return jit(cache=True)(loop)
    except RuntimeError:  # nowhere to keep it: neither beside its source nor in the user's cache
        return jit()(loop)


def _strips(a, b, out, triangle, begin, stop):  # type: ignore[no-untyped-def]
    """Fill ``stop - begin`` strips of ``TILE`` rows; strips are numbered through all rounds.

    With one division a share, r = F_a / s and q = F_b / s, s = F_a + F_b. Both come from the same 1 / s: exchanging
    a and b exchanges r and q to the last digit, and a = b gives r = q, hence distance 0.
    """
    n, m, D = a.shape[1], b.shape[1], a.shape[2]
    smallest = np.finfo(a.dtype).tiny
    zero, one = a.dtype.type(0), a.dtype.type(1)
    per_round = (n + TILE - 1) // TILE
    sums = np.empty((TILE, TILE, 3))
    for strip in range(begin, stop):
        rnd, top = strip // per_round, strip % per_round * TILE
        bottom = min(top + TILE, n)
        for left in range(top if triangle else 0, m, TILE):
            right = min(left + TILE, m)
            sums[:] = 0
            for first in range(0, D, BLOCK):
                last = min(first + BLOCK, D)
                for i in range(top, bottom):
                    x = a[rnd, i, first:last]
                    for j in range(left, right):
                        y = b[rnd, j, first:last]
                        rr, qq, rq = zero, zero, zero
                        for d in range(last - first):
                            s = x[d] + y[d]
                            share = one / s if not s < smallest else zero
                            r, q = x[d] * share, y[d] * share
                            rr += r * r
                            qq += q * q
                            rq += r * q
                        sums[i - top, j - left, 0] += rr
                        sums[i - top, j - left, 1] += qq
                        sums[i - top, j - left, 2] += rq
            for i in range(top, bottom):
                for j in range(left, right):
                    rr, qq, rq = sums[i - top, j - left]
                    if min(rr, qq) < 1e-25:
                        # One side vanishes beside the other: its squares are below what float32 can hold.
                        rr, qq, rq = 0.0, 0.0, 0.0
                        for d in range(D):
                            u, v = np.float64(a[rnd, i, d]), np.float64(b[rnd, j, d])
                            if not u + v < smallest:
                                rr += (u / (u + v)) ** 2
                                qq += (v / (u + v)) ** 2
                                rq += (u / (u + v)) * (v / (u + v))
                    # Rounding leaves the range by a digit at most; a comparison with NaN is false and keeps it.
                    distance = 1 - rq / np.sqrt(rr * qq)
                    distance = 0.0 if distance < 0 else distance
                    out[rnd, i, j] = distance
                    if triangle:
                        out[rnd, j, i] = distance
