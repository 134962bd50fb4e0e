import type { Node, NodeOf } from "../parse/nodes.js";
import { canonical, expandSigns } from "./canonical.js";
import { factsOf } from "./facts.js";
import { sameRealSet } from "./membership.js";
import type { CompareOptions } from "./options.js";
import {
  canonicalRelation,
  equalRelations,
  isAssignment,
  isEquation,
  lastOperand,
  renameSymbols,
} from "./relations.js";
import { comparableText, sameStructure } from "./structure.js";
import { equalValues, stripQuantity } from "./values.js";
import { meaningOfPhrase } from "./words.js";

/** Whether a prediction says the same as the gold answer. Not symmetric: relations follow the gold's form. */
export function equalAnswers(gold: Node, prediction: Node, options: CompareOptions): boolean {
  const a = canonical(gold);
  const b = canonical(prediction);
  if (equal(a, b, options)) return true;
  return !options.strict && matchVariables(a, b, options);
}

/** Non-strict comparison: the prediction's variables take the gold's names, in every order. */
function matchVariables(gold: Node, prediction: Node, options: CompareOptions): boolean {
  const names = [...factsOf(gold).symbols];
  const others = [...factsOf(prediction).symbols];
  if (names.length === 0 || names.length !== others.length || names.length > 4) return false;
  const strict = { ...options, strict: true };
  return permutations(names).some((order) => {
    const renaming = new Map(others.map((name, index) => [name, order[index]!]));
    return equal(gold, renameSymbols(prediction, renaming), strict);
  });
}

function permutations(items: readonly string[]): string[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) =>
    permutations([...items.slice(0, index), ...items.slice(index + 1)]).map((rest) => [item, ...rest]),
  );
}

function equal(goldIn: Node, predictionIn: Node, options: CompareOptions): boolean {
  let gold = goldIn;
  let prediction = predictionIn;
  if (gold.kind === "relation" || prediction.kind === "relation") {
    const goldIsEquation = isEquation(gold);
    const predictionIsEquation = isEquation(prediction);
    // The prediction follows the form of the gold: x = 2 answers 2, and 2 answers x = 2.
    if (
      predictionIsEquation &&
      !goldIsEquation &&
      !isRelations(gold) &&
      !isNormalForm(prediction as NodeOf<"relation">)
    )
      return equal(gold, lastOperand(prediction as NodeOf<"relation">), options);
    const isMembership = goldIsEquation && (gold as NodeOf<"relation">).operators.includes("in");
    if (goldIsEquation && !predictionIsEquation && (isMembership || !isRelations(prediction)) && isAssignment(gold))
      return equal(lastOperand(gold), prediction, options);
  }
  gold = withoutWrapping(gold);
  prediction = withoutWrapping(prediction);
  if (isRelations(gold) && isRelations(prediction)) return compareRelations(gold, prediction, options);
  if (isRelations(gold))
    return !isAssignments(gold)
      ? isSetLike(prediction) && sameRealSet(gold, prediction)
      : compareCollections(gold, prediction, options);
  if (isRelations(prediction)) {
    if (isAssignments(prediction)) return compareCollections(gold, prediction, options);
    return options.allowSetRelationComparison && isSetLike(gold) && sameRealSet(gold, prediction);
  }
  if (isCollection(gold) || isCollection(prediction) || hasSigns(gold) || hasSigns(prediction))
    return compareCollections(gold, prediction, options);
  return compareSingle(gold, prediction, options);
}

/** `5x + 3y - 2 = 0` is an equation to be solved, not a way to state the value 0. */
function isNormalForm(node: NodeOf<"relation">): boolean {
  const [left] = node.operands;
  const right = lastOperand(node);
  return (
    left?.kind === "add" && right.kind === "number" && right.value.numerator === 0n && factsOf(left).symbols.size > 0
  );
}

/** A value alone in braces is that value. */
function withoutWrapping(node: Node): Node {
  if (node.kind === "set" && node.items.length === 1) return node.items[0]!;
  return node;
}

function hasSigns(node: Node): boolean {
  return node.kind !== "number" && node.kind !== "symbol" && factsOf(node).hasPlusMinus;
}

/** A relation, or a list of nothing but relations. */
function isRelations(node: Node): boolean {
  return (
    node.kind === "relation" ||
    (node.kind === "list" && node.items.length > 0 && node.items.every((item) => item.kind === "relation"))
  );
}

function isAssignments(node: Node): boolean {
  return node.kind === "list" && node.items.length > 0 && node.items.every(isAssignment);
}

function isCollection(node: Node): boolean {
  return (
    node.kind === "list" ||
    node.kind === "set" ||
    node.kind === "tuple" ||
    node.kind === "union" ||
    node.kind === "intersection" ||
    node.kind === "difference" ||
    node.kind === "namedSet" ||
    node.kind === "setBuilder"
  );
}

function isList(node: Node): boolean {
  return node.kind === "list" && node.items.length > 1;
}

function isSetLike(node: Node): boolean {
  return isCollection(node) || node.kind === "number";
}

function compareRelations(gold: Node, prediction: Node, options: CompareOptions): boolean {
  if (gold.kind === "relation" && prediction.kind === "relation") {
    return equalRelations(gold, prediction, (a, b) => equal(a, b, options));
  }
  if (gold.kind === "list" && prediction.kind === "list" && sameMembers(gold.items, prediction.items, options))
    return true;
  if (isAssignments(gold) || isAssignments(prediction)) return sameMembers(itemsOf(gold), itemsOf(prediction), options);
  return sameRealSet(gold, prediction);
}

function itemsOf(node: Node): readonly Node[] {
  if (node.kind === "list" || node.kind === "set" || node.kind === "tuple") return node.items;
  return [node];
}

/** Items of an unordered collection, with nested lists opened and ± written out. */
function members(node: Node): Node[] {
  return itemsOf(node).flatMap((item) => {
    if (item.kind === "list") return members(item);
    if (item.kind === "relation") return spreadAssignment(item);
    return item.kind === "tuple" || item.kind === "set" ? [item] : [...expandSigns(item)];
  });
}

/** x = ±2 is two assignments. */
function spreadAssignment(relation: NodeOf<"relation">): Node[] {
  if (!isAssignment(relation)) return [relation];
  return members(lastOperand(relation)).map(
    (value) => canonicalRelation({ ...relation, operands: [relation.operands[0]!, value] }) as Node,
  );
}

const MAX_MEMBERS = 200;

/** Equality as sets: every member of one has an equal in the other. */
function sameMembers(gold: readonly Node[], prediction: readonly Node[], options: CompareOptions): boolean {
  if (gold.length > MAX_MEMBERS || prediction.length > MAX_MEMBERS) return sameSequence(gold, prediction, options);
  if (gold.length === prediction.length && sameSequence(gold, prediction, options)) return true;
  const used = new Array<boolean>(prediction.length).fill(false);
  for (const member of gold) {
    let found = false;
    for (const [index, candidate] of prediction.entries()) {
      if (equal(member, candidate, options)) {
        used[index] = true;
        found = true;
      }
    }
    if (!found) return false;
  }
  return used.every(Boolean);
}

function sameSequence(gold: readonly Node[], prediction: readonly Node[], options: CompareOptions): boolean {
  return gold.length === prediction.length && gold.every((item, index) => equal(item, prediction[index]!, options));
}

function compareCollections(gold: Node, prediction: Node, options: CompareOptions): boolean {
  if (gold.kind === "tuple" && prediction.kind === "tuple") {
    if (compareTuples(gold, prediction, options)) return true;
    return (
      isInterval(gold) && isInterval(prediction) && gold.open + gold.close !== "()" && sameRealSet(gold, prediction)
    );
  }
  if (gold.kind === "matrix" || prediction.kind === "matrix") return compareVector(gold, prediction, options);
  if (isUnionLike(gold) || isUnionLike(prediction)) return compareUnions(gold, prediction, options);
  if (gold.kind === "tuple") return !isClosedPair(gold) && compareWithTuple(gold, prediction, options);
  if (prediction.kind === "tuple" && isClosedPair(prediction)) return false;
  if (prediction.kind === "tuple" && hasDistinctNames(gold))
    return sameSequence(itemsOf(gold), prediction.items, options);
  const goldMembers = members(gold);
  const predictionMembers = members(prediction);
  // Names of different things fix the order of bare values: AB = 4, CD = 5 is not 5, 4.
  if (hasDistinctNames(gold) && !predictionMembers.some((item) => item.kind === "relation")) {
    return sameSequence(goldMembers, predictionMembers, options);
  }
  const namesDiffer = hasDistinctNames(gold) || hasDistinctNames(prediction);
  const listAgainstOne = isList(gold) !== isList(prediction) && (!isCollection(gold) || !isCollection(prediction));
  if ((namesDiffer || listAgainstOne) && goldMembers.length !== predictionMembers.length) return false;
  if (goldMembers.length === 0 || predictionMembers.length === 0)
    return goldMembers.length === predictionMembers.length;
  return sameMembers(goldMembers, predictionMembers, options);
}

type Tuple = NodeOf<"tuple">;

function isInterval(node: Tuple): boolean {
  return node.items.length === 2;
}

/** [a, b], [a, b) and (a, b] can only be intervals. */
function isClosedPair(node: Tuple): boolean {
  return node.items.length === 2 && (node.open === "[" || node.close === "]");
}

function compareTuples(gold: Tuple, prediction: Tuple, options: CompareOptions): boolean {
  if (gold.items.length !== prediction.items.length) return false;
  if (gold.items.length === 2 && (gold.open !== prediction.open || gold.close !== prediction.close)) return false;
  if (sameSequence(gold.items, prediction.items, options)) return true;
  // A ± common to the coordinates stands for two points.
  const goldPoints = expandSigns(gold);
  const points = expandSigns(prediction);
  return (goldPoints.length > 1 || points.length > 1) && sameMembers(goldPoints, points, options);
}

/** A point as gold: the prediction's items count in their order; assignments also in order of their names. */
function compareWithTuple(gold: Tuple, prediction: Node, options: CompareOptions): boolean {
  const items = prediction.kind === "list" || prediction.kind === "set" ? prediction.items : [prediction];
  if (sameSequence(gold.items, items, options)) return true;
  const points = expandSigns(gold);
  if (points.length > 1) return sameMembers(points, members(prediction), options);
  if (!options.strict) return sameMembers(gold.items, items, options);
  if (!isAssignments(prediction)) return false;
  const ordered = [...items].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  return sameSequence(gold.items, ordered, options);
}

function nameOf(node: Node): string {
  const left = node.kind === "relation" ? node.operands[0]! : node;
  return left.kind === "apply" ? left.name : (textOf(left) ?? "");
}

function hasDistinctNames(node: Node): boolean {
  if (!isAssignments(node)) return false;
  // x_1 and x_2 are roots of one equation and may come in any order.
  const names = new Set(itemsOf(node).map((item) => nameOf(item).replace(/_.*$/, "")));
  return names.size === itemsOf(node).length;
}

function compareVector(gold: Node, prediction: Node, options: CompareOptions): boolean {
  const left = vectorItems(gold);
  const right = vectorItems(prediction);
  return left !== null && right !== null && sameSequence(left, right, options);
}

function vectorItems(node: Node): readonly Node[] | null {
  if (node.kind === "tuple") return node.open === "(" && node.close === ")" ? node.items : null;
  if (node.kind !== "matrix") return null;
  if (node.rows.length === 1) return node.rows[0]!;
  return node.rows.every((row) => row.length === 1) ? node.rows.map((row) => row[0]!) : null;
}

function isUnionLike(node: Node): boolean {
  return (
    node.kind === "union" ||
    node.kind === "intersection" ||
    node.kind === "difference" ||
    node.kind === "namedSet" ||
    node.kind === "setBuilder"
  );
}

function compareUnions(gold: Node, prediction: Node, options: CompareOptions): boolean {
  if (sameStructure(gold, prediction)) return true;
  if (gold.kind === "union" && prediction.kind === "union" && sameMembers(pieces(gold), pieces(prediction), options))
    return true;
  if (gold.kind === prediction.kind && (gold.kind === "difference" || gold.kind === "intersection")) {
    const other = prediction as typeof gold;
    if (equal(gold.left, other.left, options) && equal(gold.right, other.right, options)) return true;
  }
  return isSetLike(gold) && isSetLike(prediction) && sameRealSet(gold, prediction);
}

function pieces(node: Node): Node[] {
  return node.kind === "union" ? [...pieces(node.left), ...pieces(node.right)] : [node];
}

function compareSingle(gold: Node, prediction: Node, options: CompareOptions): boolean {
  if (gold.kind === "matrix" || prediction.kind === "matrix") return compareMatrices(gold, prediction, options);
  if (gold.kind === "ratio" && prediction.kind === "ratio") return compareRatios(gold, prediction, options);
  if (conflictingHalfDay(gold, prediction)) return false;
  const goldText = textOf(gold);
  const predictionText = textOf(prediction);
  if (goldText !== null && predictionText !== null) {
    if (isSingleWord(gold) || isSingleWord(prediction)) {
      if (comparableText(goldText) === comparableText(predictionText)) return true;
      const meaning = meaningOfPhrase(goldText) ?? gold;
      const other = meaningOfPhrase(predictionText) ?? prediction;
      return (
        (meaning !== gold || other !== prediction) &&
        meaning.kind === "number" &&
        other.kind === "number" &&
        equalValues(meaning, other, options)
      );
    }
  } else if (goldText !== null || predictionText !== null) {
    const meaning = goldText === null ? gold : meaningOfPhrase(goldText);
    const other = predictionText === null ? prediction : meaningOfPhrase(predictionText);
    if (meaning !== null && other !== null) return equalValues(meaning, other, options);
  }
  return equalValues(gold, prediction, options);
}

function isSingleWord(node: Node): boolean {
  return node.kind === "text" || node.kind === "symbol";
}

/** The letters an answer spells, when it is text or a product of letters ("E v e n"), else null. */
function textOf(node: Node): string | null {
  switch (node.kind) {
    case "text":
      return node.value;
    case "symbol":
      return node.name;
    case "constant":
      return node.name.length === 1 ? node.name : null;
    case "multiply": {
      let text = "";
      for (const factor of node.factors) {
        const part = textOf(factor);
        if (part === null) return null;
        text += part;
      }
      return text;
    }
    case "quantity":
      return stripQuantity(node).kind === "text" || textOf(node.value) === null
        ? null
        : `${textOf(node.value)}${node.unit}`;
    default:
      return null;
  }
}

/** 9 a.m. is not 9 p.m., though units are otherwise left out. */
function conflictingHalfDay(gold: Node, prediction: Node): boolean {
  const half = (node: Node): string | null =>
    node.kind === "quantity" ? (/^([ap])\.?\s*m\.?$/i.exec(node.unit)?.[1]?.toLowerCase() ?? null) : null;
  const a = half(gold);
  const b = half(prediction);
  return a !== null && b !== null && a !== b;
}

function compareMatrices(gold: Node, prediction: Node, options: CompareOptions): boolean {
  if (gold.kind !== "matrix" || prediction.kind !== "matrix") return compareVector(gold, prediction, options);
  if (gold.rows.length !== prediction.rows.length || gold.rows[0]!.length !== prediction.rows[0]!.length) return false;
  return gold.rows.every((row, i) => sameSequence(row, prediction.rows[i]!, options));
}

/** Ratios are equal in proportion; with a zero, or as times of day, part by part. */
function compareRatios(gold: NodeOf<"ratio">, prediction: NodeOf<"ratio">, options: CompareOptions): boolean {
  if (gold.parts.length !== prediction.parts.length) return false;
  if (sameSequence(gold.parts, prediction.parts, options)) return true;
  if (gold.clock || prediction.clock) return false;
  const [first, ...rest] = gold.parts;
  return rest.every((part, index) =>
    equalValues(
      { kind: "multiply", factors: [part, prediction.parts[0]!] },
      { kind: "multiply", factors: [first!, prediction.parts[index + 1]!] },
      options,
    ),
  );
}
