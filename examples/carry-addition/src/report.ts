/** Writes what a person and a program read afterwards: summary.json, curves.svg, report.html. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { escapeMarkup, renderPlot } from "./plot.js";
import { type MethodRecord, verdict } from "./summary.js";
import { TABLE_HEADER, tableCells, tableRows } from "./table.js";

export interface ReportFiles {
  readonly summary: string;
  readonly plot: string;
  readonly page: string;
}

/**
 * Writes the three files into `directory` and returns their paths.
 * @param notes sentences shown under the table, for example of a warm-up that did not converge
 */
export async function writeReport(
  directory: string,
  records: readonly MethodRecord[],
  notes: readonly string[],
): Promise<ReportFiles> {
  const files: ReportFiles = {
    summary: join(directory, "summary.json"),
    plot: join(directory, "curves.svg"),
    page: join(directory, "report.html"),
  };
  await writeFile(files.summary, `${JSON.stringify(records, null, 2)}\n`);
  await writeFile(files.plot, renderPlot(records));
  await writeFile(files.page, renderPage(records, notes));
  return files;
}

/** One HTML file without scripts or references to other files. */
export function renderPage(records: readonly MethodRecord[], notes: readonly string[]): string {
  const row = (cells: readonly string[], tag: "td" | "th") =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeMarkup(cell)}</${tag}>`).join("")}</tr>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carry addition: Dr. GRPO and Critique-GRPO</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #d8dee4; }
  th:first-child, td:first-child { text-align: left; }
  svg { width: 100%; height: auto; }
</style>
<h1>Carry addition</h1>
<p>${escapeMarkup(verdict(records))}</p>
${renderPlot(records)}
<table>
<thead>${row(TABLE_HEADER, "th")}</thead>
<tbody>
${tableRows(records)
  .map((entry) => row(tableCells(entry), "td"))
  .join("\n")}
</tbody>
</table>
${notes.map((note) => `<p>${escapeMarkup(note)}</p>`).join("\n")}
<p>greedy, pass@1, pass@8: held-out questions. one carry: greedy accuracy on a kind of question that is never trained.
persistent: training questions without a right answer in 8 samples. Both methods start from the seed's warm-up model.</p>
</html>
`;
}
