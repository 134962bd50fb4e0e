import { equals } from "../evaluate/rational.js";
import { children, type Node } from "../parse/nodes.js";

/** Whether two nodes are written alike, up to spacing. Decides where nothing can be evaluated. */
export function sameStructure(a: Node, b: Node): boolean {
  if (a.kind !== b.kind) return false;
  switch (a.kind) {
    case "number":
      return b.kind === "number" && equals(a.value, b.value);
    case "symbol":
    case "constant":
    case "namedSet":
      return a.name === (b as typeof a).name;
    case "text":
      return b.kind === "text" && comparableText(a.value) === comparableText(b.value);
    case "call":
    case "apply":
      if (a.name !== (b as typeof a).name) return false;
      break;
    case "plusMinus":
      if (a.sign !== (b as typeof a).sign || (a.left === null) !== ((b as typeof a).left === null)) return false;
      break;
    case "series":
      if (a.operation !== (b as typeof a).operation || a.variable !== (b as typeof a).variable) return false;
      break;
    case "tuple":
      if (a.open !== (b as typeof a).open || a.close !== (b as typeof a).close) return false;
      break;
    case "matrix":
      if (a.rows.length !== (b as typeof a).rows.length) return false;
      break;
    case "relation":
      if (a.operators.join() !== (b as typeof a).operators.join()) return false;
      break;
    default:
      break;
  }
  const left = children(a);
  const right = children(b);
  return left.length === right.length && left.every((child, index) => sameStructure(child, right[index]!));
}

/** Text reduced to what a grader looks at: letters and digits, in lower case unless a single letter. */
export function comparableText(text: string): string {
  const plain = text.replace(/[^\p{L}\p{N}]+/gu, "");
  return plain.length > 1 ? plain.toLowerCase() : plain;
}
