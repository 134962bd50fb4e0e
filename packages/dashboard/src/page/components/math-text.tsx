/** A model's text with its formulas typeset. Text stays text: nothing of it is ever parsed as HTML. */
import katex from "katex";
import { memo } from "preact/compat";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { splitMath } from "./split-math.js";

/** A text with more is shown as it is. */
const MAX_FORMULAS = 500;

export const MathText = memo(function MathText({ text, raw }: { readonly text: string; readonly raw: boolean }) {
  const parts = useMemo(() => splitMath(text), [text]);
  const formulas = parts.reduce((count, { kind }) => count + (kind === "math" ? 1 : 0), 0);
  if (raw || formulas === 0 || formulas > MAX_FORMULAS) return <span class="model-text">{text}</span>;
  return (
    <span class="model-text">
      {parts.map((part, i) =>
        part.kind === "text" ? part.text : <Formula key={i} source={part.source} display={part.display} />,
      )}
    </span>
  );
});

function Formula({ source, display }: { readonly source: string; readonly display: boolean }) {
  const node = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const target = node.current!;
    try {
      // Into the node, element by element; `trust` off refuses links, images and raw HTML attributes.
      katex.render(source, target, {
        displayMode: display,
        throwOnError: true,
        trust: false,
        strict: "ignore",
        maxSize: 20,
        maxExpand: 200,
        output: "htmlAndMathml",
      });
    } catch {
      // No formula after all, or a broken one: as the model wrote it.
      target.textContent = display ? `\\[${source}\\]` : `$${source}$`;
    }
  }, [source, display]);
  return <span ref={node} class={display ? "formula display" : "formula"} />;
}
