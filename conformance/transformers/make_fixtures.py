"""Writes packages/engine/fixtures/: small random models and what PyTorch says about them (see the README there).

    conformance/setup.sh && .venv/torch/bin/python conformance/transformers/make_fixtures.py
"""

from __future__ import annotations

import copy
import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

sys.path.insert(0, str(Path(__file__).parent))
import reference as ref  # noqa: E402

FIXTURES = Path(__file__).resolve().parents[2] / "packages" / "engine" / "fixtures"
LENGTHS = [(3, 9), (8, 4), (1, 15)]
# Two more responses to the prompt of 8 and one to that of 3.
SHARING = [(1, 7), (1, 2), (0, 5)]
TEMPERATURES = [1.0, 0.7]
GREEDY_TOKENS = 20
MINIMUM_MARGIN = 2e-3


@dataclass(frozen=True)
class Fixture:
    name: str
    config_class: type
    config: dict
    seed: int
    dtype: torch.dtype = torch.float32
    legacy_config: bool = False  # rope_theta, rope_scaling, torch_dtype as transformers 4 wrote them
    sharded: bool = False
    optimizer: bool = False  # also writes gradients at the second temperature and the parameters after AdamW
    rope: dict = field(default_factory=dict)


COMMON = dict(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
)

LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    # Wavelengths 6 to 13,000 fall into all three bands of the llama3 rule (below 8, 8 to 32, above 32).
    original_max_position_embeddings=32,
)

ALL = [
    Fixture(
        "llama-tied-linear",
        LlamaConfig,
        dict(vocab_size=48, num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-5),
        seed=101,
        legacy_config=True,
        rope=dict(rope_type="linear", rope_theta=500.0, factor=2.5),
    ),
    Fixture(
        "llama-llama3-sharded",
        LlamaConfig,
        dict(vocab_size=50, num_key_value_heads=2, head_dim=12, tie_word_embeddings=False),
        seed=102,
        sharded=True,
        optimizer=True,
        rope=LLAMA3,
    ),
    Fixture(
        "llama-llama3-f16",
        LlamaConfig,
        dict(vocab_size=48, num_key_value_heads=4, tie_word_embeddings=False),
        seed=103,
        dtype=torch.float16,
        legacy_config=True,
        rope=LLAMA3,
    ),
    Fixture(
        "qwen2-bias",
        Qwen2Config,
        dict(vocab_size=52, num_key_value_heads=2, tie_word_embeddings=False),
        seed=104,
        optimizer=True,
        rope=dict(rope_type="default", rope_theta=1000000.0),
    ),
    Fixture(
        "qwen2-tied-bf16",
        Qwen2Config,
        dict(vocab_size=48, num_key_value_heads=1, tie_word_embeddings=True),
        seed=105,
        dtype=torch.bfloat16,
        legacy_config=True,
        rope=dict(rope_type="default", rope_theta=20000.0),
    ),
    Fixture(
        "qwen3-tied",
        Qwen3Config,
        dict(vocab_size=48, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True),
        seed=106,
        optimizer=True,
        rope=dict(rope_type="default", rope_theta=1000000.0),
    ),
    Fixture(
        "qwen3-bf16-sharded",
        Qwen3Config,
        dict(vocab_size=64, num_key_value_heads=1, head_dim=16, tie_word_embeddings=False),
        seed=107,
        dtype=torch.bfloat16,
        legacy_config=True,
        sharded=True,
        rope=dict(rope_type="default", rope_theta=10000.0),
    ),
]


def rewrite_as_legacy(directory: Path) -> None:
    """config.json as transformers 4 wrote it; transformers 5 still reads it (the reference is computed from it)."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    # Early Llama checkpoints say "type", later ones "rope_type".
    key = "type" if kind == "linear" else "rope_type"
    config["rope_scaling"] = None if kind == "default" else {key: kind, **rope}
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    path.write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")


def load(directory: Path, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager")
    return model.eval()


def check_reload(fixture: Fixture, fresh: torch.nn.Module, loaded: torch.nn.Module) -> None:
    """The rewritten config.json must mean the same to transformers as the one it wrote."""
    tokens = torch.arange(40)[None] % 48
    with torch.no_grad():
        for parameter in fresh.parameters():  # and not the float32 rope buffers
            parameter.copy_(parameter.to(fixture.dtype))
        expected = fresh.eval()(input_ids=tokens).logits
        actual = loaded(input_ids=tokens).logits
    if not torch.allclose(actual, expected, atol=1e-5):
        raise SystemExit(f"{fixture.name}: reloaded model differs by {float((actual - expected).abs().max()):.1e}")


def rounded(value):
    """Nine significant digits identify a float32."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [rounded(x) for x in value]
    return value


def write(fixture: Fixture) -> None:
    directory = FIXTURES / fixture.name
    shutil.rmtree(directory, ignore_errors=True)
    generator = torch.Generator().manual_seed(fixture.seed)
    config = fixture.config_class(**COMMON, **fixture.config, rope_parameters=fixture.rope)
    fresh = AutoModelForCausalLM.from_config(config)
    ref.randomise(fresh, generator)
    copy.deepcopy(fresh).to(fixture.dtype).save_pretrained(directory, max_shard_size="24KB" if fixture.sharded else "1GB")
    if fixture.legacy_config:
        rewrite_as_legacy(directory)

    model = load(directory)
    check_reload(fixture, fresh, model)
    exact = copy.deepcopy(model).double()
    sequences = ref.random_sequences(generator, config.vocab_size, LENGTHS, SHARING)
    coefficients = ref.random_coefficients(generator, sequences)
    result: dict = {
        "schemaVersion": 1,
        "producedBy": {"torch": torch.__version__, "transformers": transformers.__version__},
        "sequences": [asdict(s) for s in sequences],
        "coefficients": [asdict(c) for c in coefficients],
        "evaluations": [],
    }
    noise: dict[str, float] = {}
    for temperature in TEMPERATURES if fixture.optimizer else TEMPERATURES[:1]:
        statistics = [ref.next_token_statistics(model, s, temperature) for s in sequences]
        loss = ref.linear_loss(model, sequences, coefficients, temperature)
        grads = ref.gradients(model, loss)
        file = "gradients.safetensors" if temperature == 1 else f"gradients-temperature-{temperature}.safetensors"
        save_file({name: g.contiguous() for name, g in grads.items()}, directory / file)
        reference_grads = ref.gradients(exact, ref.linear_loss(exact, sequences, coefficients, temperature))
        noise[f"gradient@{temperature}"] = max(relative_error(grads[n], reference_grads[n]) for n in grads)
        result["evaluations"].append(
            {
                "temperature": temperature,
                "sequences": [
                    {
                        "logprobs": rounded(logprobs.detach()),
                        "entropies": rounded(entropies.detach()),
                        "lastLogits": rounded(last.detach()),
                    }
                    for logprobs, entropies, last in statistics
                ],
                "loss": rounded(loss.item()),
                "gradNorm": rounded(ref.global_norm(grads)),
                "gradientFile": file,
            }
        )

    loss = ref.cross_entropy(model, sequences)
    grads = ref.gradients(model, loss)
    result["crossEntropy"] = {
        "loss": rounded(loss.item()),
        "gradNorm": rounded(ref.global_norm(grads)),
        "gradientNorms": {name: rounded(float(g.norm())) for name, g in grads.items()},
    }

    result["greedy"] = []
    for prompt in (sequences[0].prompt, sequences[1].prompt):
        tokens, logprobs, margin = ref.greedy(model, prompt, GREEDY_TOKENS)
        if margin < MINIMUM_MARGIN:
            raise SystemExit(f"{fixture.name}: greedy margin {margin:.1e}; rounding could decide. Change the seed.")
        result["greedy"].append(
            {"prompt": prompt, "maxTokens": GREEDY_TOKENS, "tokens": tokens, "logprobs": rounded(logprobs)}
        )

    if fixture.optimizer:
        options, steps = ref.AdamW(), 3
        trained, losses, norms = ref.adamw_steps(model, sequences, coefficients, 1.0, options, steps)
        trained64, _, _ = ref.adamw_steps(exact, sequences, coefficients, 1.0, options, steps)
        pairs = zip(trained.named_parameters(), trained64.parameters(), strict=True)
        noise["adamW"] = max((p - q).abs().max().item() for (_, p), q in pairs)
        save_file(
            {name: p.detach().contiguous() for name, p in trained.named_parameters()},
            directory / "adamw.safetensors",
        )
        result["adamW"] = {
            "learningRate": options.learning_rate,
            "beta1": options.beta1,
            "beta2": options.beta2,
            "epsilon": options.epsilon,
            "weightDecay": options.weight_decay,
            "maxGradNorm": options.max_grad_norm,
            "steps": steps,
            "losses": rounded(losses),
            "gradNorms": rounded(norms),
            "parameterFile": "adamw.safetensors",
        }

    (directory / "reference.json").write_text(compact(result) + "\n")
    size = sum(f.stat().st_size for f in directory.iterdir())
    shown = " ".join(f"{k}:{v:.1e}" for k, v in noise.items())
    print(f"{fixture.name:24} {size / 1024:6.0f} KiB   float32 against float64  {shown}")


def compact(value: dict) -> str:
    """One line for every innermost list, so that a reader and a diff see structure and not 10,000 lines."""
    text = json.dumps(value, indent=1)
    lines, open_list = [], None
    for line in text.split("\n"):
        stripped = line.strip()
        if open_list is not None:
            open_list += stripped if stripped.startswith("]") else stripped + ("" if stripped.endswith("[") else " ")
            if stripped.startswith("]"):
                lines.append(open_list.replace(" ]", "]"))
                open_list = None
            elif stripped.endswith(("{", "[")):
                lines.append(open_list.rstrip())
                open_list = None
        elif stripped.endswith("["):
            open_list = line
        else:
            lines.append(line)
    return "\n".join(lines)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest deviation over the largest entry of the expected tensor."""
    scale = float(expected.abs().max())
    return float((actual.double() - expected).abs().max()) / scale if scale > 0 else 0.0


if __name__ == "__main__":
    wanted = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for entry in ALL:
        if not wanted or entry.name in wanted:
            write(entry)
