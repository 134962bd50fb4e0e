import type { Family, FamilyName } from "../family.js";
import { carryAddition } from "./carry-addition.js";
import { operations } from "./operations.js";

export const families: Readonly<Record<FamilyName, Family>> = {
  "carry-addition": carryAddition,
  operations,
};
