import "katex/dist/katex.min.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/charts.css";
import "./style/groups.css";
import { render } from "preact";
import { App } from "./app.js";
import { applyTheme, storedTheme } from "./state/theme.js";

applyTheme(storedTheme());
render(<App />, document.getElementById("app")!);
