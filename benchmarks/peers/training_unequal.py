"""PyTorch eager on sequences of unequal lengths: micro-batches padded to their longest, loss on the responses.

    python training_unequal.py MODEL_DIRECTORY LENGTHS_FILE MICRO_BATCH

LENGTHS_FILE names a file of benchmarks/workloads: prompt and response tokens of each sequence. Scaled-dot-product
attention with a padding mask; the faster of PyTorch's two AdamW implementations.
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys

import trainer  # redirects what libraries print: first

import torch
import torch.nn.functional as F

directory, workload, micro_batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
lengths = json.loads((pathlib.Path(__file__).parent.parent / "workloads" / workload).read_text())["lengths"]
tokens = sum(prompt + response for prompt, response in lengths)
responses = sum(response for _, response in lengths)


def padded(rows: range, vocabulary: int):
    """Ids, attention mask and labels (-100 where there is no loss) of some sequences, padded on the right."""
    time = max(sum(lengths[row]) for row in rows)
    ids = torch.zeros(len(rows), time, dtype=torch.long)
    mask = torch.zeros(len(rows), time, dtype=torch.long)
    labels = torch.full((len(rows), time), -100)
    for i, row in enumerate(rows):
        prompt, response = lengths[row]
        end = prompt + response
        ids[i, :end] = torch.tensor([trainer.token(row, column, vocabulary) for column in range(end)])
        mask[i, :end] = 1
        labels[i, prompt:end] = ids[i, prompt:end]
    return ids, mask, labels


@functools.cache
def batches(vocabulary: int):
    starts = range(0, len(lengths), micro_batch)
    return [padded(range(start, min(start + micro_batch, len(lengths))), vocabulary) for start in starts]


def backward(model: torch.nn.Module) -> float:
    total = 0.0
    for ids, mask, labels in batches(model.config.vocab_size):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / responses
        loss.backward()
        total += loss.item()
    return total


trainer.serve(directory, backward, tokens, f"micro-batch {micro_batch}, ")
