"""LoRA against PEFT: PEFT makes adapters on random models, the engine reads, differentiates, trains and writes them.

    npm run conformance -- peft [--seed N]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config, logging

HERE = Path(__file__).resolve().parent
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MODES = {"kept": {"recompute": "never"}, "computed again": {"recompute": "always"}}
TOLERANCE = 1e-4
# Rows above 256 tokens attend in blocks.
LENGTHS = [(3, 9), (8, 4), (5, 300)]


def logprobs(model: torch.nn.Module, sequence: dict) -> torch.Tensor:
    tokens = torch.tensor([sequence["prompt"] + sequence["response"]])
    distribution = torch.log_softmax(model(input_ids=tokens).logits[0, :-1], -1)
    return distribution.gather(1, tokens[0, 1:, None])[len(sequence["prompt"]) - 1 :, 0]


def worst(actual, expected) -> float:
    actual, expected = numpy.asarray(actual).ravel(), numpy.asarray(expected).ravel()
    return float(numpy.abs(actual - expected).max()) if actual.shape == expected.shape else float("inf")


def check(config_class: type, targets: list[str], seed: int, work: Path) -> list[tuple[str, float]]:
    torch.manual_seed(seed)
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    config = config_class(vocab_size=60, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(work / "base")
    base = AutoModelForCausalLM.from_pretrained(work / "base", dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=10, target_modules=targets, task_type="CAUSAL_LM"))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.peft_config["default"].base_model_name_or_path = str(work / "base")
    model.save_pretrained(work / "adapter")
    draw = lambda count: torch.randint(0, 60, (count,)).tolist()  # noqa: E731
    sequences = [{"prompt": draw(p), "response": draw(r)} for p, r in LENGTHS]
    output = work / "out"
    output.mkdir()
    job = {"adapter": str(work / "adapter"), "output": str(output), "sequences": sequences, "modes": MODES}
    (work / "job.json").write_text(json.dumps(job))
    subprocess.run(["node", str(HERE / "engine_side.mjs"), str(work / "job.json")], check=True, timeout=600)
    result = json.loads((output / "result.json").read_text())

    expected = [logprobs(model, s) for s in sequences]
    (-sum(e.sum() for e in expected)).backward()
    gradients = {
        name.removeprefix("base_model.model.").replace(".default", ""): p.grad.numpy()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    rows = []
    for mode, found in result["modes"].items():
        error = max(worst(a, e.detach()) for a, e in zip(found["logprobs"], expected, strict=True))
        rows.append((f"log-probabilities, {mode}", error))
        if set(found["gradients"]) != set(gradients):
            rows.append((f"names of adapters, {mode}", float("inf")))
            continue
        error = max(worst(found["gradients"][n], g) / max(numpy.abs(g).max(), 1e-12) for n, g in gradients.items())
        rows.append((f"gradients of {len(gradients)} adapter tensors, relative, {mode}", error))
    fresh = AutoModelForCausalLM.from_pretrained(work / "base", dtype=torch.float32, attn_implementation="eager")
    written = PeftModel.from_pretrained(fresh, output / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(output / "merged", dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, other in (("adapter that the engine wrote, in PEFT", written), ("merged model, in transformers", merged)):
            pairs = zip(result["trained"], sequences, strict=True)
            rows.append((name, max(worst(a, logprobs(other, s)) for a, s in pairs)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args().seed
    logging.disable_progress_bar()
    torch.set_num_threads(1)  # the models are tiny
    passed = failed = 0
    for config_class, targets in ((LlamaConfig, ["q_proj", "v_proj"]), (Qwen2Config, ALL), (Qwen3Config, ALL)):
        print(f"\n{config_class.__name__}, {', '.join(targets)}, seed {seed}")
        with tempfile.TemporaryDirectory() as work:
            for name, error in check(config_class, targets, seed, Path(work)):
                ok = error <= TOLERANCE
                passed, failed = passed + ok, failed + (not ok)
                print(f"  {name:60}  worst {error:8.1e}  allowed {TOLERANCE:.0e}  {'ok' if ok else 'FAILED'}")
    print(f"\nconformance/peft: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
