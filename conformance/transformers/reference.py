"""What PyTorch and transformers say about one model: log-probabilities, entropies, gradients, greedy tokens, AdamW.

Everything is float32 (or float64 on request) on the CPU with eager attention. Used by make_fixtures.py (committed
fixtures) and live.py (live check against the engine).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sequence:
    """Context, then the tokens that carry loss: the engine's TokenSequence."""

    prompt: list[int]
    response: list[int]

    @property
    def tokens(self) -> list[int]:
        return self.prompt + self.response


@dataclass(frozen=True)
class Coefficients:
    """Of one sequence: L = sum_t logprob[t] * logprob_t + entropy[t] * entropy_t over its response tokens."""

    logprob: list[float]
    entropy: list[float]


def random_sequences(
    generator: torch.Generator,
    vocabulary: int,
    lengths: list[tuple[int, int]],
    sharing: list[tuple[int, int]] | None = None,
) -> list[Sequence]:
    """Lengths of prompt and response; then, for `sharing`, responses of a length to the prompt of an earlier sequence."""

    def draw(count: int) -> list[int]:
        return torch.randint(0, vocabulary, (count,), generator=generator).tolist()

    sequences = [Sequence(draw(prompt), draw(response)) for prompt, response in lengths]
    return sequences + [Sequence(sequences[index].prompt, draw(response)) for index, response in sharing or []]


def random_coefficients(generator: torch.Generator, sequences: list[Sequence]) -> list[Coefficients]:
    """Both signs and different sizes, so that a misplaced token, sequence or sign cannot cancel."""

    def draw(count: int, scale: float) -> list[float]:
        return [round(x, 4) for x in (torch.randn(count, generator=generator) * scale).tolist()]

    return [Coefficients(draw(len(s.response), 0.3), draw(len(s.response), 0.15)) for s in sequences]


def randomise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Weights of a size at which every part of the network matters: no ones in norms, no zeros in biases."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.25 * noise)
            elif name.endswith(".bias"):
                parameter.copy_(0.4 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                parameter.copy_(0.35 * noise)
            else:
                parameter.copy_(noise * 1.2 / parameter.shape[1] ** 0.5)


def next_token_statistics(
    model: torch.nn.Module, sequence: Sequence, temperature: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log-probability of each token but the first, entropy of its distribution, and the (undivided) last logits."""
    tokens = torch.tensor([sequence.tokens])
    logits = model(input_ids=tokens, use_cache=False).logits[0]
    distribution = torch.log_softmax(logits[:-1] / temperature, dim=-1)
    logprobs = distribution.gather(1, tokens[0, 1:, None])[:, 0]
    entropies = -(distribution.exp() * distribution).sum(-1)
    return logprobs, entropies, logits[-1]


def linear_loss(
    model: torch.nn.Module, sequences: list[Sequence], coefficients: list[Coefficients], temperature: float
) -> torch.Tensor:
    total = torch.zeros((), dtype=next(model.parameters()).dtype)
    for sequence, weights in zip(sequences, coefficients, strict=True):
        logprobs, entropies, _ = next_token_statistics(model, sequence, temperature)
        start = len(sequence.prompt) - 1
        total = total + (torch.tensor(weights.logprob, dtype=total.dtype) * logprobs[start:]).sum()
        total = total + (torch.tensor(weights.entropy, dtype=total.dtype) * entropies[start:]).sum()
    return total


def cross_entropy(model: torch.nn.Module, sequences: list[Sequence]) -> torch.Tensor:
    """SFT loss as transformers itself computes it: mean over all response tokens, prompt labels -100, padded right."""
    width = max(len(s.tokens) for s in sequences)
    ids = torch.zeros((len(sequences), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, sequence in enumerate(sequences):
        length = len(sequence.tokens)
        ids[row, :length] = torch.tensor(sequence.tokens)
        mask[row, :length] = 1
        labels[row, len(sequence.prompt) : length] = torch.tensor(sequence.response)
    return model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """By HF name; a tied head appears once, as model.embed_tokens.weight."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    found = {name: parameter.grad.detach().clone() for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def global_norm(tensors: dict[str, torch.Tensor]) -> float:
    return float(torch.sqrt(sum((t.double() ** 2).sum() for t in tensors.values())))


def greedy(model: torch.nn.Module, prompt: list[int], count: int) -> tuple[list[int], list[float], float]:
    """Tokens, their log-probabilities at temperature 1, and the smallest gap between the two best logits."""
    with torch.no_grad():
        ids = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, len(prompt)), dtype=torch.long),
            do_sample=False,
            max_new_tokens=count,
            min_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        logits = model(input_ids=torch.tensor([prompt + ids]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    best = logits.topk(2, dim=-1).values
    logprobs = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    return ids, logprobs.tolist(), float((best[:, 0] - best[:, 1]).min())


@dataclass(frozen=True)
class AdamW:
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-6
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0


def adamw_steps(
    model: torch.nn.Module,
    sequences: list[Sequence],
    coefficients: list[Coefficients],
    temperature: float,
    options: AdamW,
    steps: int,
) -> tuple[torch.nn.Module, list[float], list[float]]:
    """The trained copy, and of each step the loss before it and the gradient's norm before clipping.

    Decay applies to parameters with two or more dimensions only, as in the engine.
    """
    model = copy.deepcopy(model)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.epsilon,
    )
    losses, norms = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = linear_loss(model, sequences, coefficients, temperature)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), options.max_grad_norm)))
        losses.append(loss.item())
        optimizer.step()
    return model, losses, norms
