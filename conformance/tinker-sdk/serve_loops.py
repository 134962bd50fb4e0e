"""Loops of the cookbook's shape over the official SDK against `critique-grpo serve`. Prints one line a check.

serve_loops.py lora|full: what the server was started for.
"""

import importlib.metadata
import os
import pathlib
import sys

# The SDK's custom losses need torch, which the other conformance checks have; looked for when the SDK is imported.
torch_folder = pathlib.Path(__file__).parents[2] / ".venv" / "torch" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
sys.path.append(str(torch_folder))

import httpx
import numpy as np
import tinker
from tinker import types

MODEL = "tiny"
LORA = sys.argv[1] == "lora"
# Adapters take larger steps.
RATE = 3e-2 if LORA else 1e-2
END = 257
failures = 0


def check(name, passed, detail=""):
    global failures
    failures += not passed
    print(("ok   " if passed else "FAIL ") + name + (f": {detail}" if detail else ""), flush=True)


def tensor(values, dtype="float32"):
    return types.TensorData(data=np.asarray(values, dtype=np.int64 if dtype == "int64" else np.float32), dtype=dtype, shape=[len(values)])


def supervised(prompt, answer):
    tokens = list(prompt.encode()) + list(answer.encode()) + [END]
    weights = [0.0] * (len(prompt) - 1) + [1.0] * (len(tokens) - len(prompt))
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={"target_tokens": tensor(tokens[1:], "int64"), "weights": tensor(weights)},
    )


def logprobs_of(result):
    return np.concatenate([np.asarray(output["logprobs"].tolist()) for output in result.loss_fn_outputs])


print(f"tinker {importlib.metadata.version('tinker')}")
service = tinker.ServiceClient()
models = tinker.RestClient().get_server_capabilities().result().supported_models
check("capabilities", [m.model_name for m in models] == [MODEL] and models[0].max_context_length == 128, str(models))

# Supervised fine-tuning: the pair of calls is submitted before either is awaited.
lesson = [supervised("1+1=", "2"), supervised("2+2=", "4"), supervised("sky:", "blue")]
training = service.create_lora_training_client(base_model=MODEL, rank=32, seed=1).result()
info = training.get_info()
check("the model says what is trained", info.is_lora is LORA and info.lora_rank == (32 if LORA else None), f"is_lora {info.is_lora}, rank {info.lora_rank}")
losses = []
for _ in range(12):
    forward_backward = training.forward_backward(lesson, "cross_entropy")
    step = training.optim_step(types.AdamParams(learning_rate=RATE))
    losses.append(forward_backward.result().metrics["loss:sum"])
    step.result()
# The base is random and its output matrix frozen: adapters alone cannot learn much here.
check("SFT: the loss falls", losses[-1] < (0.96 if LORA else 0.6) * losses[0], f"{losses[0]:.3f} -> {losses[-1]:.3f}")

# Checkpoints: weights with the optimizer, and without.
before = logprobs_of(training.forward(lesson, "cross_entropy").result())
path = training.save_state("sft").result().path
resumed = service.create_training_client_from_state_with_optimizer(path).result()
after = logprobs_of(resumed.forward(lesson, "cross_entropy").result())
check("a state saved and reloaded gives identical logprobs", np.array_equal(before, after), path)
for client in (training, resumed):
    client.forward_backward(lesson, "cross_entropy")
    client.optim_step(types.AdamParams(learning_rate=RATE)).result()
onward = [logprobs_of(client.forward(lesson, "cross_entropy").result()) for client in (training, resumed)]
check("the next optimizer step is identical too", np.array_equal(*onward))

if LORA:
    # Adapters of several clients beside one base, trained in turns; what the flags ask for; what is refused.
    others = [service.create_lora_training_client(base_model=MODEL, rank=rank, seed=7, train_attn=attn).result() for rank, attn in ((8, True), (8, True), (4, False))]
    for _ in range(3):
        futures = [(c.forward_backward(lesson, "cross_entropy"), c.optim_step(types.AdamParams(learning_rate=RATE))) for c in others]
        for futures_of_one in futures:
            for future in futures_of_one:
                future.result()
    same, twin, narrow = (logprobs_of(c.forward(lesson, "cross_entropy").result()) for c in others)
    check("two adapters of one seed, trained in turns, are the same", np.array_equal(same, twin) and not np.array_equal(same, narrow))
    check("training others changes nothing", np.array_equal(onward[0], logprobs_of(training.forward(lesson, "cross_entropy").result())))
    narrow_path = others[2].save_state("narrow").result().path
    again = service.create_training_client_from_state(narrow_path).result()
    check("a client made from saved adapters has their rank", again.get_info().lora_rank == 4)
    check("and their logprobs", np.array_equal(narrow, logprobs_of(again.forward(lesson, "cross_entropy").result())))
    try:
        service.create_lora_training_client(base_model=MODEL, rank=4, train_attn=False, train_mlp=False).result()
        check("adapters on nothing but the output matrix are refused", False)
    except Exception as error:  # noqa: BLE001
        check("adapters on nothing but the output matrix are refused", "nothing would be trained" in str(error), str(error)[:160])

# A loss of the client's own (the SDK needs torch for it): written out, cross entropy has the built-in's gradient.
try:
    import torch

    def written_out(data, logprobs):
        weights = [torch.tensor(datum.loss_fn_inputs["weights"].tolist()) for datum in data]
        loss = -sum((w * lp).sum() for w, lp in zip(weights, logprobs))
        return loss, {"custom": float(loss.detach())}

    built_in = training.forward_backward(lesson, "cross_entropy").result().metrics["loss:sum"]
    expected = training.optim_step(types.AdamParams(learning_rate=0)).result().metrics["grad_norm:mean"]
    custom = training.forward_backward_custom(lesson, written_out).result().metrics["custom"]
    norm = training.optim_step(types.AdamParams(learning_rate=0)).result().metrics["grad_norm:mean"]
    check("forward_backward_custom has the built-in loss's value", abs(custom - built_in) < 1e-3, f"{custom:.5f}")
    check("and its gradient", abs(norm / expected - 1) < 1e-4, f"norm {norm:.5f}, {expected:.5f} expected")
except ImportError:
    print("skip forward_backward_custom: needs torch (bash conformance/setup.sh)")

# Reinforcement learning: sample groups, score, centre, importance sampling; as recipes/rl_loop.py.
PROMPT = list(b"Say a:")
GROUP, TOKENS = 16, 6
rewards, gaps = [], []
policy = training
for step_index in range(8):
    sampler = policy.save_weights_and_get_sampling_client().result()
    response = sampler.sample(
        prompt=types.ModelInput.from_ints(PROMPT),
        num_samples=GROUP,
        sampling_params=types.SamplingParams(max_tokens=TOKENS, temperature=1.0, stop=[END], seed=step_index),
    ).result()
    scores = np.array([np.mean([32 <= token < 128 for token in sequence.tokens]) for sequence in response.sequences])
    rewards.append(scores.mean())
    data = []
    for sequence, advantage in zip(response.sequences, scores - scores.mean()):
        tokens, n = list(sequence.tokens), len(PROMPT) - 1
        data.append(
            types.Datum(
                model_input=types.ModelInput.from_ints(PROMPT + tokens[:-1]),
                loss_fn_inputs={
                    "target_tokens": tensor([0] * n + tokens, "int64"),
                    "logprobs": tensor([0.0] * n + list(sequence.logprobs)),
                    "advantages": tensor([0.0] * n + [advantage] * len(tokens)),
                },
            )
        )
    forward_backward = policy.forward_backward(data, "importance_sampling" if step_index % 2 == 0 else "ppo")
    step = policy.optim_step(types.AdamParams(learning_rate=RATE / 3))
    outputs = forward_backward.result().loss_fn_outputs
    for sequence, output in zip(response.sequences, outputs):
        trained = np.asarray(output["logprobs"].tolist())[len(PROMPT) - 1 :]
        gaps.append(np.abs(trained - np.asarray(sequence.logprobs)).max())
    step.result()
check("RL: the reward rises", np.mean(rewards[-2:]) > np.mean(rewards[:2]), f"{np.mean(rewards[:2]):.3f} -> {np.mean(rewards[-2:]):.3f}")
check("sampler and trainer logprobs agree within 1e-3", max(gaps) < 1e-3, f"largest gap {max(gaps):.1e}")

# Sampling: prompt logprobs, saved and base weights, determinism, stop strings.
saved = policy.save_weights_for_sampler("final").result().path
client = service.create_sampling_client(model_path=saved).result()
lesson_tokens = types.ModelInput.from_ints(list(lesson[0].model_input.to_ints()) + [END])
scored = client.compute_logprobs(lesson_tokens).result()
trained = logprobs_of(policy.forward(lesson[:1], "cross_entropy").result())
gap = np.abs(np.array(scored[1:], dtype=float) - trained).max()
check("compute_logprobs equals forward", scored[0] is None and gap < 1e-3, f"largest gap {gap:.1e}")
params = types.SamplingParams(max_tokens=8, seed=5, temperature=1.0)
first, second = (
    client.sample(prompt=types.ModelInput.from_ints(PROMPT), num_samples=2, sampling_params=params).result() for _ in range(2)
)
check("a seed gives the same samples", [s.tokens for s in first.sequences] == [s.tokens for s in second.sequences])
base = service.create_sampling_client(base_model=MODEL).result()
base.sample(prompt=types.ModelInput.from_ints(PROMPT), num_samples=1, sampling_params=types.SamplingParams(max_tokens=3)).result()
check("the base model can be sampled", True)

# REST listings and the archive.
rest = tinker.RestClient()
run = saved.split("/")[2]
listed = rest.list_checkpoints(run).result().checkpoints
check("checkpoints are listed", {c.checkpoint_id for c in listed} >= {"weights/sft", "sampler_weights/final"}, f"{len(listed)} checkpoints")
# Newer SDKs have no archive download; the route is that of SDK <= 0.25.
key = {"X-API-Key": os.environ["TINKER_API_KEY"]}
link = httpx.get(f"{os.environ['TINKER_BASE_URL']}/api/v1/training_runs/{run}/checkpoints/sampler_weights/final/archive", headers=key)
content = httpx.get(link.headers["location"]).content
check("the archive can be downloaded", content[:2] == b"\x1f\x8b" and len(content) > 1000, f"{len(content)} bytes")

# Faults are told apart.
try:
    policy.forward_backward([types.Datum(model_input=types.ModelInput.from_ints([1]), loss_fn_inputs={"target_tokens": tensor([9999], "int64")})], "cross_entropy").result()
    check("a token outside the vocabulary is refused", False)
except Exception as error:  # noqa: BLE001: the SDK's own class is not the point
    check("a token outside the vocabulary is refused", "9999" in str(error), str(error)[:120])
response = httpx.post(os.environ["TINKER_BASE_URL"] + "/api/v1/create_session", headers={"X-API-Key": "tml-wrong"}, json={})
check("a wrong key is refused", response.status_code == 401)
service.close("success").result()
sys.exit(1 if failures else 0)
