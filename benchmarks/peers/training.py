"""PyTorch eager: forward, backward and AdamW step of the benchmark model.

    python training.py MODEL_DIRECTORY BATCH LENGTH

Scaled-dot-product attention; the faster of PyTorch's two AdamW implementations is found before the first round.
Loss: mean cross-entropy of every next token; gradient clipping 1.0, as on our side.
"""

from __future__ import annotations

import sys
import time

import side

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
directory, batch, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def token(row: int, column: int, vocabulary: int) -> int:
    """The same deterministic tokens as ours/workload.ts."""
    return (row * 7919 + column * 104729 + row * column * 31) % vocabulary


def build(optimizer: str):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="sdpa")
    model.train()
    adamw = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, **{optimizer: True}
    )
    ids = torch.tensor([[token(r, c, model.config.vocab_size) for c in range(length)] for r in range(batch)])

    def step() -> float:
        logits = model(input_ids=ids, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return loss.item()

    return step


def timed(step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


steps = {name: build(name) for name in ("fused", "foreach")}
best = side.best_of({name: (lambda s=s: timed(s)) for name, s in steps.items()})
steps.clear()
step = build(best)  # from the stored weights again, so that the first loss can be compared


def work() -> dict:
    stopwatch = side.Stopwatch()
    loss = step()
    return {**stopwatch.read(), "tokens": batch * length, "loss": loss}


side.serve(
    {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "settings": f"sdpa attention, {best} AdamW, {torch.get_num_threads()} threads",
    },
    work,
)
