"""What the PyTorch training peers share: model, AdamW, the tokens, the choice of the optimizer, the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable

import side

import torch
import transformers
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()


def token(row: int, column: int, vocabulary: int) -> int:
    """The same deterministic tokens as ours/workload.ts."""
    return (row * 7919 + column * 104729 + row * column * 31) % vocabulary


def build(directory: str, optimizer: str, backward: Callable[[torch.nn.Module], float]) -> Callable[[], float]:
    """A whole step on fresh weights; `backward` adds the gradients and returns the loss. Gradient clipping 1.0."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="sdpa")
    model.train()
    adamw = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, **{optimizer: True}
    )

    def step() -> float:
        loss = backward(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return loss

    return step


def serve(directory: str, backward: Callable[[torch.nn.Module], float], tokens: int, settings: str = "") -> None:
    """Rounds of a step with the faster of PyTorch's two AdamW implementations."""

    def timed(step: Callable[[], float]) -> float:
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    steps = {name: build(directory, name, backward) for name in ("fused", "foreach")}
    best = side.best_of({name: (lambda s=s: timed(s)) for name, s in steps.items()})
    steps.clear()
    step = build(directory, best, backward)  # from the stored weights again, so that the first loss can be compared

    def work() -> dict:
        stopwatch = side.Stopwatch()
        loss = step()
        return {**stopwatch.read(), "tokens": tokens, "loss": loss}

    side.serve(
        {
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "settings": f"{settings}sdpa attention, {best} AdamW, {torch.get_num_threads()} threads",
        },
        work,
    )
