/** The embedded engine behind the Tinker routes and OpenAI-compatible ones. */
export { type RunningServer, type ServeOptions, startServer } from "./server.js";
