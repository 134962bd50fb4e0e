#!/usr/bin/env node
/** One task in a process of its own: `worker.js ground <family> <seed> <root>` or `worker.js cell <name> <root> <results>`. */
import { cellName, parseCellName, resultFile } from "./cell.js";
import { families } from "./families/index.js";
import type { FamilyName } from "./family.js";
import { writeJson } from "./json-file.js";
import { runCell } from "./run-cell.js";
import { prepareGround } from "./seed-ground.js";

const [task, ...parameters] = process.argv.slice(2);
switch (task) {
  case "ground": {
    const [family, seed, root] = parameters;
    await prepareGround(root!, families[family as FamilyName], Number(seed));
    break;
  }
  case "cell": {
    const [name, root, results] = parameters;
    const cell = parseCellName(name!);
    const ground = await prepareGround(root!, cell.family, cell.seed);
    if (!ground.gate.passed) throw new Error(`${cellName(cell)}: the warm-up has not converged; the seed is left out`);
    await writeJson(resultFile(results!, cell), await runCell(cell, ground, root!));
    break;
  }
  default:
    throw new Error(`unknown task "${task}"; this file is started by study.js`);
}
