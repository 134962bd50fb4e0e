"""The supervised presets against PyTorch: one training step of each, on a random model. Exits 1 on any difference.

    npm run conformance -- baselines [--seed N]

`train.mjs` runs `train()` for one step. From the rollout records of that step this program takes the targets that each
baseline is defined by (not those that the run says it trained), and asks transformers for their cross-entropy, PyTorch
for its gradient and one AdamW step, and compares loss, gradient norm and every weight.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "transformers"))
import reference as ref  # noqa: E402

ADAMW = ref.AdamW()
LOSS_TOLERANCE = 1e-5
WEIGHT_TOLERANCE = 2e-5


def targets(preset: str, record: dict) -> list[ref.Sequence]:
    """What the baseline is defined by; `train.mjs` says what is right and what the critiques are."""
    question, bare = record["question"], record["promptTokens"]
    end = [256]

    def right(responses: list[dict]) -> list[ref.Sequence]:
        return [ref.Sequence(bare, r["tokens"]) for r in responses if r["tokens"][0] % 2 == 0]

    if preset == "sft":
        number = int(question["gold"]) // 2
        return [ref.Sequence(bare, list(f"{number} and {number} are {question['gold']}.".encode()) + end)]
    if preset == "raft":
        return right(record["initial"])
    if preset == "refinement-ft":
        return right(record["refinements"])
    if preset == "critique-in-the-loop-ft":
        return right(record["initial"]) + right(record["refinements"])
    assert preset == "critique-ft"
    template = "Please critique whether the following solution to the question is correct.\n\nQuestion:\n{}\n\nSolution:\n{}"
    found = []
    for response in record["initial"]:
        words = "Right." if response["tokens"][0] % 2 == 0 else f"Wrong: it is {question['gold']}."
        context = template.format(question["text"], response["text"])
        found.append(ref.Sequence(list(context.encode()), list(words.encode()) + end))
    return found


def step(model: torch.nn.Module, sequences: list[ref.Sequence]) -> tuple[torch.nn.Module, float, float]:
    model = copy.deepcopy(model)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": ADAMW.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=ADAMW.learning_rate, betas=(ADAMW.beta1, ADAMW.beta2), eps=ADAMW.epsilon
    )
    loss = ref.cross_entropy(model, sequences)
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), ADAMW.max_grad_norm))
    optimizer.step()
    return model, loss.item(), norm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(options.seed)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=256,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).float()
    ref.randomise(model, generator)
    failed = False
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, seed {options.seed}")
    print(f"{'preset':<24} targets  tokens  loss       |difference|  weights: largest difference")
    with tempfile.TemporaryDirectory() as work:
        start = Path(work) / "start"
        model.save_pretrained(start)
        command = ["node", str(HERE / "train.mjs"), str(start), work]
        runs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for preset, run in runs.items():
            lines = (Path(run["runDirectory"]) / "rollouts" / "step-000001.jsonl").read_text().splitlines()
            sequences = [target for line in lines for target in targets(preset, json.loads(line))]
            expected, loss, norm = step(model, sequences)
            trained = dict(LlamaForCausalLM.from_pretrained(Path(run["runDirectory"]) / "model").named_parameters())
            with torch.no_grad():
                worst = max(float((trained[name] - p).abs().max()) for name, p in expected.named_parameters())
                moved = max(float((p - q).abs().max()) for p, q in zip(expected.parameters(), model.parameters()))
            difference = abs(run["loss"] - loss)
            good = (
                difference <= LOSS_TOLERANCE
                and abs(run["gradNorm"] / norm - 1) <= 1e-4
                and worst <= WEIGHT_TOLERANCE
                and moved > 10 * WEIGHT_TOLERANCE
            )
            failed |= not good
            tokens = sum(len(s.response) for s in sequences)
            verdict = "" if good else "  FAILED"
            print(f"{preset:<24} {len(sequences):>7} {tokens:>7}  {loss:.6f}  {difference:.1e}       {worst:.1e}{verdict}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
