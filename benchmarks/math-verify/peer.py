"""Python Math-Verify behind a line protocol: one JSON batch in, one JSON result out.

In:  {"cases": [{"gold", "prediction", "match_types", "boxed_match_priority", "float_rounding", "strict",
      "allow_set_relation_comp"}, ...]}
Out: {"total": [microseconds with extraction], "comparison": [microseconds of verify alone], "verdicts": [bool]}
"""

import json
import logging
import sys
import time

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

logging.disable(logging.CRITICAL)


def targets(case):
    kinds = case.get("match_types") or ["latex", "expr"]
    priority = case.get("boxed_match_priority")
    latex = LatexExtractionConfig() if priority is None else LatexExtractionConfig(boxed_match_priority=priority)
    return tuple(latex if kind == "latex" else ExprExtractionConfig() for kind in kinds)


def run(case):
    config = targets(case)
    options = {
        "float_rounding": case.get("float_rounding", 6),
        "strict": case.get("strict", True),
        "allow_set_relation_comp": case.get("allow_set_relation_comp", False),
    }
    start = time.perf_counter()
    gold = parse(case["gold"], config)
    prediction = parse(case["prediction"], config)
    parsed = time.perf_counter()
    verdict = verify(gold, prediction, **options)
    end = time.perf_counter()
    return (end - start) * 1e6, (end - parsed) * 1e6, bool(verdict)


for line in sys.stdin:
    results = [run(case) for case in json.loads(line)["cases"]]
    total, comparison, verdicts = zip(*results)
    print(json.dumps({"total": total, "comparison": comparison, "verdicts": verdicts}), flush=True)
