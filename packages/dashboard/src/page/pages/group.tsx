/** One group: question and gold on top, then every response with what became of it. */
import { useRef, useState } from "preact/hooks";
import type {
  GroupDetail,
  InitialResponseView,
  RefinementView,
  ResponseView,
  TokensAnswer,
} from "../../contract/groups.js";
import { DiffText } from "../components/diff-text.js";
import { MathText } from "../components/math-text.js";
import { FlagBadges, Loading, Problem, Verdict } from "../components/state.js";
import { COLOURING_TEXTS, COLOURINGS, type Colouring, TokenText } from "../components/token-text.js";
import { apiPath, useJson } from "../state/data.js";
import { formatNumber, formatSeconds, formatSigned, plural } from "../state/format.js";
import { useKeys } from "../state/keys.js";
import { go, href } from "../state/route.js";

interface Display {
  readonly colouring: Colouring;
  readonly diff: boolean;
  readonly raw: boolean;
}

/** Kept while one walks from group to group. */
let lastDisplay: Display = { colouring: "none", diff: false, raw: false };

export function GroupView({
  runId,
  step,
  line,
}: {
  readonly runId: string;
  readonly step: number;
  readonly line: number;
}) {
  const { data: group, error } = useJson<GroupDetail>(apiPath(["runs", runId, "groups", step, line]));
  const [display, setDisplay] = useState(lastDisplay);
  const change = (part: Partial<Display>) => {
    lastDisplay = { ...display, ...part };
    setDisplay(lastDisplay);
  };
  const box = useRef<HTMLDivElement>(null);
  const moveResponse = (by: number) => {
    const cards = [...(box.current?.querySelectorAll<HTMLElement>("[data-response]") ?? [])];
    const at = cards.indexOf(document.activeElement as HTMLElement);
    const card = cards[Math.min(cards.length - 1, Math.max(0, at + by))];
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: "start", behavior: "smooth" });
  };
  useKeys({
    c: () => change({ colouring: COLOURINGS[(COLOURINGS.indexOf(display.colouring) + 1) % COLOURINGS.length]! }),
    d: () => change({ diff: !display.diff }),
    l: () => change({ raw: !display.raw }),
    n: () => moveResponse(1),
    p: () => moveResponse(-1),
    h: () => {
      if (group !== null) go(href(["run", runId, "problem", group.question.id]));
    },
  });
  if (group === null) return error === null ? <Loading /> : <Problem text={error} />;
  const largest = Math.max(
    1e-9,
    ...[...group.initial, ...group.refinements].map(({ advantage }) => Math.abs(advantage ?? 0)),
  );
  const context = { runId, step, line, display, largest };
  return (
    <article ref={box}>
      <header class="question">
        <p class="group-place">
          <span class="muted">
            step {step.toLocaleString("en-US")} · group {line + 1} · {group.question.dataSource} · {group.question.id}
          </span>
          <FlagBadges flags={group.flags} />
          <span class="spacer" />
          <a href={href(["run", runId, "problem", group.question.id])}>history of this question</a>
        </p>
        <h1>
          <MathText text={group.question.text} raw={display.raw} />
        </h1>
        <p class="gold">
          <span>gold</span> <MathText text={asFormula(group.question.gold, display.raw)} raw={display.raw} />
        </p>
        <details>
          <summary>prompt, {plural(group.promptTokens, "token")}</summary>
          {group.question.prompt.map(({ role, content }, i) => (
            <div key={i} class="message">
              {role !== null && <b>{role}</b>}
              <pre>{content}</pre>
            </div>
          ))}
        </details>
      </header>
      <DisplayTools display={display} onChange={change} />
      <AdvantageStrip group={group} largest={largest} onPick={(key) => focusResponse(box.current, key)} />
      {group.initial.map((response) => (
        <Initial
          key={response.index}
          response={response}
          refinements={group.refinements.filter(({ refines }) => refines === response.index)}
          context={context}
        />
      ))}
    </article>
  );
}

interface ResponseContext {
  readonly runId: string;
  readonly step: number;
  readonly line: number;
  readonly display: Display;
  /** Largest |advantage| of the group: a full bar. */
  readonly largest: number;
}

function DisplayTools({
  display,
  onChange,
}: {
  readonly display: Display;
  readonly onChange: (part: Partial<Display>) => void;
}) {
  return (
    <div class="display-tools" role="toolbar" aria-label="Display">
      <span class="segments">
        {COLOURINGS.map((name) => (
          <button
            key={name}
            type="button"
            aria-pressed={display.colouring === name}
            title={`${COLOURING_TEXTS[name].help} (key c)`}
            onClick={() => onChange({ colouring: name })}
          >
            {COLOURING_TEXTS[name].label}
          </button>
        ))}
      </span>
      <label title="Refinements as differences from the answer they refine (key d)">
        <input type="checkbox" checked={display.diff} onChange={() => onChange({ diff: !display.diff })} /> differences
      </label>
      <label title="LaTeX typeset (key l)">
        <input type="checkbox" checked={!display.raw} onChange={() => onChange({ raw: !display.raw })} /> LaTeX
      </label>
    </div>
  );
}

/** Every response of the group as a bar: what the update pushes up and what down. */
function AdvantageStrip({
  group,
  largest,
  onPick,
}: {
  readonly group: GroupDetail;
  readonly largest: number;
  readonly onPick: (key: string) => void;
}) {
  const bars = [
    ...group.initial.map((response) => ({ key: `initial-${response.index}`, name: `${response.index}`, response })),
    ...group.refinements.map((response) => ({
      key: `refinement-${response.index}`,
      name: `${response.refines}′`,
      response,
    })),
  ];
  return (
    <div class="strip" role="toolbar" aria-label="Advantages">
      {bars.map(({ key, name, response }) => {
        const share = (100 * (response.advantage ?? 0)) / largest;
        return (
          <button
            key={key}
            type="button"
            class={response.kept ? "" : "left-out"}
            title={`${key.replace("-", " ")}: reward ${response.reward.value}, advantage ${formatSigned(response.advantage)}${response.kept ? "" : " (not in the training group)"}`}
            onClick={() => onPick(key)}
          >
            <i class="up">
              <i style={{ height: `${Math.max(0, share)}%` }} />
            </i>
            <i class="down">
              <i style={{ height: `${Math.max(0, -share)}%` }} />
            </i>
            <span class={response.reward.correct ? "right" : "wrong"}>{name}</span>
          </button>
        );
      })}
    </div>
  );
}

function Initial({
  response,
  refinements,
  context,
}: {
  readonly response: InitialResponseView;
  readonly refinements: readonly RefinementView[];
  readonly context: ResponseContext;
}) {
  const { critique } = response;
  return (
    <section class="response" data-response={`initial-${response.index}`} tabIndex={-1}>
      <ResponseHead title={`Response ${response.index}`} response={response} largest={context.largest} />
      <Body kind="initial" response={response} context={context} before={null} />
      {critique !== null && (
        <div class="critique">
          <p class="response-head">
            <b>Critique</b> <span class="flag">{critique.kind}</span>
            {critique.verdict !== null && (
              <span class={critique.agrees === false ? "flag flag-critic-disagrees" : "flag"}>
                critic: {critique.verdict}
                {critique.agrees === false && ", verifier disagrees"}
              </span>
            )}
            {critique.leak === true && <FlagBadges flags={["leak"]} />}
            {critique.failure !== null && <FlagBadges flags={["critic-failed"]} />}
            <span class="spacer" />
            <span class="muted">
              {[
                critique.latencyMs === null ? null : formatSeconds(critique.latencyMs / 1000),
                critique.tokens === null ? null : plural(critique.tokens, "token"),
                critique.cost === null ? null : `cost ${formatNumber(critique.cost)}`,
                critique.cutFrom === null ? null : `cut from ${plural(critique.cutFrom, "character")}`,
              ]
                .filter((part) => part !== null)
                .join(" · ")}
            </span>
          </p>
          {critique.failure !== null && <p class="problem">{critique.failure}</p>}
          <MathText text={critique.text} raw={context.display.raw} />
          {critique.prompt !== null && (
            <details>
              <summary>what the critic was asked</summary>
              <pre>{critique.prompt}</pre>
            </details>
          )}
        </div>
      )}
      {response.refinementSkipped !== null && <p class="notice">Not refined: {response.refinementSkipped}</p>}
      {refinements.map((refinement) => (
        <div class="refinement" key={refinement.index} data-response={`refinement-${refinement.index}`} tabIndex={-1}>
          <ResponseHead
            title="Refinement"
            response={refinement}
            largest={context.largest}
            turned={turned(response.reward.correct, refinement.reward.correct)}
          />
          <Body kind="refinement" response={refinement} context={context} before={response.text} />
        </div>
      ))}
    </section>
  );
}

function ResponseHead({
  title,
  response,
  largest,
  turned: change = null,
}: {
  readonly title: string;
  readonly response: ResponseView;
  readonly largest: number;
  readonly turned?: "fixed" | "broken" | null;
}) {
  const { reward, advantage, answer } = response;
  const parts = Object.entries(reward.parts);
  return (
    <p class="response-head">
      <b>{title}</b>
      <Verdict correct={reward.correct} />
      {answer !== null && answer !== response.text.trim() && (
        <span class="answer" title="What reads like the final answer">
          <MathText text={asFormula(answer, false)} raw={false} />
        </span>
      )}
      {change !== null && <FlagBadges flags={[change]} />}
      {response.truncated && <FlagBadges flags={["truncated"]} />}
      <span
        class={response.kept ? "flag kept" : "flag"}
        title={response.kept ? "In the training group" : "Sampled, but not trained on"}
      >
        {response.kept ? "kept" : "not kept"}
      </span>
      <span class="spacer" />
      <span class="muted" title={parts.map(([name, value]) => `${name} ${value}`).join(", ")}>
        reward {formatNumber(reward.value)}
      </span>
      <AdvantageBar advantage={advantage} largest={largest} />
      <span class="muted">
        {plural(response.length, "token")} · mean log p{" "}
        {response.meanLogprob === null ? "–" : response.meanLogprob.toFixed(2)}
      </span>
      {reward.failure !== null && <span class="problem">{reward.failure}</span>}
    </p>
  );
}

function AdvantageBar({ advantage, largest }: { readonly advantage: number | null; readonly largest: number }) {
  if (advantage === null) return null;
  const width = (50 * Math.abs(advantage)) / largest;
  return (
    <span class="advantage" title={`advantage ${formatSigned(advantage)}`}>
      <i class="track">
        <i
          class={advantage < 0 ? "negative" : ""}
          style={{ width: `${width}%`, left: advantage < 0 ? `${50 - width}%` : "50%" }}
        />
      </i>
      {formatSigned(advantage)}
    </span>
  );
}

function Body({
  kind,
  response,
  context: { runId, step, line, display },
  before,
}: {
  readonly kind: "initial" | "refinement";
  readonly response: ResponseView;
  readonly context: ResponseContext;
  readonly before: string | null;
}) {
  const wanted =
    display.colouring === "none"
      ? null
      : apiPath(["runs", runId, "groups", step, line, "tokens"], { kind, index: response.index });
  const { data, error } = useJson<TokensAnswer>(wanted);
  if (display.colouring !== "none") {
    if (error !== null) return <Problem text={error} />;
    return data === null ? <Loading /> : <TokenText answer={data} colouring={display.colouring} />;
  }
  if (display.diff && before !== null) return <DiffText before={before} after={response.text} />;
  if (response.text === "") return <span class="muted">(empty)</span>;
  return <MathText text={response.text} raw={display.raw} />;
}

function turned(before: boolean, after: boolean): "fixed" | "broken" | null {
  if (before === after) return null;
  return after ? "fixed" : "broken";
}

/** Answers are often bare LaTeX. */
function asFormula(text: string, raw: boolean): string {
  return !raw && /^[^$\n]*\\[a-zA-Z]+[^$\n]*$/.test(text) ? `$${text.trim()}$` : text;
}

function focusResponse(box: HTMLElement | null, key: string): void {
  const card = [...(box?.querySelectorAll<HTMLElement>("[data-response]") ?? [])].find(
    ({ dataset }) => dataset.response === key,
  );
  card?.focus({ preventScroll: true });
  card?.scrollIntoView({ block: "start", behavior: "smooth" });
}
