/** Curves over steps: crosshair, zoom by dragging or with the keyboard, export. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { formatNumber, formatPercent, formatSeconds } from "../state/format.js";
import type { ValueFormat } from "./catalog.js";
import { bandPath, type Curve, linePath, lonePoints, nearest, smoothed } from "./curve.js";
import { fileName, save, standaloneSvg } from "./export.js";
import { linearScale, paddedExtent, ticks } from "./scale.js";

const HEIGHT = 168;
const MARGIN = { left: 46, right: 10, top: 8, bottom: 22 };
/** A shorter drag was a click. */
const MIN_DRAG_PIXELS = 6;

export interface ChartProps {
  readonly title: string;
  readonly meaning: string;
  readonly format: ValueFormat;
  readonly minimum?: number | undefined;
  readonly curves: readonly Curve[];
  /** Steps that the axis spans. */
  readonly from: number;
  readonly to: number;
  /** 0 = none. */
  readonly smoothing: number;
  /** Step that all charts of a page point at. */
  readonly cursor: number | null;
  readonly onCursor: (step: number | null) => void;
  readonly onZoom: (range: readonly [number, number] | null) => void;
  /** Saves the numbers. */
  readonly onCsv: () => void;
}

export function formatValue(value: number | null | undefined, format: ValueFormat): string {
  switch (format) {
    case "number":
      return formatNumber(value);
    case "percent":
      return formatPercent(value);
    case "seconds":
      return formatSeconds(value);
    default:
      throw new RangeError(`Unknown format ${String(format satisfies never)}`);
  }
}

export function Chart(props: ChartProps) {
  const { title, meaning, format, minimum, curves, from, to, smoothing, cursor, onCursor, onZoom, onCsv } = props;
  const box = useRef<HTMLDivElement>(null);
  const svg = useRef<SVGSVGElement>(null);
  const width = useWidth(box);
  const [drag, setDrag] = useState<readonly [number, number] | null>(null);

  const drawn = useMemo(() => {
    const shown = curves.map((curve) => ({ ...curve, smooth: smoothed(curve.points, smoothing) }));
    const [low, high] = paddedExtent(extentOf(shown.map(({ smooth }) => smooth)), minimum);
    const x = linearScale(from, Math.max(to, from + 1), MARGIN.left, width - MARGIN.right);
    const y = linearScale(low, high, HEIGHT - MARGIN.bottom, MARGIN.top);
    return { shown, x, y };
  }, [curves, from, to, smoothing, minimum, width]);
  const { shown, x, y } = drawn;

  const stepAt = (event: PointerEvent) => {
    const left = event.clientX - svg.current!.getBoundingClientRect().left;
    const fraction = (left - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    return Math.round(from + Math.min(1, Math.max(0, fraction)) * (to - from));
  };
  const endDrag = (event: PointerEvent) => {
    if (drag === null) return;
    const end = stepAt(event);
    const pixels = Math.abs(x.at(end) - x.at(drag[0]));
    if (pixels >= MIN_DRAG_PIXELS) onZoom([Math.min(drag[0], end), Math.max(drag[0], end)]);
    setDrag(null);
  };
  const onKey = (event: KeyboardEvent) => {
    const stride = Math.max(1, Math.round((to - from) / 100)) * (event.shiftKey ? 10 : 1);
    const at = cursor ?? to;
    const moves: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => onCursor(Math.max(from, at - stride)),
      ArrowRight: () => onCursor(Math.min(to, at + stride)),
      Home: () => onCursor(from),
      End: () => onCursor(to),
      Escape: () => onZoom(null),
      "+": () => onZoom(around(at, from, to, 0.5)),
      "-": () => onZoom(null),
    };
    const move = moves[event.key];
    if (move === undefined) return;
    event.preventDefault();
    move();
  };
  const pointed = cursor === null ? null : shown.map(({ smooth }) => nearest(smooth, cursor));
  const pointedStep = pointed?.find((point) => point !== null)?.step ?? null;

  return (
    <figure class="chart" ref={box}>
      <figcaption>
        <span class="chart-title" title={meaning}>
          {title}
        </span>
        <span class="chart-tools">
          <button
            type="button"
            class="quiet"
            onClick={() => save(`${fileName(title)}.svg`, "image/svg+xml", standaloneSvg(svg.current!, title, curves))}
          >
            SVG
          </button>
          <button type="button" class="quiet" onClick={onCsv}>
            CSV
          </button>
        </span>
      </figcaption>
      <p class="chart-legend">
        {shown.map(({ label, colour, smooth }, i) => (
          <span key={label}>
            <i class={`swatch curve-${colour % 8}`} />
            {label} <b>{formatValue((pointed?.[i] ?? nearest(smooth, to))?.value, format)}</b>
          </span>
        ))}
        {pointedStep !== null && <span class="muted">step {pointedStep.toLocaleString("en-US")}</span>}
      </p>
      <svg
        ref={svg}
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard moves the crosshair and zooms
        tabIndex={0}
        aria-label={`${title}. ${meaning}`}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        width={width}
        height={HEIGHT}
        onPointerMove={(event) => {
          onCursor(stepAt(event));
          if (drag !== null) setDrag([drag[0], stepAt(event)]);
        }}
        onPointerLeave={() => {
          onCursor(null);
          setDrag(null);
        }}
        onPointerDown={(event) => event.button === 0 && setDrag([stepAt(event), stepAt(event)])}
        onPointerUp={endDrag}
        onDblClick={() => onZoom(null)}
        onKeyDown={onKey}
      >
        {ticks(y.from, y.to, 4).map((value) => (
          <g key={value}>
            <line class="grid" x1={MARGIN.left} x2={width - MARGIN.right} y1={y.at(value)} y2={y.at(value)} />
            <text class="tick end" x={MARGIN.left - 6} y={y.at(value) + 3.5}>
              {format === "percent" ? `${Number((100 * value).toPrecision(3))} %` : formatValue(value, format)}
            </text>
          </g>
        ))}
        {ticks(from, Math.max(to, from + 1), Math.max(2, width / 90))
          .filter(Number.isInteger)
          .map((value) => (
            <text key={value} class="tick middle" x={x.at(value)} y={HEIGHT - 6}>
              {value.toLocaleString("en-US")}
            </text>
          ))}
        {smoothing === 0 &&
          shown.map(({ label, colour, points }) => (
            <path key={label} class={`band curve-${colour % 8}`} d={bandPath(points, x, y)} />
          ))}
        {smoothing > 0 &&
          shown.map(({ label, colour, points }) => (
            <path key={label} class={`line faint curve-${colour % 8}`} d={linePath(points, x, clamped(y))} />
          ))}
        {shown.map(({ label, colour, smooth }) => (
          <g key={label}>
            <path class={`line curve-${colour % 8}`} d={linePath(smooth, x, y)} />
            {lonePoints(smooth).map(({ step, value }) => (
              <circle key={step} class={`dot curve-${colour % 8}`} cx={x.at(step)} cy={y.at(value!)} r={2.5} />
            ))}
          </g>
        ))}
        {drag !== null && (
          <rect
            data-screen-only
            class="brush"
            x={Math.min(x.at(drag[0]), x.at(drag[1]))}
            width={Math.abs(x.at(drag[0]) - x.at(drag[1]))}
            y={MARGIN.top}
            height={HEIGHT - MARGIN.top - MARGIN.bottom}
          />
        )}
        {pointedStep !== null && (
          <g data-screen-only>
            <line
              class="cursor"
              x1={x.at(pointedStep)}
              x2={x.at(pointedStep)}
              y1={MARGIN.top}
              y2={HEIGHT - MARGIN.bottom}
            />
            {pointed?.map(
              (point, i) =>
                point !== null && (
                  <circle
                    key={shown[i]!.label}
                    class={`dot curve-${shown[i]!.colour % 8}`}
                    cx={x.at(point.step)}
                    cy={y.at(point.value!)}
                    r={3.5}
                  />
                ),
            )}
          </g>
        )}
      </svg>
    </figure>
  );
}

function* extentOf(curves: readonly Curve["points"][]): Generator<number> {
  for (const points of curves) for (const { value } of points) if (value !== null) yield value;
}

/** Raw values may leave the axis that the smoothed ones span. */
function clamped(scale: ReturnType<typeof linearScale>) {
  return { ...scale, at: (value: number) => scale.at(Math.min(scale.to, Math.max(scale.from, value))) };
}

function around(at: number, from: number, to: number, factor: number): readonly [number, number] {
  const half = Math.max(1, Math.round(((to - from) * factor) / 2));
  return [Math.max(from, at - half), Math.min(to, at + half)];
}

function useWidth(box: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(420);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(200, Math.floor(entry!.contentRect.width))));
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, [box]);
  return width;
}
