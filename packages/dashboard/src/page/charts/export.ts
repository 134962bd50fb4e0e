/** Figures as files: the SVG that is on the screen, tables as CSV. */

/** What a drawing takes from the style sheet, and would lose without it. */
const STYLES = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "opacity",
  "font-family",
  "font-size",
  "text-anchor",
];

/** The drawing with its colours written into it and its legend on top, as it is in the theme that is shown. */
export function standaloneSvg(
  svg: SVGSVGElement,
  title: string,
  legend: readonly { label: string; colour: number }[],
): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [...svg.querySelectorAll<SVGElement>("*")];
  const copies = [...copy.querySelectorAll<SVGElement>("*")];
  originals.forEach((original, i) => {
    const style = getComputedStyle(original);
    for (const name of STYLES) copies[i]!.setAttribute(name, style.getPropertyValue(name));
    copies[i]!.removeAttribute("class");
  });
  for (const element of copy.querySelectorAll("[data-screen-only]")) element.remove();
  const page = getComputedStyle(document.documentElement);
  const { width, height } = svg.viewBox.baseVal;
  const head = 24;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 ${-head} ${width} ${height + head}`);
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height + head));
  const background = element("rect", {
    x: 0,
    y: -head,
    width,
    height: height + head,
    fill: page.getPropertyValue("--surface"),
  });
  copy.prepend(background);
  const font = { "font-family": "system-ui, sans-serif", "font-size": 11 };
  let x = 8 + 6.6 * title.length + 16;
  copy.append(
    element("text", { ...font, x: 8, y: -8, "font-weight": 600, fill: page.getPropertyValue("--text") }, title),
  );
  for (const { label, colour } of legend) {
    const fill = page.getPropertyValue(`--curve-${colour % 8}`);
    copy.append(element("rect", { x, y: -15, width: 8, height: 8, fill }));
    copy.append(element("text", { ...font, x: x + 12, y: -8, fill: page.getPropertyValue("--text") }, label));
    x += 12 + 6.2 * label.length + 14;
  }
  return new XMLSerializer().serializeToString(copy);
}

export type Cell = string | number | null;

/** Text that a spreadsheet would take for a formula gets an apostrophe: it may be a model's. */
export function csv(header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  return [header, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n");
}

export function save(name: string, type: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads it after this turn.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function fileName(...parts: readonly string[]): string {
  return parts.map((part) => part.replaceAll(/[^\w.]+/g, "-").replaceAll(/^-|-$/g, "")).join("-");
}

function csvCell(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  const text = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function element(name: string, attributes: Readonly<Record<string, string | number>>, text?: string): SVGElement {
  const created = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, String(value));
  if (text !== undefined) created.textContent = text;
  return created;
}
