export type * from "./config/schema.js";
