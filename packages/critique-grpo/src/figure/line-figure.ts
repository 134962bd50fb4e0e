/** Lines with bands in one self-contained SVG: no library, no script, no reference to another file. */
import { niceTicks } from "./ticks.js";

export interface FigurePoint {
  readonly x: number;
  readonly y: number;
  /** Bounds of the band around the line; absent: no band here. */
  readonly low?: number;
  readonly high?: number;
}

export interface FigureLine {
  /** Lines of the same label have the same colour in every panel. */
  readonly label: string;
  readonly points: readonly FigurePoint[];
}

export interface FigurePanel {
  readonly title: string;
  readonly xTitle: string;
  readonly lines: readonly FigureLine[];
  /** The y axis is in per cent: values are fractions. */
  readonly percent?: boolean;
}

export interface FigureOptions {
  /** For those who do not see it. */
  readonly description: string;
  readonly columns?: number;
}

/** Distinguishable with the common kinds of colour blindness (Okabe and Ito, without yellow), then repeated with dashes. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6b6f76"] as const;
const DASHES = ["", "6 3", "2 3"] as const;
const INK = "#24292f";
const GRID = "#d8dee4";
const PANEL = { width: 420, height: 250, left: 52, right: 14, top: 34, bottom: 42 } as const;
const LEGEND_LINE = 18;
const LEGEND_COLUMN = 210;

/** One panel a figure, in rows of `columns` (default 2), with one legend for all below. @throws RangeError without panels. */
export function renderLineFigure(panels: readonly FigurePanel[], options: FigureOptions): string {
  if (panels.length === 0) throw new RangeError("a figure needs at least one panel");
  const columns = Math.min(options.columns ?? 2, panels.length);
  const labels = [...new Set(panels.flatMap((panel) => panel.lines.map((line) => line.label)))];
  const width = columns * PANEL.width;
  const legendTop = Math.ceil(panels.length / columns) * PANEL.height + 8;
  const perRow = Math.max(1, Math.floor(width / LEGEND_COLUMN));
  const height = legendTop + Math.ceil(labels.length / perRow) * LEGEND_LINE + 8;
  const body = panels.flatMap((panel, index) => {
    const [x, y] = [(index % columns) * PANEL.width, Math.floor(index / columns) * PANEL.height];
    return [`<g transform="translate(${x} ${y})">`, ...renderPanel(panel, labels), "</g>"];
  });
  const legend = labels.flatMap((label, index) => {
    const x = (index % perRow) * LEGEND_COLUMN + PANEL.left;
    const y = legendTop + Math.floor(index / perRow) * LEGEND_LINE + 8;
    return [
      `<line x1="${x}" y1="${y}" x2="${x + 22}" y2="${y}" ${stroke(labels, label)}/>`,
      text(x + 28, y + 4, label, "start"),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="${escapeMarkup(options.description)}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...body,
    ...legend,
    "</svg>",
    "",
  ].join("\n");
}

function renderPanel({ title, xTitle, lines, percent }: FigurePanel, labels: readonly string[]): string[] {
  const points = lines.flatMap((line) => line.points).filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  const parts = [`<text x="${PANEL.left}" y="20" fill="${INK}" font-weight="600">${escapeMarkup(title)}</text>`];
  if (points.length === 0) return [...parts, text(PANEL.left, 60, "no values", "start")];
  const xTicks = niceTicks(
    points.map(({ x }) => x),
    4,
  );
  const yTicks = niceTicks(
    points.flatMap(({ y, low, high }) => [y, ...finite(low), ...finite(high)]),
    4,
  );
  const scale = (ticks: readonly number[], from: number, to: number) => (value: number) =>
    from + ((value - ticks[0]!) / (ticks.at(-1)! - ticks[0]!)) * (to - from);
  const x = scale(xTicks, PANEL.left, PANEL.width - PANEL.right);
  const y = scale(yTicks, PANEL.height - PANEL.bottom, PANEL.top);
  for (const tick of yTicks) {
    const at = y(tick).toFixed(1);
    parts.push(
      `<line x1="${PANEL.left}" y1="${at}" x2="${PANEL.width - PANEL.right}" y2="${at}" stroke="${GRID}"/>`,
      text(PANEL.left - 6, y(tick) + 4, percent ? `${short(100 * tick)} %` : short(tick), "end"),
    );
  }
  for (const tick of xTicks) parts.push(text(x(tick), PANEL.height - PANEL.bottom + 16, short(tick), "middle"));
  const centre = (PANEL.left + PANEL.width - PANEL.right) / 2;
  parts.push(text(centre, PANEL.height - PANEL.bottom + 32, xTitle, "middle"));
  const at = (px: number, py: number) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`;
  for (const { label, points } of lines) {
    const shown = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
    const banded = shown.filter(({ low, high }) => finite(low).length === 1 && finite(high).length === 1);
    if (banded.length > 1) {
      const outline = [
        ...banded.map((point) => at(point.x, point.high!)),
        ...banded.map((point) => at(point.x, point.low!)).reverse(),
      ];
      parts.push(`<polygon points="${outline.join(" ")}" fill="${colour(labels, label)}" opacity="0.14"/>`);
    }
    parts.push(
      shown.length === 1
        ? `<circle cx="${x(shown[0]!.x).toFixed(1)}" cy="${y(shown[0]!.y).toFixed(1)}" r="3" fill="${colour(labels, label)}"/>`
        : `<polyline points="${shown.map((point) => at(point.x, point.y)).join(" ")}" fill="none" ${stroke(labels, label)} stroke-linejoin="round"><title>${escapeMarkup(label)}</title></polyline>`,
    );
  }
  return parts;
}

function colour(labels: readonly string[], label: string): string {
  return COLOURS[labels.indexOf(label) % COLOURS.length]!;
}

function stroke(labels: readonly string[], label: string): string {
  const dash = DASHES[Math.floor(labels.indexOf(label) / COLOURS.length) % DASHES.length]!;
  return `stroke="${colour(labels, label)}" stroke-width="1.8"${dash === "" ? "" : ` stroke-dasharray="${dash}"`}`;
}

/** The value as a list of one, or of none if it is no finite number. */
function finite(value: number | undefined): number[] {
  return value !== undefined && Number.isFinite(value) ? [value] : [];
}

/** 12000 as 12k; otherwise as short as its digits allow. */
function short(value: number): string {
  const rounded = Number(value.toPrecision(6));
  if (Math.abs(rounded) >= 1e6) return `${Number((rounded / 1e6).toPrecision(4))}M`;
  return Math.abs(rounded) >= 1000 ? `${Number((rounded / 1000).toPrecision(4))}k` : String(rounded);
}

function text(x: number, y: number, content: string, anchor: "start" | "middle" | "end"): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${INK}" text-anchor="${anchor}">${escapeMarkup(content)}</text>`;
}

export function escapeMarkup(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
