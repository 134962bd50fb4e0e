"""The machine's single-precision matrix-multiply peak: OpenBLAS (through numpy) at 1024 x 1024 x 1024, all threads."""

from __future__ import annotations

import side

import numpy

SIZE = 1024
REPEATS = 8

a = numpy.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=numpy.float32)
b = numpy.random.default_rng(1).standard_normal((SIZE, SIZE), dtype=numpy.float32)
c = numpy.empty_like(a)


def work() -> dict:
    stopwatch = side.Stopwatch()
    for _ in range(REPEATS):
        numpy.matmul(a, b, out=c)
    return {**stopwatch.read(), "flops": 2 * SIZE**3 * REPEATS}


numpy.matmul(a, b, out=c)
blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
side.serve(
    {"versions": {"numpy": numpy.__version__, "blas": f"{blas['name']} {blas['version']}"}, "settings": f"{SIZE}^3"},
    work,
)
