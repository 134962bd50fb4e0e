/** For tests of the page in a browser. */
export * from "./browser.js";
export * from "./inspect.js";
