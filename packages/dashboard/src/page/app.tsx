/** The frame: where one is, the theme, the help, and the view that the address names. */
import { useEffect, useState } from "preact/hooks";
import { Help } from "./components/help.js";
import { Compare } from "./pages/compare.js";
import { Critiques } from "./pages/critiques.js";
import { Evaluations } from "./pages/evaluations.js";
import { Groups } from "./pages/groups.js";
import { Overview } from "./pages/overview.js";
import { ProblemPage } from "./pages/problem.js";
import { Problems } from "./pages/problems.js";
import { RunList } from "./pages/runs.js";
import { Live, useLiveState } from "./state/data.js";
import { useKeys } from "./state/keys.js";
import { href, type Route, useRoute } from "./state/route.js";
import { applyTheme, storedTheme, THEMES } from "./state/theme.js";

const VIEWS = [
  { name: "overview", label: "Overview" },
  { name: "groups", label: "Groups" },
  { name: "problems", label: "Problems" },
  { name: "critiques", label: "Critiques" },
  { name: "evaluations", label: "Evaluations" },
] as const;

export function App() {
  const route = useRoute();
  const live = useLiveState();
  const [help, setHelp] = useState(false);
  useKeys({ "?": () => setHelp(true) });
  const [first, run, view = "overview"] = route.parts;
  const runId = first === "run" && run !== undefined ? run : null;
  useEffect(() => {
    document.title = runId === null ? "critique-grpo" : `${runId} · critique-grpo`;
  }, [runId]);
  return (
    <Live.Provider value={live}>
      <header class="top">
        <a class="brand" href={href([])}>
          critique-grpo
        </a>
        {runId !== null && (
          <nav aria-label="Views of the run">
            <span class="run-name" title={runId}>
              {runId}
            </span>
            {VIEWS.map(({ name, label }) => (
              <a key={name} href={href(["run", runId, name])} aria-current={isView(view, name) ? "page" : undefined}>
                {label}
              </a>
            ))}
            <a href={href(["compare"], { run: [runId] })}>Compare</a>
          </nav>
        )}
        <span class="spacer" />
        <span
          class={live.connected ? "live on" : "live"}
          title={live.connected ? "Live: changes on disk appear by themselves" : "The server does not answer"}
        >
          <i />
          {live.connected ? "live" : "offline"}
        </span>
        <ThemeButton />
        <button type="button" class="quiet" onClick={() => setHelp(true)} aria-label="Keyboard and help">
          ?
        </button>
      </header>
      <main>
        <View route={route} />
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
    </Live.Provider>
  );
}

function View({ route }: { readonly route: Route }) {
  const [first, runId, view = "overview", question] = route.parts;
  if (first === "compare")
    return <Compare key={route.parameters.getAll("run").join("\n")} runIds={route.parameters.getAll("run")} />;
  if (first !== "run" || runId === undefined) return <RunList />;
  switch (view) {
    case "groups":
      return <Groups key={runId} runId={runId} parameters={route.parameters} />;
    case "problems":
      return <Problems key={runId} runId={runId} parameters={route.parameters} />;
    case "problem":
      return <ProblemPage key={`${runId}\n${question}`} runId={runId} questionId={question ?? ""} />;
    case "critiques":
      return <Critiques key={runId} runId={runId} />;
    case "evaluations":
      return <Evaluations key={runId} runId={runId} />;
    default:
      return <Overview key={runId} runId={runId} />;
  }
}

function isView(view: string, name: string): boolean {
  return view === name || (view === "problem" && name === "problems");
}

function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  return (
    <button
      type="button"
      class="quiet theme"
      onClick={() => {
        applyTheme(next);
        setTheme(next);
      }}
      title={`Theme: ${theme}`}
    >
      {theme === "system" ? "◐ auto" : theme === "light" ? "○ light" : "● dark"}
    </button>
  );
}
