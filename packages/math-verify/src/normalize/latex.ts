const UNICODE: Readonly<Record<string, string>> = {
  "−": "-",
  "–": "-",
  "—": "-",
  "‐": "-",
  "‑": "-",
  "﹣": "-",
  "－": "-",
  "×": "\\times ",
  "✕": "\\times ",
  "÷": "/",
  "·": "\\cdot ",
  "⋅": "\\cdot ",
  "∙": "\\cdot ",
  "∗": "*",
  "∕": "/",
  "⁄": "/",
  "≤": "<=",
  "⩽": "<=",
  "≦": "<=",
  "≥": ">=",
  "⩾": ">=",
  "≧": ">=",
  "≠": "!=",
  "≈": "\\approx ",
  "≃": "\\approx ",
  "≅": "\\approx ",
  "＝": "=",
  "＋": "+",
  "（": "(",
  "）": ")",
  "，": ",",
  "：": ":",
  "％": "\\%",
  "．": ".",
  "∞": "\\infty ",
  π: "\\pi ",
  "√": "\\sqrt ",
  "°": "^\\circ ",
  º: "^\\circ ",
  "±": "\\pm ",
  "∓": "\\mp ",
  "∪": "\\cup ",
  "∩": "\\cap ",
  "∈": "\\in ",
  "∉": "\\notin ",
  "∅": "\\emptyset ",
  "∖": "\\setminus ",
  ℝ: "\\mathbb{R}",
  ℤ: "\\mathbb{Z}",
  ℕ: "\\mathbb{N}",
  ℚ: "\\mathbb{Q}",
  ℂ: "\\mathbb{C}",
  "′": "'",
  "’": "'",
  "″": "''",
  "…": "\\ldots ",
  "⟨": "\\langle ",
  "⟩": "\\rangle ",
  "⌊": "\\lfloor ",
  "⌋": "\\rfloor ",
  "⌈": "\\lceil ",
  "⌉": "\\rceil ",
  "½": "\\frac{1}{2}",
  "⅓": "\\frac{1}{3}",
  "⅔": "\\frac{2}{3}",
  "¼": "\\frac{1}{4}",
  "¾": "\\frac{3}{4}",
  "⅕": "\\frac{1}{5}",
  "⅛": "\\frac{1}{8}",
  "∑": "\\sum ",
  "∏": "\\prod ",
  "∫": "\\int ",
  "∠": "\\angle ",
  "△": "\\triangle ",
  "⇒": "\\Rightarrow ",
  "→": "\\to ",
  α: "\\alpha ",
  β: "\\beta ",
  γ: "\\gamma ",
  δ: "\\delta ",
  ε: "\\epsilon ",
  ζ: "\\zeta ",
  η: "\\eta ",
  θ: "\\theta ",
  κ: "\\kappa ",
  λ: "\\lambda ",
  μ: "\\mu ",
  µ: "\\mu ",
  ν: "\\nu ",
  ξ: "\\xi ",
  ρ: "\\rho ",
  σ: "\\sigma ",
  τ: "\\tau ",
  φ: "\\phi ",
  ϕ: "\\phi ",
  χ: "\\chi ",
  ψ: "\\psi ",
  ω: "\\omega ",
  Γ: "\\Gamma ",
  Δ: "\\Delta ",
  Ω: "\\Omega ",
  Φ: "\\Phi ",
  ℓ: "\\ell ",
  ħ: "\\hbar ",
};

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";
const NOT_ASCII = /[^\t\n\r -~]/;
const SCRIPT_RUN = /[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[₀₁₂₃₄₅₆₇₈₉]+/gu;
const ANY_NOT_ASCII = /[^\t\n\r -~]/gu;

function asciiScripts(run: string): string {
  const first = run.codePointAt(0)!;
  const isSubscript = first >= 0x2080 && first <= 0x2089;
  let digits = "";
  for (const character of run) {
    if (character === "⁻") digits += "-";
    else if (character !== "⁺") digits += (isSubscript ? SUBSCRIPTS : SUPERSCRIPTS).indexOf(character);
  }
  return `${isSubscript ? "_" : "^"}{${digits}}`;
}

/**
 * Rewrites typographic characters to LaTeX or ASCII and drops control and zero-width characters.
 * Linear in the length of the text.
 */
export function toAscii(text: string): string {
  if (!NOT_ASCII.test(text)) return text;
  return text
    .replace(SCRIPT_RUN, asciiScripts)
    .replace(
      ANY_NOT_ASCII,
      (character) =>
        UNICODE[character] ?? (/\s/u.test(character) ? " " : /[\p{L}\p{Sc}]/u.test(character) ? character : ""),
    );
}

const DOUBLED_ENVIRONMENT = /\\\\begin\s*\{/;
const DOUBLED_COMMAND = /\\\\(?=[a-zA-Z([{}\])%$])/g;

/**
 * Repairs LaTeX whose backslashes were escaped twice (`\\frac` for `\frac`). Inside an environment
 * `\\` ends a row, so there the repair happens only when the environment itself is doubled.
 */
export function repairDoubledBackslashes(text: string): string {
  if (!text.includes("\\\\")) return text;
  if (DOUBLED_ENVIRONMENT.test(text)) return text.replaceAll("\\\\", "\\");
  return text.includes("\\begin") ? text : text.replace(DOUBLED_COMMAND, "\\");
}

/** Text of an answer prepared for the parser. */
export function normalizeLatex(text: string): string {
  return repairDoubledBackslashes(toAscii(text)).trim();
}

/** A form in which two spellings of the same unparsable answer coincide: no spaces, sizes or dollars. */
export function normalizedText(text: string): string {
  return normalizeLatex(text)
    .replace(
      /\\(?:left|right|[bB]igg?[lrm]?|displaystyle|limits)(?![a-zA-Z])|\\[,;:! ]|\\q?quad(?![a-zA-Z])|~|\$|\s+/g,
      "",
    )
    .replace(/\\[dtc]frac(?![a-zA-Z])/g, "\\frac")
    .replace(/[.,;]+$/, "");
}
