"""Live conformance: fresh random models, transformers against the engine. Prints a table, exits 1 on any failure.

    bash conformance/run.sh [--seeds 2] [--seed 12345] [--keep DIRECTORY]

For every architecture and seed a model is drawn (sizes, heads, head_dim, tied or not, RoPE kind, storage type, sharding,
config style), written by transformers, and handed to the engine in its own process (engine_side.mjs).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy
import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import reference as ref  # noqa: E402
from make_fixtures import load, rewrite_as_legacy  # noqa: E402

CONFIGS = {"LlamaForCausalLM": LlamaConfig, "Qwen2ForCausalLM": Qwen2Config, "Qwen3ForCausalLM": Qwen3Config}
# Responses of other lengths to the prompts of 8 and 12: a group, whose prompt the engine computes once.
SHARING = [(1, 11), (1, 3), (3, 6)]
LOGPROB_TOLERANCE = 1e-4
GRADIENT_TOLERANCE = 1e-4
PARAMETER_TOLERANCE = 2e-5
ADAMW = ref.AdamW()


class Report:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, float, float]] = []

    def add(self, model: str, check: str, worst: float, tolerance: float) -> None:
        self.rows.append((model, check, worst, tolerance))

    @property
    def failed(self) -> int:
        return sum(not self.passed(row) for row in self.rows)

    @staticmethod
    def passed(row: tuple[str, str, float, float]) -> bool:
        return math.isfinite(row[2]) and row[2] <= row[3]

    def print(self) -> None:
        width = max(len(row[1]) for row in self.rows)
        model = None
        for row in self.rows:
            if row[0] != model:
                model = row[0]
                print(f"\n{model}")
            verdict = "ok" if self.passed(row) else "FAILED"
            print(f"  {row[1]:{width}}  worst {row[2]:8.1e}  allowed {row[3]:7.0e}  {verdict}")
        print(f"\nconformance/transformers: {len(self.rows) - self.failed} passed, {self.failed} failed")


def draw_model(architecture: str, seed: int, directory: Path) -> str:
    """Writes a random model; returns a description."""
    rng = random.Random(f"{architecture}{seed}")
    heads = rng.choice([2, 4, 6])
    key_value_heads = rng.choice([n for n in range(1, heads + 1) if heads % n == 0])
    head_dim = rng.choice([8, 12, 16])
    # transformers wants hidden to be a multiple of the heads even where head_dim is given.
    hidden = heads * (head_dim if architecture == "Qwen2ForCausalLM" else rng.choice([6, 10, 14]))
    rope: dict = {"rope_theta": rng.choice([500.0, 10000.0, 1000000.0])}
    kind = rng.choice(["default", "linear", "llama3"])
    rope["rope_type"] = kind
    if kind != "default":
        rope["factor"] = rng.choice([2.0, 8.0])
    if kind == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    tied, dtype = rng.random() < 0.5, rng.choice([torch.float32, torch.bfloat16, torch.float16])
    sharded, legacy = rng.random() < 0.5, rng.random() < 0.5
    sizes = dict(
        vocab_size=rng.randint(40, 90),
        hidden_size=hidden,
        intermediate_size=rng.choice([40, 64]),
        num_hidden_layers=rng.choice([1, 2, 3]),
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=64,
        rms_norm_eps=rng.choice([1e-5, 1e-6]),
        tie_word_embeddings=tied,
    )
    if architecture != "Qwen2ForCausalLM":
        sizes["head_dim"] = head_dim
    config = CONFIGS[architecture](**sizes, bos_token_id=1, eos_token_id=2, rope_parameters=rope)
    model = AutoModelForCausalLM.from_config(config)
    ref.randomise(model, torch.Generator().manual_seed(seed))
    model.to(dtype).save_pretrained(directory, max_shard_size="16KB" if sharded else "1GB")
    if legacy:
        rewrite_as_legacy(directory)
    return (
        f"{architecture} seed {seed}: hidden {hidden}, {sizes['num_hidden_layers']} layers, {key_value_heads}/{heads} heads of "
        f"{head_dim}, rope {kind} theta {rope['rope_theta']:g}, {'tied' if tied else 'untied'}, "
        f"{str(dtype).removeprefix('torch.')}{', sharded' if sharded else ''}, {'old' if legacy else 'new'} config style"
    )


def difference(actual, expected) -> float:
    """Largest absolute difference; infinite if shapes differ or something is not a number."""
    actual, expected = numpy.asarray(actual, numpy.float64), numpy.asarray(expected, numpy.float64)
    if actual.shape != expected.shape or actual.size == 0:
        return math.inf
    worst = float(numpy.abs(actual - expected).max())
    return worst if math.isfinite(worst) else math.inf


def read_tensors(directory: str, shapes: dict[str, list[int]]) -> dict[str, numpy.ndarray]:
    return {
        name: numpy.fromfile(Path(directory) / name, dtype="<f4").reshape(shape) for name, shape in shapes.items()
    }


def response_part(values: torch.Tensor, sequence: ref.Sequence) -> list[float]:
    return values[len(sequence.prompt) - 1 :].tolist()


def next_distribution(model: torch.nn.Module, prefix: list[int]) -> list[float]:
    with torch.no_grad():
        return torch.log_softmax(model(input_ids=torch.tensor([prefix])).logits[0, -1], -1).tolist()


def check_statistics(report: Report, name: str, tag: str, current: list, expected: list, sequences: list) -> None:
    for position, key in ((0, "logprobs"), (1, "entropies")):
        worst = max(
            difference(c[key], response_part(e[position], s))
            for c, e, s in zip(current, expected, sequences, strict=True)
        )
        report.add(name, f"{key}, {tag}", worst, LOGPROB_TOLERANCE)


def check_gradients(report: Report, name: str, tag: str, actual: dict, expected: dict) -> None:
    if set(actual) != set(expected):
        print(f"parameter names differ: {sorted(set(actual) ^ set(expected))}", file=sys.stderr)
        report.add(name, f"gradients, {tag}", math.inf, GRADIENT_TOLERANCE)
        return
    worst = max(
        difference(actual[key], expected[key].numpy()) / max(float(expected[key].abs().max()), 1e-12) for key in actual
    )
    report.add(name, f"gradient of all {len(actual)} parameters, relative, {tag}", worst, GRADIENT_TOLERANCE)


def check_model(report: Report, architecture: str, seed: int, work: Path) -> None:
    directory = work / "model"
    name = draw_model(architecture, seed, directory)
    model = load(directory)
    vocabulary = model.config.vocab_size
    generator = torch.Generator().manual_seed(seed + 1)
    sequences = ref.random_sequences(generator, vocabulary, [(3, 9), (8, 4), (1, 15), (12, 20), (5, 1)], SHARING)
    coefficients = ref.random_coefficients(generator, sequences)
    prompts = [s.tokens for s in ref.random_sequences(generator, vocabulary, [(1, 3), (9, 4), (2, 4)])]
    prefix = sequences[0].tokens
    job = {
        "directory": str(directory),
        "output": str(work),
        "seed": seed,
        "prefix": prefix,
        "sequences": [asdict(s) for s in sequences],
        "coefficients": [asdict(c) for c in coefficients],
        "evaluations": [{"temperature": 1}, {"temperature": 0.7}, {"temperature": 1, "microBatchTokens": 33}],
        "greedy": [{"prompt": prompt, "maxTokens": 24} for prompt in prompts],
        "samples": [
            {"prompt": prompt, "count": 3, "maxTokens": 30, "stopTokens": [2], "seed": seed + i}
            for i, prompt in enumerate(prompts)
        ],
        "sampleTemperatures": [1, 0.7],
        "adamW": {
            "learningRate": ADAMW.learning_rate,
            "beta1": ADAMW.beta1,
            "beta2": ADAMW.beta2,
            "epsilon": ADAMW.epsilon,
            "weightDecay": ADAMW.weight_decay,
            "maxGradNorm": ADAMW.max_grad_norm,
            "steps": 3,
        },
    }
    (work / "job.json").write_text(json.dumps(job))
    finished = subprocess.run(
        ["node", str(HERE / "engine_side.mjs"), str(work / "job.json")], capture_output=True, text=True, timeout=900
    )
    if finished.returncode != 0:
        print(f"{name}\nengine_side.mjs exited with {finished.returncode}:\n{finished.stderr}", file=sys.stderr)
        report.add(name, "the engine runs", math.inf, 0)
        return
    result = json.loads((work / "result.json").read_text())

    for evaluation, spec in zip(result["evaluations"], job["evaluations"], strict=True):
        temperature = spec["temperature"]
        tag = f"temperature {temperature:g}" + (", small micro-batches" if "microBatchTokens" in spec else "")
        expected = [ref.next_token_statistics(model, s, temperature) for s in sequences]
        expected = [tuple(x.detach() for x in e) for e in expected]
        check_statistics(report, name, tag, evaluation["current"], expected, sequences)
        check_statistics(report, name, f"{tag}, training pass", evaluation["passCurrent"], expected, sequences)
        loss = ref.linear_loss(model, sequences, coefficients, temperature)
        report.add(name, f"loss, {tag}", abs(evaluation["loss"] - loss.item()), 1e-3)
        actual = read_tensors(evaluation["gradientDirectory"], evaluation["shapes"])
        check_gradients(report, name, tag, actual, ref.gradients(model, loss))

    check_generation(report, name, model, job, result)
    check_export(report, name, model, sequences, prefix, result, work)
    check_optimizer(report, name, model, sequences, coefficients, prefix, result, work)


def check_generation(report: Report, name: str, model: torch.nn.Module, job: dict, result: dict) -> None:
    wrong = 0
    for sample in sorted(result["greedy"], key=lambda s: s["requestIndex"]):
        request = job["greedy"][sample["requestIndex"]]
        tokens, _, margin = ref.greedy(model, request["prompt"], request["maxTokens"])
        if sample["tokens"] != tokens:
            wrong += 1
            print(f"{name}: greedy differs (closest logits {margin:.1e} apart)", file=sys.stderr)
    missing = len(job["greedy"]) - len(result["greedy"])
    report.add(name, f"greedy decode of {len(job['greedy'])} prompts: differing", wrong + missing, 0)

    for group in result["samples"]:
        temperature = group["temperature"]
        pairs = list(zip(group["samples"], group["trainer"], strict=True))
        expected_count = sum(request["count"] for request in job["samples"])
        report.add(name, f"samples missing, temperature {temperature:g}", abs(len(pairs) - expected_count), 0)
        worst = max(difference(s["logprobs"], trainer) for s, trainer in pairs)
        report.add(name, f"sampler against trainer logprobs, temperature {temperature:g}", worst, LOGPROB_TOLERANCE)
        worst = 0.0
        for sample, _ in pairs:
            sequence = ref.Sequence(job["samples"][sample["requestIndex"]]["prompt"], sample["tokens"])
            with torch.no_grad():
                logprobs, _, _ = ref.next_token_statistics(model, sequence, temperature)
            worst = max(worst, difference(sample["logprobs"], response_part(logprobs, sequence)))
        report.add(name, f"sampler against transformers, temperature {temperature:g}", worst, LOGPROB_TOLERANCE)
        bad_end = sum((s["tokens"][-1] == 2) != (s["stopReason"] == "stop") or 2 in s["tokens"][:-1] for s, _ in pairs)
        report.add(name, f"samples with a wrong stop, temperature {temperature:g}", bad_end, 0)


def check_export(report, name, model, sequences, prefix, result, work: Path) -> None:
    exported = load(work / "exported")
    tokens = torch.tensor([sequences[3].tokens])
    with torch.no_grad():
        worst = difference(exported(input_ids=tokens).logits, model(input_ids=tokens).logits)
    report.add(name, "logits of the exported model in transformers", worst, 0)
    report.add(
        name,
        "whole distribution of the engine against the exported model",
        difference(result["distribution"], next_distribution(exported, prefix)),
        LOGPROB_TOLERANCE,
    )
    fresh = load(work / "fresh")
    with torch.no_grad():
        expected = [ref.next_token_statistics(fresh, s, 1.0) for s in sequences]
    check_statistics(report, name, "fresh model made by the engine", result["fresh"], expected, sequences)


def check_optimizer(report, name, model, sequences, coefficients, prefix, result, work: Path) -> None:
    optimizer = result["optimizer"]
    trained, losses, norms = ref.adamw_steps(model, sequences, coefficients, 1.0, ADAMW, 3)
    actual = read_tensors(optimizer["parameterDirectory"], optimizer["shapes"])
    worst = max(difference(actual[key], p.detach().numpy()) for key, p in trained.named_parameters())
    report.add(name, "parameters after three AdamW steps", worst, PARAMETER_TOLERANCE)
    report.add(name, "losses of the three steps", difference(optimizer["losses"], losses), 1e-3)
    relative = difference(numpy.asarray(optimizer["gradNorms"]) / norms, numpy.ones(len(norms)))
    report.add(name, "gradient norms of the three steps, relative", relative, GRADIENT_TOLERANCE)
    # Equal weights must give equal logits: the export is the live model, not the one that was loaded.
    exported = load(work / "trained")
    worst = max(difference(actual[key], p.detach().numpy()) for key, p in exported.named_parameters())
    report.add(name, "weights of the exported trained model", worst, 0)
    worst = difference(optimizer["distribution"], next_distribution(exported, prefix))
    report.add(name, "whole distribution of the trained model", worst, LOGPROB_TOLERANCE)
    half = load(work / "trained-bfloat16")
    worst = max(
        difference(p.detach().numpy(), torch.from_numpy(actual[key]).bfloat16().float().numpy())
        for key, p in half.named_parameters()
    )
    report.add(name, "weights exported as bfloat16 (rounded to nearest)", worst, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2, help="models of each architecture (default 2)")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000, help="first seed (default: the time)")
    parser.add_argument("--architecture", choices=sorted(CONFIGS), help="only this one")
    parser.add_argument("--keep", type=Path, help="keep models and results in this directory")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)  # the models are tiny
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, seeds from {options.seed}")
    report = Report()
    for architecture in [options.architecture] if options.architecture else CONFIGS:
        for seed in range(options.seed, options.seed + options.seeds):
            with tempfile.TemporaryDirectory() as temporary:
                work = options.keep / f"{architecture}-{seed}" if options.keep else Path(temporary)
                work.mkdir(parents=True, exist_ok=True)
                print(f"{architecture}, seed {seed} ...", file=sys.stderr)
                check_model(report, architecture, seed, work)
    report.print()
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
