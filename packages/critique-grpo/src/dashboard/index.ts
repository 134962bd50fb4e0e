/** The web page over run directories. */
export { type DashboardOptions, type RunningDashboard, startDashboard } from "./server/server.js";
