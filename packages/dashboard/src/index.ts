/** The dashboard's page, and the JSON that its server answers with. Knows nothing of training. */
import { fileURLToPath } from "node:url";

export * from "./contract/critiques.js";
export * from "./contract/evaluations.js";
export * from "./contract/groups.js";
export * from "./contract/problems.js";
export * from "./contract/runs.js";

/** Directory of the built page (index.html and assets); `npm run build` makes it. */
export const pageDirectory: string = fileURLToPath(new URL("../dist/page", import.meta.url));
