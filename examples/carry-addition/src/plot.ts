/** A self-contained SVG: learning curves over sampled tokens, and persistent failures. No library, no script. */
import { METHODS, type Method, type MethodRecord, meanMeasurement } from "./summary.js";

const COLOURS: Readonly<Record<Method | "warm-up", string>> = {
  "warm-up": "#8a8f98",
  "dr-grpo": "#c2571a",
  "critique-grpo": "#1f6feb",
};
const WIDTH = 960;
const HEIGHT = 380;
const CURVES = { left: 64, top: 72, width: 520, height: 248 };
const BARS = { left: 656, top: 88, width: 280, height: 232 };
const INK = "#24292f";
const GRID = "#d8dee4";

/** The plot as one SVG document. @throws RangeError without records. */
export function renderPlot(records: readonly MethodRecord[]): string {
  if (records.length === 0) throw new RangeError("a plot needs at least one record");
  const parts = [...curves(records), ...bars(records)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Carry addition: Dr. GRPO and Critique-GRPO">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function curves(records: readonly MethodRecord[]): string[] {
  const { left, top, width, height } = CURVES;
  const most = Math.max(1, ...records.flatMap((record) => record.curve.map((point) => point.sampledTokens)));
  const x = (tokens: number) => left + (width * tokens) / most;
  const y = (fraction: number) => top + height * (1 - fraction);
  const parts = [text(left, 28, "Held-out accuracy (greedy)", { weight: 600, size: 14 })];
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(line(left, y(tick), left + width, y(tick), GRID));
    parts.push(text(left - 8, y(tick) + 4, `${100 * tick} %`, { anchor: "end" }));
  }
  for (const tick of ticks(most)) {
    parts.push(text(x(tick), top + height + 20, thousands(tick), { anchor: "middle" }));
  }
  parts.push(text(left + width / 2, top + height + 42, "sampled tokens", { anchor: "middle" }));
  for (const method of METHODS) {
    const some = records.filter((record) => record.method === method && record.curve.length > 0);
    for (const { curve, seed } of some) {
      const points = curve.map((point) => `${x(point.sampledTokens).toFixed(1)},${y(point.greedy).toFixed(1)}`);
      parts.push(
        `<polyline points="${points.join(" ")}" fill="none" stroke="${COLOURS[method]}" stroke-width="2" stroke-linejoin="round"><title>${method}, seed ${seed}</title></polyline>`,
      );
    }
  }
  parts.push(...legend(left, 52, METHODS));
  return parts;
}

function bars(records: readonly MethodRecord[]): string[] {
  const { left, top, width, height } = BARS;
  const before = new Map(records.map((record) => [record.seed, record.before]));
  const values = [
    { name: "warm-up" as const, value: meanMeasurement([...before.values()]).persistentFailures, each: [] as number[] },
    ...METHODS.flatMap((method) => {
      const some = records.filter((record) => record.method === method);
      if (some.length === 0) return [];
      const each = some.map((record) => record.persistentFailures);
      return [{ name: method, value: meanMeasurement(some).persistentFailures, each }];
    }),
  ];
  const most = Math.max(1, ...values.flatMap(({ value, each }) => [value, ...each]));
  const y = (value: number) => top + height * (1 - value / most);
  const slot = width / values.length;
  const parts = [
    text(left, 28, "Persistent failures", { weight: 600, size: 14 }),
    text(left, 50, "training questions, no right answer in 8 samples", {}),
    line(left, top + height, left + width, top + height, INK),
  ];
  for (const [index, { name, value, each }] of values.entries()) {
    const centre = left + slot * (index + 0.5);
    parts.push(
      `<rect x="${(centre - slot * 0.32).toFixed(1)}" y="${y(value).toFixed(1)}" width="${(slot * 0.64).toFixed(1)}" height="${(top + height - y(value)).toFixed(1)}" fill="${COLOURS[name]}" opacity="0.85"/>`,
      text(centre, y(Math.max(value, ...each)) - 8, String(Math.round(value)), { anchor: "middle", weight: 600 }),
      text(centre, top + height + 20, name, { anchor: "middle" }),
    );
    for (const one of each.length > 1 ? each : []) {
      parts.push(`<circle cx="${centre.toFixed(1)}" cy="${y(one).toFixed(1)}" r="3" fill="none" stroke="${INK}"/>`);
    }
  }
  if (records.length > METHODS.length) {
    parts.push(text(left, top + height + 42, "bars: mean; circles: each seed", {}));
  }
  return parts;
}

function legend(left: number, baseline: number, methods: readonly Method[]): string[] {
  return methods.flatMap((method, index) => {
    const start = left + index * 130;
    return [
      `<rect x="${start}" y="${baseline - 9}" width="18" height="4" fill="${COLOURS[method]}"/>`,
      text(start + 24, baseline - 3, method, {}),
    ];
  });
}

/** About five round numbers from 0 to `most`. */
function ticks(most: number): number[] {
  const rough = most / 5;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = magnitude * ([1, 2, 5, 10].find((factor) => factor * magnitude >= rough) ?? 10);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
}

function thousands(value: number): string {
  return value === 0 ? "0" : value >= 1000 ? `${value / 1000}k` : String(value);
}

interface TextStyle {
  readonly anchor?: "start" | "middle" | "end";
  readonly weight?: number;
  readonly size?: number;
}

function text(x: number, y: number, content: string, { anchor, weight, size }: TextStyle): string {
  const attributes = [
    `x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${INK}"`,
    ...(anchor === undefined ? [] : [`text-anchor="${anchor}"`]),
    ...(weight === undefined ? [] : [`font-weight="${weight}"`]),
    ...(size === undefined ? [] : [`font-size="${size}"`]),
  ];
  return `<text ${attributes.join(" ")}>${escapeMarkup(content)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, colour: string): string {
  return `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${colour}"/>`;
}

export function escapeMarkup(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
