"""Puts a run directory into Weights & Biases: every metric of every step, the evaluations, the configuration.

    pip install wandb pyyaml
    python conformance/sinks/wandb_import.py runs/x                  # offline: writes wandb/offline-run-*, no key, no network
    wandb sync wandb/offline-run-*                                 # later, where there is a network (WANDB_API_KEY)
    WANDB_MODE=online python conformance/sinks/wandb_import.py runs/x  # or at once

The metrics keep the names of docs/metrics.md.
"""
import json
import os
import pathlib
import sys

import wandb
import yaml


def records(path: pathlib.Path) -> list[dict]:
    """Lines of JSON; a last line that a crash tore is left out."""
    if not path.exists():
        return []
    content = path.read_text()
    return [json.loads(line) for line in content[: content.rfind("\n") + 1].splitlines()]


def evaluation_metrics(record: dict) -> dict:
    values = {}
    sources = record["sources"] if len(record["sources"]) > 1 else []
    for source in [record, *sources]:
        name = f"evaluation/{source['dataSource']}"
        for entry in source["passAt"]:
            values[f"{name}/pass@{entry['k']}"] = entry["value"]
        for key in ("majority", "greedy"):
            if key in source:
                values[f"{name}/{key}"] = source[key]["value"]
    return values


def main(directory: pathlib.Path) -> None:
    os.environ.setdefault("WANDB_MODE", "offline")
    config = yaml.safe_load((directory / "config.yaml").read_text())
    steps: dict[int, dict] = {}
    for record in records(directory / "evaluations.jsonl"):
        steps.setdefault(record["step"], {}).update(evaluation_metrics(record))
    for record in records(directory / "metrics.jsonl"):
        metrics = {key: value for key, value in record.items() if key not in ("schemaVersion", "step", "time")}
        steps.setdefault(record["step"], {}).update({key: value for key, value in metrics.items() if value is not None})
    with wandb.init(project="critique-grpo", name=directory.resolve().name, config=config) as run:
        for step in sorted(steps):
            run.log(steps[step], step=step)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
