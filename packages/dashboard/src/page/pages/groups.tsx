/** The groups of a step, or of the whole run: a list to filter and search, and one group beside it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { GROUP_FLAGS, type GroupFlag, type GroupPage, type GroupSummary } from "../../contract/groups.js";
import type { RunOverview } from "../../contract/runs.js";
import { FLAG_TEXTS, IndexNotice, Problem, shownFlags } from "../components/state.js";
import { apiPath, fetchJson, useJson, useRevision } from "../state/data.js";
import { useKeys } from "../state/keys.js";
import { go, href, type Parameters } from "../state/route.js";
import { GroupView } from "./group.js";

const PAGE = 50;
const INDEXING_MS = 700;
const TYPING_MS = 250;
/** Keys 1 to 5, in the order of the chips. */
const KEY_FLAGS: readonly GroupFlag[] = ["fixed", "broken", "all-wrong", "truncated", "critic-failed"];

export function Groups({ runId, parameters }: { readonly runId: string; readonly parameters: URLSearchParams }) {
  const revision = useRevision(runId);
  const run = useJson<RunOverview>(apiPath(["runs", runId, "overview"]), revision).data;
  const wholeRun = parameters.get("step") === "all";
  const newest = run?.rolloutSteps?.last ?? null;
  const step = wholeRun ? null : parameters.has("step") ? Number(parameters.get("step")) : newest;
  const flags = GROUP_FLAGS.filter((flag) => parameters.getAll("flag").includes(flag));
  const text = parameters.get("text") ?? "";
  const selected = { step: step ?? numberOf(parameters.get("in")), line: numberOf(parameters.get("line")) };
  const show = (change: Parameters) =>
    go(
      href(["run", runId, "groups"], {
        ...{ step: wholeRun ? "all" : step, in: parameters.get("in"), line: parameters.get("line"), flag: flags, text },
        ...change,
      }),
      { replace: true },
    );
  const list = useGroupList(runId, step, flags, text, wholeRun ? revision : 0, wholeRun || step !== null);
  const groups = list.page?.groups ?? [];
  const position = groups.findIndex((group) => isSelected(group, selected));
  const open = (group: GroupSummary | undefined) => {
    if (group !== undefined) show({ in: wholeRun ? group.step : null, line: group.line });
  };
  // Nothing is selected yet: the first of the list is what a reader wants to see.
  const first = groups[0];
  const nothingSelected = selected.line === null;
  useEffect(() => {
    if (nothingSelected) open(first);
  }, [nothingSelected, first]);
  const moveStep = (by: number) => {
    const { first: oldest, last } = run?.rolloutSteps ?? { first: 1, last: 1 };
    if (step !== null) show({ step: Math.min(last, Math.max(oldest, step + by)), line: null, in: null });
  };
  const toggle = (flag: GroupFlag) =>
    show({
      flag: flags.includes(flag) ? flags.filter((other) => other !== flag) : [...flags, flag],
      line: null,
      in: null,
    });
  const search = useRef<HTMLInputElement>(null);
  useKeys({
    j: () => open(groups[position + 1] ?? groups.at(-1)),
    k: () => open(groups[Math.max(0, position - 1)]),
    "]": () => moveStep(1),
    "[": () => moveStep(-1),
    "/": () => search.current?.focus(),
    "0": () => show({ flag: [], line: null, in: null }),
    ...Object.fromEntries(KEY_FLAGS.map((flag, i) => [String(i + 1), () => toggle(flag)])),
  });
  return (
    <section class="groups">
      <aside aria-label="Groups">
        <div class="group-tools">
          <StepChooser
            step={step}
            wholeRun={wholeRun}
            run={run}
            onStep={(to) => show({ step: to, line: null, in: null })}
          />
          <Search inputRef={search} text={text} onText={(to) => show({ text: to, line: null, in: null })} />
          {list.page !== null && (
            <div class="filters" role="toolbar" aria-label="Filter">
              {shownFlags(list.page.counts).map((flag) => {
                const key = KEY_FLAGS.indexOf(flag) + 1;
                return (
                  <button
                    key={flag}
                    type="button"
                    class="chip"
                    aria-pressed={flags.includes(flag)}
                    title={`${FLAG_TEXTS[flag].help}${key > 0 ? ` (key ${key})` : ""}`}
                    onClick={() => toggle(flag)}
                  >
                    {FLAG_TEXTS[flag].label} <b>{list.page!.counts[flag].toLocaleString("en-US")}</b>
                  </button>
                );
              })}
            </div>
          )}
        </div>
        {list.error !== null && <Problem text={list.error} />}
        {wholeRun && list.page !== null && <IndexNotice index={list.page.index} />}
        <GroupList list={list} selected={selected} onOpen={open} hasText={text !== ""} />
      </aside>
      <div class="group-detail">
        {run !== null && run.rolloutSteps === null ? (
          <p class="muted padded">This run has no rollouts{run.task === "sft" ? ": it is supervised." : " yet."}</p>
        ) : selected.step !== null && selected.line !== null ? (
          <GroupView
            key={`${selected.step} ${selected.line}`}
            runId={runId}
            step={selected.step}
            line={selected.line}
          />
        ) : (
          <p class="muted padded">{list.page === null ? "Loading …" : "No group fits."}</p>
        )}
      </div>
    </section>
  );
}

interface GroupListState {
  readonly page: GroupPage | null;
  readonly error: string | null;
  readonly loadMore: (() => void) | null;
}

/** The list, page after page. */
function useGroupList(
  runId: string,
  step: number | null,
  flags: readonly GroupFlag[],
  text: string,
  revision: number,
  ready: boolean,
): GroupListState {
  const query = { step, flag: flags, text, limit: PAGE };
  const path = ready ? apiPath(["runs", runId, "groups"], query) : null;
  const [state, setState] = useState<{ path: string | null; page: GroupPage | null; error: string | null }>({
    path: null,
    page: null,
    error: null,
  });
  const [poll, setPoll] = useState(0);
  // A list that has been scrolled is not pulled away from under the reader.
  const scrolled = useRef(false);
  useEffect(() => {
    if (path === null || (scrolled.current && state.path === path)) return;
    scrolled.current = false;
    const abort = new AbortController();
    let timer = 0;
    fetchJson<GroupPage>(path, abort.signal).then(
      (page) => {
        setState({ path, page, error: null });
        if (step === null && !page.index.done)
          timer = window.setTimeout(() => setPoll((count) => count + 1), INDEXING_MS);
      },
      (error: Error) => {
        if (!abort.signal.aborted) setState({ path, page: null, error: error.message });
      },
    );
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, revision, poll]);
  const next = state.path === path ? (state.page?.next ?? null) : null;
  const loading = useRef(false);
  const loadMore = () => {
    if (loading.current || path === null) return;
    loading.current = true;
    scrolled.current = true;
    fetchJson<GroupPage>(apiPath(["runs", runId, "groups"], { ...query, cursor: next }))
      .then(
        (page) =>
          setState((before) =>
            before.path === path && before.page?.next === next
              ? { ...before, page: { ...page, groups: [...before.page.groups, ...page.groups] } }
              : before,
          ),
        (error: Error) => setState((before) => ({ ...before, error: error.message })),
      )
      .finally(() => {
        loading.current = false;
      });
  };
  return { page: state.page, error: state.error, loadMore: next === null ? null : loadMore };
}

function GroupList({
  list: { page, loadMore },
  selected,
  onOpen,
  hasText,
}: {
  readonly list: GroupListState;
  readonly selected: { readonly step: number | null; readonly line: number | null };
  readonly onOpen: (group: GroupSummary) => void;
  readonly hasText: boolean;
}) {
  const end = useRef<HTMLLIElement>(null);
  const load = useRef(loadMore);
  load.current = loadMore;
  const more = loadMore !== null;
  const shown = page?.groups.length ?? 0;
  useEffect(() => {
    if (end.current === null) return;
    const observer = new IntersectionObserver(([entry]) => {
      // A text search goes on only when asked: it may read gigabytes.
      if (entry!.isIntersecting && !hasText) load.current?.();
    });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [more, shown, hasText]);
  if (page === null) return null;
  return (
    <ul class="group-list">
      {page.groups.map((group) => (
        <GroupItem
          key={`${group.step} ${group.line}`}
          group={group}
          selected={isSelected(group, selected)}
          onOpen={() => onOpen(group)}
        />
      ))}
      {page.groups.length === 0 && page.next === null && <li class="muted padded">No group fits.</li>}
      {more && (
        <li ref={end} class="padded">
          <button type="button" class="quiet" onClick={() => load.current?.()}>
            {hasText ? "Search on" : "More"}
          </button>
        </li>
      )}
    </ul>
  );
}

function GroupItem({
  group,
  selected,
  onOpen,
}: {
  readonly group: GroupSummary;
  readonly selected: boolean;
  readonly onOpen: () => void;
}) {
  const item = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (selected) item.current!.scrollIntoView({ block: "nearest" });
  }, [selected]);
  const { initialCount, initialCorrect, refinementCount, refinementCorrect } = group;
  return (
    <li>
      <button ref={item} type="button" class="group-item" aria-current={selected ? "true" : undefined} onClick={onOpen}>
        <span class="group-question">{group.question}</span>
        <span class="group-score">
          <span class="muted">
            step {group.step.toLocaleString("en-US")} · {group.line + 1}
          </span>
          <span class="spacer" />
          <Score right={initialCorrect} of={initialCount} label="first answers" />
          {refinementCount > 0 && (
            <>
              <span class="muted">→</span>
              <Score right={refinementCorrect} of={refinementCount} label="refinements" />
            </>
          )}
        </span>
      </button>
    </li>
  );
}

function Score({ right, of, label }: { readonly right: number; readonly of: number; readonly label: string }) {
  const kind = right === 0 ? "none" : right === of ? "all" : "some";
  return (
    <span class={`score score-${kind}`} title={`${right} of ${of} ${label} right`}>
      {right}/{of}
    </span>
  );
}

function StepChooser({
  step,
  wholeRun,
  run,
  onStep,
}: {
  readonly step: number | null;
  readonly wholeRun: boolean;
  readonly run: RunOverview | null;
  readonly onStep: (step: number | "all") => void;
}) {
  const { first, last } = run?.rolloutSteps ?? { first: 1, last: 1 };
  return (
    <div class="step-chooser">
      <button
        type="button"
        aria-label="Previous step"
        disabled={step === null || step <= first}
        onClick={() => onStep(step! - 1)}
      >
        ‹
      </button>
      <label>
        step{" "}
        <input
          type="number"
          min={first}
          max={last}
          value={step ?? ""}
          disabled={wholeRun}
          onChange={(event) => {
            const wanted = Number(event.currentTarget.value);
            if (Number.isInteger(wanted)) onStep(Math.min(last, Math.max(first, wanted)));
          }}
        />
      </label>
      <button
        type="button"
        aria-label="Next step"
        disabled={step === null || step >= last}
        onClick={() => onStep(step! + 1)}
      >
        ›
      </button>
      <input
        type="range"
        aria-label="Step"
        min={first}
        max={last}
        value={step ?? last}
        disabled={wholeRun}
        onChange={(event) => onStep(Number(event.currentTarget.value))}
      />
      <label class="whole-run">
        <input type="checkbox" checked={wholeRun} onChange={() => onStep(wholeRun ? last : "all")} /> all steps
      </label>
    </div>
  );
}

/** Searches when the typing pauses: a search reads files. */
function Search({
  inputRef,
  text,
  onText,
}: {
  readonly inputRef: { current: HTMLInputElement | null };
  readonly text: string;
  readonly onText: (text: string) => void;
}) {
  const [typed, setTyped] = useState(text);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => onText(typed), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <input
      ref={inputRef}
      type="search"
      placeholder="Search question, response, critique  ( / )"
      aria-label="Search groups"
      maxLength={200}
      value={typed}
      onInput={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

function isSelected(
  group: GroupSummary,
  { step, line }: { readonly step: number | null; readonly line: number | null },
): boolean {
  return group.step === step && group.line === line;
}

function numberOf(text: string | null): number | null {
  return text === null || !/^\d+$/.test(text) ? null : Number(text);
}
