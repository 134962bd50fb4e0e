/** Finds one of given strings (choice letters, for instance) in a response, after Math-Verify's StringExtractionConfig. */
export function extractString(response: string, strings: readonly string[], withoutAnchor: boolean): string | null {
  const keys = `(${strings.map((key) => key.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`;
  const suffix = "(?:\\*\\*)?(?:[.,:\\s]|$)";
  const key = `(?:^|\\s)(?:\\*\\*)?${keys}${suffix}`;
  const patterns = [
    `[fF]inal [aA]nswer is:?\\s*${keys}\\.?\\s?I hope`,
    `[fF]inal [aA]nswer.{0,100}?\\s+is:?\\s*${keys}`,
    `[aA][nN][sS][wW][eE][rR]:.{0,50}?${key}`,
    `[aA][nN][sS][wW][eE][rR].{0,50}?${key}`,
    ...(withoutAnchor ? [`^(?:\\*\\*)?${keys}${suffix}`, key] : []),
  ];
  for (const pattern of patterns) {
    let last: string | null = null;
    for (const match of response.matchAll(new RegExp(pattern, "g"))) last = match[1]!;
    if (last !== null) return last;
  }
  return null;
}
