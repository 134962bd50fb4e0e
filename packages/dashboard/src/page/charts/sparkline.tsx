/** A curve the size of a word. */
export function Sparkline({ values, label }: { readonly values: readonly (number | null)[]; readonly label: string }) {
  const there = values.filter((value) => value !== null);
  if (there.length < 2) return <span class="muted">–</span>;
  const low = Math.min(...there);
  const span = Math.max(...there) - low || 1;
  const points = values
    .map((value, i) =>
      value === null
        ? null
        : `${((i / (values.length - 1)) * 96 + 2).toFixed(1)},${(20 - ((value - low) / span) * 16).toFixed(1)}`,
    )
    .filter((point) => point !== null);
  return (
    <svg class="sparkline" viewBox="0 0 100 24" width={100} height={24} role="img" aria-label={label}>
      <polyline points={points.join(" ")} />
    </svg>
  );
}
