"""PyTorch eager: forward, backward and AdamW step of the benchmark model.

    python training.py MODEL_DIRECTORY BATCH LENGTH

Scaled-dot-product attention; the faster of PyTorch's two AdamW implementations is found before the first round.
Loss: mean cross-entropy of every next token; gradient clipping 1.0, as on our side.
"""

from __future__ import annotations

import functools
import sys

import trainer  # redirects what libraries print: first

import torch
import torch.nn.functional as F

directory, batch, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


@functools.cache
def ids(vocabulary: int) -> torch.Tensor:
    return torch.tensor([[trainer.token(r, c, vocabulary) for c in range(length)] for r in range(batch)])


def backward(model: torch.nn.Module) -> float:
    tokens = ids(model.config.vocab_size)
    logits = model(input_ids=tokens, use_cache=False).logits
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    return loss.item()


trainer.serve(directory, backward, batch * length)
