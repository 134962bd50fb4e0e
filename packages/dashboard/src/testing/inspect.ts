/** What a test wants to know of a page from the inside. */
import type { Page } from "playwright-core";

export interface PageState {
  /** A script of a hostile text has left its mark. */
  readonly ran: boolean;
  readonly scripts: number;
  /** Elements that the page never makes. */
  readonly foreign: readonly string[];
  /** Links that lead away from the server. */
  readonly links: readonly string[];
  /** Elements with an event handler as an attribute. */
  readonly handlers: number;
  /** Of the page's ground, 0 to 255. */
  readonly lightness: number;
  readonly theme: string | null;
}

export function pageState(page: Page): Promise<PageState> {
  return page.evaluate(() => {
    const all = [...document.querySelectorAll("*")];
    const links = [...document.querySelectorAll<HTMLAnchorElement>("a[href]")].map(({ href }) => href);
    return {
      ran: "pwned" in globalThis,
      scripts: document.scripts.length,
      foreign: all
        .filter((element) => element.matches("img, iframe, object, embed, style, form, base, meta[http-equiv]"))
        .map(({ outerHTML }) => outerHTML),
      links: links.filter((href) => !href.startsWith(location.origin)),
      handlers: all.filter((element) => element.getAttributeNames().some((name) => name.startsWith("on"))).length,
      lightness: Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)?.[0]),
      theme: document.documentElement.dataset.theme ?? null,
    };
  });
}

/** Texts with less contrast than WCAG AA asks for (4.5 : 1). */
export function lowContrast(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const channels = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
    const linear = (channel = 0) =>
      channel / 255 <= 0.03928 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = ([red, green, blue]: number[]) =>
      0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    const background = (element: Element): number[] => {
      for (let at: Element | null = element; at !== null; at = at.parentElement) {
        const found = channels(getComputedStyle(at).backgroundColor);
        if ((found[3] ?? 1) > 0.99) return found;
      }
      return [255, 255, 255];
    };
    const low: string[] = [];
    for (const element of document.querySelectorAll("main *, header *")) {
      const text = [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE);
      if (!text.some(({ textContent }) => textContent?.trim())) continue;
      // What is greyed out on purpose may be faint.
      if (element.closest(":disabled, .left-out") !== null) continue;
      const a = luminance(channels(getComputedStyle(element).color));
      const b = luminance(background(element));
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) low.push(`${element.className}: ${element.textContent?.slice(0, 30)} ${ratio.toFixed(2)}`);
    }
    return low;
  });
}
