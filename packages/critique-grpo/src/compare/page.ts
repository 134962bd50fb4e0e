/** A comparison as one HTML file: table and figure, no script, no reference to other files. */
import { escapeMarkup } from "../figure/line-figure.js";

export interface ComparisonPage {
  readonly title: string;
  /** The first row is the header. */
  readonly table: readonly (readonly string[])[];
  /** An SVG document. */
  readonly figure: string;
  readonly notes: readonly string[];
}

export function renderComparisonPage({ title, table, figure, notes }: ComparisonPage): string {
  const row = (cells: readonly string[], tag: "td" | "th") =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeMarkup(cell)}</${tag}>`).join("")}</tr>`;
  const [header, ...rows] = table;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
  th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #d8dee4; white-space: nowrap; }
  th:first-child, td:first-child { text-align: left; }
  svg { width: 100%; height: auto; }
</style>
<h1>${escapeMarkup(title)}</h1>
<table>
<thead>${row(header ?? [], "th")}</thead>
<tbody>
${rows.map((cells) => row(cells, "td")).join("\n")}
</tbody>
</table>
${figure}${notes.map((note) => `<p>${escapeMarkup(note)}</p>`).join("\n")}
</html>
`;
}
