"""Recomputes an evaluation: every verdict with Python Math-Verify, every number from the verdicts. Usage: check.py DIRECTORY"""
import itertools
import json
import logging
import pathlib
import random
import sys
from collections import defaultdict

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

logging.disable(logging.CRITICAL)
REQUIRED_AGREEMENT = 0.98

directory = pathlib.Path(sys.argv[1])
lines = lambda name: [json.loads(line) for line in (directory / name).read_text().splitlines()]
golds = {(q["set"], q["id"]): q["gold"] for q in lines("questions.jsonl")}
summary = json.loads((directory / "summary.json").read_text())
targets = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())


def verdict(gold: str, text: str) -> bool:
    # Math-Verify reads bare LaTeX as gold only between dollars.
    expected = parse(f"${gold}$", targets)
    return bool(verify(expected, parse(text, targets), allow_set_relation_comp=True))


ours: dict = defaultdict(dict)
theirs: dict = defaultdict(dict)
seen = set()
for generation in lines("generations.jsonl"):
    key = (generation["set"], generation["id"])
    assert (key, generation["sample"]) not in seen, f"{key} is there twice"
    seen.add((key, generation["sample"]))
    ours[key][generation["sample"]] = generation["reward"]["correct"]
    theirs[key][generation["sample"]] = verdict(golds[key], generation["text"])
    if ours[key][generation["sample"]] != theirs[key][generation["sample"]]:
        tail = generation["text"][-80:].replace("\n", " ")
        print(f"  {key[1]}: gold {golds[key]!r}, response …{tail!r}: here {ours[key][generation['sample']]}")
assert ours.keys() == golds.keys()


def pass_at_k(samples: list[bool], k: int) -> float:
    """By enumeration of every k-subset: the definition."""
    subsets = list(itertools.combinations(samples, k))
    return sum(any(subset) for subset in subsets) / len(subsets)


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def close(name: str, value: float, expected: float, tolerance: float = 1e-9) -> None:
    assert abs(value - expected) <= tolerance, f"{name} is {value}, recomputed {expected}"


failed = 0
for source in [summary, *summary["sources"]]:
    name = source["dataSource"]
    keys = [key for key in golds if name in ("all", key[0])]
    for entry in source["passAt"]:
        k = entry["k"]
        values = [pass_at_k(list(ours[key].values()), k) for key in keys]
        close(f"{name} pass@{k}", entry["value"], mean(values))
        other = mean(pass_at_k(list(theirs[key].values()), k) for key in keys)
        generator = random.Random(k)
        means = sorted(mean(generator.choices(values, k=len(values))) for _ in range(1000))
        close(f"{name} pass@{k} low", entry["low"], means[25], 0.01)
        close(f"{name} pass@{k} high", entry["high"], means[974], 0.01)
        print(f"{name} pass@{k}: {entry['value']:.4f}, with Math-Verify's verdicts {other:.4f}")
    never = sum(not any(ours[key].values()) for key in keys)
    assert source["persistentFailures"] == never
    pairs = [(ours[key][sample], theirs[key][sample]) for key in keys for sample in ours[key]]
    agreement = mean(a == b for a, b in pairs)
    print(f"{name}: {sum(a == b for a, b in pairs)} of {len(pairs)} verdicts agree ({100 * agreement:.2f} %)")
    failed += agreement < REQUIRED_AGREEMENT
close("macro", summary["macro"], mean(source["pass1"]["value"] for source in summary["sources"]))
sys.exit(1 if failed else 0)
