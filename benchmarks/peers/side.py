"""One side of a benchmark: a process that does a round of work for every line it reads, and answers with one line.

Out, once:      {"ready": true, "versions": {...}, "settings": "..."}
In, each round: {"round": 0}
Out:            {"seconds": 1.2, "cpuSeconds": 2.3, "tokens": 4096, "peakBytes": 123, ...}
The end of the input ends the process. Anything else a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

_lines = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # libraries that print would break the protocol


def send(message: dict) -> None:
    _lines.write(json.dumps(message) + "\n")


def wait_for_round() -> bool:
    """False when there are no more rounds."""
    return bool(sys.stdin.readline().strip())


def peak_bytes() -> int:
    """Highest resident memory of this process so far (Linux)."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


class Stopwatch:
    """Wall and processor time (all threads of this process) since its making."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def read(self) -> dict:
        return {"seconds": time.perf_counter() - self.wall, "cpuSeconds": time.process_time() - self.processor}


def serve(ready: dict, work: Callable[[], dict]) -> None:
    """`work` does one round and returns its measurements (seconds, tokens, ...)."""
    send({"ready": True, **ready})
    while wait_for_round():
        send({**work(), "peakBytes": peak_bytes()})


def best_of(candidates: dict[str, Callable[[], float]]) -> str:
    """The name of the setting with the shortest time: each runs once to warm up, then BENCH_TRIES times (3) in turn."""
    tries = int(os.environ.get("BENCH_TRIES", "3"))
    for run in candidates.values():
        run()
    times = dict.fromkeys(candidates, float("inf"))
    for _ in range(tries):
        for name, run in candidates.items():
            times[name] = min(times[name], run())
    print("settings tried:", {name: round(t, 3) for name, t in times.items()}, file=sys.stderr)
    return min(times, key=times.__getitem__)
