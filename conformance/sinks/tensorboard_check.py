"""TensorBoard reads the event files of a run and shows the numbers of metrics.jsonl. Usage: tensorboard_check.py DIRECTORY"""
import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2


def single(value: float) -> float:
    """TensorBoard's scalars have single precision."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def lines(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check(board: pathlib.Path, run: pathlib.Path) -> int:
    accumulator = event_accumulator.EventAccumulator(str(board), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    shown = {
        (tag, event.step): event.value
        for tag in accumulator.Tags()["scalars"]
        for event in accumulator.Scalars(tag)
    }
    counted = sum(len(accumulator.Scalars(tag)) for tag in accumulator.Tags()["scalars"])
    assert counted == len(shown), "a step is shown twice"
    expected = {
        (tag, record["step"]): single(value)
        for record in lines(run / "metrics.jsonl")
        for tag, value in record.items()
        if tag not in ("schemaVersion", "step", "time") and value is not None
    }
    for record in lines(run / "evaluations.jsonl"):
        name = f"evaluation/{record['dataSource']}"
        expected[f"{name}/pass@1", record["step"]] = single(record["pass1"]["value"])
        for entry in record["passAt"]:
            if entry["k"] > 1:
                expected[f"{name}/pass@{entry['k']}", record["step"]] = single(entry["value"])
        expected[f"{name}/truncated", record["step"]] = single(record["truncated"])
        expected[f"{name}/mean_reward", record["step"]] = single(record["meanReward"])
        expected[f"{name}/mean_length", record["step"]] = single(record["lengths"]["mean"])
        expected[f"{name}/persistent_failures", record["step"]] = single(record["persistentFailures"])
    missing = expected.keys() - shown.keys()
    extra = shown.keys() - expected.keys()
    wrong = [key for key in expected.keys() & shown.keys() if expected[key] != shown[key]]
    assert not (missing or extra or wrong), f"missing {missing}, extra {extra}, wrong {wrong}"

    metadata = accumulator.SummaryMetadata("_hparams_/session_start_info")
    data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    hparams = data.session_start_info.hparams
    assert hparams["algorithm.klCoefficient"].number_value == 0.01, "hyper-parameters"
    assert data.session_start_info.group_name == "run"
    end = accumulator.SummaryMetadata("_hparams_/session_end_info")
    assert plugin_data_pb2.HParamsPluginData.FromString(end.plugin_data.content).session_end_info.status == 1
    (text,) = accumulator.Tensors("config")
    assert b"klCoefficient" in text.tensor_proto.string_val[0], "configuration"
    return len(shown)


directory = pathlib.Path(sys.argv[1])
live = check(directory / "run" / "tensorboard", directory / "run")
exported = check(directory / "exported" / "run", directory / "run")
assert live == exported
print(f"TensorBoard shows the same {live} values as metrics.jsonl and evaluations.jsonl, live and exported")
