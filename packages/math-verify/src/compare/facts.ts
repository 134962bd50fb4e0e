import { children, type Node } from "../parse/nodes.js";

/** What an expression contains, gathered in one walk. */
export interface Facts {
  readonly symbols: Set<string>;
  /** Symbols that only make sense as whole numbers: n in n!, bounds of sums, (−1)^n. */
  readonly integers: Set<string>;
  hasPercent: boolean;
  hasDegrees: boolean;
  hasBareLog: boolean;
  hasImaginary: boolean;
  hasUnknownFunction: boolean;
  hasPlusMinus: boolean;
}

export function factsOf(node: Node): Facts {
  const facts: Facts = {
    symbols: new Set(),
    integers: new Set(),
    hasPercent: false,
    hasDegrees: false,
    hasBareLog: false,
    hasImaginary: false,
    hasUnknownFunction: false,
    hasPlusMinus: false,
  };
  collect(node, facts);
  return facts;
}

function collect(node: Node, facts: Facts): void {
  switch (node.kind) {
    case "number":
      return;
    case "symbol":
      facts.symbols.add(node.name);
      return;
    case "text":
      facts.symbols.add(`text ${node.value.toLowerCase()}`);
      return;
    case "constant":
      if (node.name === "i") facts.hasImaginary = true;
      return;
    case "percent":
      facts.hasPercent = true;
      break;
    case "degrees":
      facts.hasDegrees = true;
      break;
    case "plusMinus":
      facts.hasPlusMinus = true;
      break;
    case "apply":
      facts.hasUnknownFunction = true;
      if (node.name.endsWith("_")) node.args.forEach((index) => void addSymbols(index, facts.integers));
      break;
    case "call":
      if (node.name === "log") facts.hasBareLog = true;
      if (node.name === "factorial" || node.name === "binomial" || node.name === "gcd" || node.name === "lcm") {
        for (const argument of node.args) addSymbols(argument, facts.integers);
      }
      break;
    case "power":
      if (node.base.kind === "negate") addSymbols(node.exponent, facts.integers);
      break;
    case "series":
      if (node.operation === "sum" || node.operation === "product") {
        addSymbols(node.from, facts.integers);
        addSymbols(node.to, facts.integers);
      }
      break;
    default:
      break;
  }
  for (const child of children(node)) collect(child, facts);
}

function addSymbols(node: Node, into: Set<string>): void {
  if (node.kind === "symbol") into.add(node.name);
  for (const child of children(node)) addSymbols(child, into);
}
