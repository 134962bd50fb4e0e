"""What wandb_import.py wrote offline, read back from W&B's own file, is what the run directory says. Usage: wandb_check.py RUN"""
import json
import pathlib
import subprocess
import sys
import tempfile

from wandb.proto import wandb_internal_pb2

BLOCK = 32768
FILE_HEADER = 7
RECORD_HEADER = 7


def stored_records(content: bytes):
    """The records of a .wandb file: LevelDB's log format (checksum, length, type), behind a header of seven bytes."""
    assert content[:4] == b":W&B"
    at, parts = FILE_HEADER, b""
    while at + RECORD_HEADER <= len(content):
        if BLOCK - at % BLOCK < RECORD_HEADER:
            at += BLOCK - at % BLOCK
            continue
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind = content[at + 6]
        parts += content[at + RECORD_HEADER : at + RECORD_HEADER + length]
        at += RECORD_HEADER + length
        # 1 whole, 2 first, 3 middle, 4 last
        if kind in (1, 4):
            yield parts
            parts = b""


run = pathlib.Path(sys.argv[1])
script = pathlib.Path(__file__).with_name("wandb_import.py")
with tempfile.TemporaryDirectory() as work:
    subprocess.run([sys.executable, str(script), str(run.resolve())], cwd=work, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (path,) = pathlib.Path(work).glob("wandb/offline-run-*/run-*.wandb")
    logged: dict[tuple[str, int], float] = {}
    for data in stored_records(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        if record.WhichOneof("record_type") != "history":
            continue
        values = {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item}
        step = values.pop("_step")
        logged.update({(key, step): value for key, value in values.items() if not key.startswith("_")})
expected = {
    (key, record["step"]): value
    for record in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    for key, value in record.items()
    if key not in ("schemaVersion", "step", "time") and value is not None
}
missing = {key: value for key, value in expected.items() if logged.get(key) != value}
assert not missing, f"not or otherwise in W&B's file: {missing}"
assert any(key.startswith("evaluation/") for key, _ in logged)
print(f"W&B's offline file holds the same {len(expected)} metrics, and the evaluations")
