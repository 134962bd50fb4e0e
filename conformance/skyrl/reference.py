"""The PyTorch reference: gradients of losses with respect to the LoRA weights of a checkpoint archive.

Reads a JSON file: model directory, archive of the adapter before (and after) a step, and cases with datums and losses.
Prints JSON: per case loss, gradient norm and logprobs; for the last case also how far the parameter change
is from the reference gradient, element by element.
"""

import json
import sys
import tarfile
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

GAMMA = 0.1


def unpack(archive):
    directory = tempfile.mkdtemp(prefix="skyrl-adapter-")
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    # SkyRL leaves target_modules empty, and PEFT would then adapt only its default modules.
    path = f"{directory}/adapter_config.json"
    config = json.load(open(path))
    keys = load_file(f"{directory}/adapter_model.safetensors")
    config["target_modules"] = sorted({key.split(".")[-3] for key in keys})
    json.dump(config, open(path, "w"))
    return directory


def token_logprobs(model, tokens):
    ids = torch.tensor([tokens])
    logits = model(input_ids=ids[:, :-1]).logits[0]
    return torch.log_softmax(logits.double(), -1).gather(-1, ids[0, 1:, None])[:, 0]


def datum_loss(case, datum, lp):
    """Losses as the Tinker API defines them, summed over tokens, plus Critique-GRPO's shaped refinement loss."""
    name, config = case["lossFn"], case.get("config", {})
    get = lambda key: torch.tensor(datum["inputs"][key], dtype=torch.float64)
    if name == "cross_entropy":
        return -(get("weights") * lp).sum()
    advantages = get("advantages")
    if name == "shaped":
        p = lp.exp()
        return -(advantages * p / (p + GAMMA)).sum()
    q = get("logprobs")
    ratio = (lp - q).exp()
    low, high = config.get("clip_low_threshold"), config.get("clip_high_threshold")
    if name == "importance_sampling":
        return -(ratio * advantages).sum()
    if name == "ppo":
        return -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages).sum()
    if name == "cispo":
        return -(ratio.clamp(low, high).detach() * lp * advantages).sum()
    if name == "dro":
        return -(lp * advantages - config["beta"] / 2 * (lp - q) ** 2).sum()
    raise ValueError(name)


job = json.load(open(sys.argv[1]))
before = unpack(job["before"])
base = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
model = PeftModel.from_pretrained(base, before, is_trainable=True).eval()
parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
# SkyRL fuses the projections that read the same input (q, k, v; gate, up): they share one lora_A, which PEFT's format
# repeats. Its gradient is the sum over the copies, and it counts once in the norm.
groups = {}
for name, parameter in parameters.items():
    block = name.rsplit(".", 4)[0]
    groups.setdefault((block, parameter.detach().numpy().tobytes()) if ".lora_A." in name else name, []).append(name)


def gradients():
    """One gradient for each weight that really exists, with the names of its copies."""
    return [(names, sum(parameters[name].grad.double() for name in names)) for names in groups.values()]


result = {"cases": [], "parameters": len(groups)}
for case in job["cases"]:
    model.zero_grad()
    logprobs = [token_logprobs(model, datum["tokens"]) for datum in case["datums"]]
    loss = sum(datum_loss(case, datum, lp) for datum, lp in zip(case["datums"], logprobs))
    loss.backward()
    norm = torch.sqrt(sum((gradient**2).sum() for _, gradient in gradients()))
    result["cases"].append(
        {"name": case["name"], "loss": loss.item(), "gradNorm": norm.item(), "logprobs": [lp.tolist() for lp in logprobs]}
    )

if "after" in job:
    # Adam with both betas 0 moves a weight by lr * g / (|g| + eps): the change tells every element of g.
    old, new = (load_file(f"{d}/adapter_model.safetensors") for d in (before, unpack(job["after"])))
    lr, eps = job["learningRate"], job["eps"]
    worst, total, error = 0.0, 0.0, 0.0
    for names, expected in gradients():
        for name in names:
            key = name.replace(".default.weight", ".weight")
            change = (old[key] - new[key]).double()
            gradient = eps * change / (lr - change.abs())
            worst = max(worst, (gradient - expected).abs().max().item())
        error += ((gradient - expected) ** 2).sum().item()
        total += (expected**2).sum().item()
    result["change"] = {"worst": worst, "relative": (error / total) ** 0.5, "norm": total**0.5}
print(json.dumps(result))
