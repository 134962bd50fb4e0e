"""Writes packages/engine/fixtures/peft-*: adapters that PEFT makes on the fixtures' models, and what it computes with them.

    conformance/setup.sh && .venv/torch/bin/python -W ignore conformance/peft/make_fixtures.py
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import peft
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
from live import logprobs  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[2] / "packages" / "engine" / "fixtures"
LENGTHS = [(3, 9), (8, 4), (1, 15)]
# Name of the base model's fixture, and the adapter on it.
ADAPTERS = [
    ("qwen3-tied", dict(r=4, lora_alpha=10, target_modules="all-linear")),
    ("qwen2-tied-bf16", dict(r=2, lora_alpha=2, target_modules=["q_proj", "v_proj", "down_proj"])),
]


def write(base_name: str, options: dict, seed: int) -> None:
    torch.manual_seed(seed)
    directory = FIXTURES / f"peft-{base_name}"
    base = AutoModelForCausalLM.from_pretrained(
        FIXTURES / base_name, dtype=torch.float32, attn_implementation="eager"
    )
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    shutil.rmtree(directory, ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = f"../{base_name}"
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)

    vocabulary = model.config.vocab_size
    draw = lambda count: torch.randint(0, vocabulary, (count,)).tolist()  # noqa: E731
    sequences = [{"prompt": draw(p), "response": draw(r)} for p, r in LENGTHS]
    expected = [logprobs(model, sequence) for sequence in sequences]
    (-sum(each.sum() for each in expected)).backward()
    gradients = {
        name.removeprefix("base_model.model.").replace(".default", ""): parameter.grad.contiguous()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    save_file(gradients, directory / "gradients.safetensors")
    reference = {
        "versions": {"torch": torch.__version__, "peft": peft.__version__},
        "sequences": sequences,
        "logprobs": [[float(f"{value:.9g}") for value in each.tolist()] for each in expected],
    }
    (directory / "expected.json").write_text(json.dumps(reference) + "\n")
    print(directory.name, len(gradients), "tensors of adapters")


for index, (base_name, options) in enumerate(ADAPTERS):
    write(base_name, options, seed=301 + index)
