/** Light, dark, or what the system says; the style sheet knows the first two. */

export type Theme = "system" | "light" | "dark";
const KEY = "critique-grpo-theme";
export const THEMES: readonly Theme[] = ["system", "light", "dark"];

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
systemIsDark.addEventListener("change", () => show(storedTheme()));

export function storedTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === stored) ?? "system";
}

export function applyTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  show(theme);
}

function show(theme: Theme): void {
  const system = systemIsDark.matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme === "system" ? system : theme;
}
