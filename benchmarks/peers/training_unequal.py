"""PyTorch eager on sequences of unequal lengths: micro-batches padded to their longest, loss on the responses.

    python training_unequal.py MODEL_DIRECTORY LENGTHS_FILE MICRO_BATCH

LENGTHS_FILE names a file of benchmarks/workloads: prompt and response tokens of each sequence. Scaled-dot-product
attention with a padding mask; the faster of PyTorch's two AdamW implementations.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import side

import torch
import torch.nn.functional as F
import transformers
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
directory, workload, micro_batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
lengths = json.loads((pathlib.Path(__file__).parent.parent / "workloads" / workload).read_text())["lengths"]
tokens = sum(prompt + response for prompt, response in lengths)
responses = sum(response for _, response in lengths)


def token(row: int, column: int, vocabulary: int) -> int:
    """The same deterministic tokens as ours/workload.ts."""
    return (row * 7919 + column * 104729 + row * column * 31) % vocabulary


def padded(rows: range, vocabulary: int):
    """Ids, attention mask and labels (-100 where there is no loss) of some sequences, padded on the right."""
    time = max(sum(lengths[row]) for row in rows)
    ids = torch.zeros(len(rows), time, dtype=torch.long)
    mask = torch.zeros(len(rows), time, dtype=torch.long)
    labels = torch.full((len(rows), time), -100)
    for i, row in enumerate(rows):
        prompt, response = lengths[row]
        end = prompt + response
        ids[i, :end] = torch.tensor([token(row, column, vocabulary) for column in range(end)])
        mask[i, :end] = 1
        labels[i, prompt:end] = ids[i, prompt:end]
    return ids, mask, labels


def build(optimizer: str):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="sdpa")
    model.train()
    adamw = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, **{optimizer: True}
    )
    starts = range(0, len(lengths), micro_batch)
    batches = [
        padded(range(start, min(start + micro_batch, len(lengths))), model.config.vocab_size) for start in starts
    ]

    def step() -> float:
        total = 0.0
        for ids, mask, labels in batches:
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / responses
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return total

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
    return {**stopwatch.read(), "tokens": tokens, "loss": loss}


side.serve(
    {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "settings": f"micro-batch {micro_batch}, sdpa attention, {best} AdamW, {torch.get_num_threads()} threads",
    },
    work,
)
