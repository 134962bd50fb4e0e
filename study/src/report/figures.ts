/** The plots of the report. */
import { type FigureLine, type FigurePanel, renderLineFigure } from "critique-grpo";
import type { Family } from "../family.js";
import { methodsOf } from "../methods.js";
import { type Evidence, estimate } from "./evidence.js";

/** Learning curves of the main methods, by steps and by sampled tokens: mean and 95 % interval over seeds. */
export function learningCurves(evidence: Evidence, family: Family): string {
  const methods = methodsOf(family).filter((method) => method.group === "main");
  const panel = (title: string, xTitle: string, axis: "step" | "sampledTokens"): FigurePanel => ({
    title,
    xTitle,
    percent: true,
    lines: methods.flatMap(({ name }) => curve(evidence, family, name, axis)),
  });
  return renderLineFigure(
    [
      panel("Held-out accuracy (greedy), by steps", "step", "step"),
      panel("Held-out accuracy (greedy), by sampled tokens", "sampled tokens", "sampledTokens"),
    ],
    { description: `Learning curves on ${family.name}` },
  );
}

function curve(evidence: Evidence, family: Family, method: string, axis: "step" | "sampledTokens"): FigureLine[] {
  const results = evidence.of(family.name, method);
  if (results.length === 0) return [];
  const steps = results[0]!.curve.map((point) => point.step);
  const points = steps.flatMap((step) => {
    const there = results.flatMap((result) => result.curve.filter((point) => point.step === step));
    const accuracy = estimate(there.map((point) => point.greedy));
    if (accuracy === null) return [];
    const x = there.reduce((sum, point) => sum + point[axis], 0) / there.length;
    return [{ x, y: accuracy.value, low: Math.max(0, accuracy.low), high: Math.min(1, accuracy.high) }];
  });
  const banded = results.length > 1;
  return [
    { label: `${method} (n = ${results.length})`, points: banded ? points : points.map(({ x, y }) => ({ x, y })) },
  ];
}
