/** What a refinement changed, word by word. */
import { diffWordsWithSpace } from "diff";
import { useMemo } from "preact/hooks";

/** Texts that differ in more are not worth comparing, and comparing them takes long. */
const MAX_EDITS = 4_000;

export function DiffText({ before, after }: { readonly before: string; readonly after: string }) {
  const changes = useMemo(() => diffWordsWithSpace(before, after, { maxEditLength: MAX_EDITS }), [before, after]);
  if (changes === undefined) return <span class="model-text">{after}</span>;
  return (
    <span class="model-text diff">
      {changes.map(({ value, added, removed }, i) => {
        if (added) return <ins key={i}>{value}</ins>;
        if (removed) return <del key={i}>{value}</del>;
        return value;
      })}
    </span>
  );
}
