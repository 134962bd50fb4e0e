"""Judges the bytes of wire.mjs with the official SDK's own models and codecs. Prints one line a check."""

import json
import sys

import numpy as np
from tinker.proto import request_conv, response_conv
from tinker.proto import tinker_public_pb2 as pb
from tinker import types
from tinker.types import (
    client_config_request,
    create_model_request,
    create_sampling_session_request,
    create_session_request,
    forward_backward_request,
    future_retrieve_request,
    get_info_request,
    load_weights_request,
    optim_step_request,
    sample_request,
    save_weights_for_sampler_request,
    save_weights_request,
    unload_model_request,
)

MODELS = {
    "client/config": client_config_request.ClientConfigRequest,
    "create_session": create_session_request.CreateSessionRequest,
    "create_model": create_model_request.CreateModelRequest,
    "create_sampling_session": create_sampling_session_request.CreateSamplingSessionRequest,
    "optim_step": optim_step_request.OptimStepRequest,
    "save_weights": save_weights_request.SaveWeightsRequest,
    "save_weights_for_sampler": save_weights_for_sampler_request.SaveWeightsForSamplerRequest,
    "load_weights": load_weights_request.LoadWeightsRequest,
    "unload_model": unload_model_request.UnloadModelRequest,
    "get_info": get_info_request.GetInfoRequest,
    "asample": sample_request.SampleRequest,
    "retrieve_future": future_retrieve_request.FutureRetrieveRequest,
}
failures = 0


def check(name, passed, detail=""):
    global failures
    failures += not passed
    print(("ok   " if passed else "FAIL ") + name + (f": {detail}" if detail else ""))


def build_request(body, forward_only=False):
    """The SDK's own request object from a JSON body."""
    inner = body["forward_backward_input"]
    data = [
        types.Datum(
            model_input=types.ModelInput.from_ints(d["model_input"]["chunks"][0]["tokens"]),
            loss_fn_inputs={
                name: types.TensorData(
                    data=np.asarray(t["data"], dtype=np.int64 if t["dtype"] == "int64" else np.float32), dtype=t["dtype"], shape=t["shape"]
                )
                for name, t in d["loss_fn_inputs"].items()
            },
        )
        for d in inner["data"]
    ]
    fb = types.ForwardBackwardInput(data=data, loss_fn=inner["loss_fn"], loss_fn_config=inner.get("loss_fn_config"))
    return forward_backward_request.ForwardBackwardRequest(forward_backward_input=fb, model_id=body["model_id"], seq_id=body["seq_id"])


job = json.load(open(sys.argv[1]))
seen = {}
for body in job["bodies"]:
    route = body["route"]
    if "json" in body and route in MODELS:
        try:
            MODELS[route].model_validate(body["json"])
            seen.setdefault(route, []).append("")
        except Exception as error:  # noqa: BLE001: every rejection is a finding
            seen.setdefault(route, []).append(str(error).replace("\n", " ")[:300])
for route, problems in seen.items():
    bad = [p for p in problems if p]
    check(f"{route}: {len(problems)} bodies pass the SDK's strict model", not bad, bad[0] if bad else "")
check("every route was exercised", set(MODELS) == set(seen), ", ".join(sorted(set(MODELS) - set(seen))))

# Protobuf requests: the same calls were made with both codecs, so the JSON bodies say what the bytes must mean.
protos = [pb.ForwardBackwardRequest.FromString(bytes.fromhex(b["hex"])) for b in job["bodies"] if b["route"] == "forward_backward" and "hex" in b]
jsons = [b["json"] for b in job["bodies"] if b["route"] == "forward_backward" and "json" in b]
gradients = [p for p in protos if not p.forward_only]
check("protobuf requests parse, forward passes are marked", len(gradients) == len(jsons) == len(protos) - 1)
for ours, body in zip(gradients, jsons):
    expected = request_conv.forward_backward_request_to_proto(build_request(body))
    expected.model_id = ours.model_id
    # The newest SDK writes the loss configuration a second time in a typed map; servers read either.
    if hasattr(expected, "loss_fn_config_v2"):
        expected.ClearField("loss_fn_config_v2")
    check(f"{body['forward_backward_input']['loss_fn']} request equals what the SDK encodes", ours == expected)

decoded = response_conv.deserialize_forward_backward_output(bytes.fromhex(job["output"]))
check(
    "our training result decodes in the SDK",
    [o["logprobs"].tolist() for o in decoded.loss_fn_outputs] == [[-1, -2.5], [-3]] and decoded.metrics == {"loss:sum": 6.5, "tokens:max": 2},
)
samples = response_conv.deserialize_sample_response(bytes.fromhex(job["samples"]))
check(
    "our sampling result decodes in the SDK",
    [list(s.tokens) for s in samples.sequences] == [[5, 6], [9]]
    and [s.stop_reason for s in samples.sequences] == ["stop", "length"]
    and list(samples.prompt_logprobs) == [None, -0.25, -0.75]
    and samples.topk_prompt_logprobs == [None, [(3, -0.5), (4, -1.0)], [(5, -0.125)]],
    f"{samples.prompt_logprobs} {samples.topk_prompt_logprobs}",
)

# Round trips through the protobuf library, for our decoders.
request = request_conv.forward_backward_request_to_proto(build_request(jsons[0]))
json.dump(
    {
        "request": request.SerializeToString().hex(),
        "requestJson": jsons[0],
        "output": pb.ForwardBackwardOutput.FromString(bytes.fromhex(job["output"])).SerializeToString().hex(),
        "samples": pb.SampleResponse.FromString(bytes.fromhex(job["samples"])).SerializeToString().hex(),
    },
    open(job["result"], "w"),
)
sys.exit(1 if failures else 0)
