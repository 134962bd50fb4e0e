/** Critics: agreement with the verifier, leaks, effect, latency, cost. */
import { useState } from "preact/hooks";
import type { CriticRow, CritiqueReport } from "../../contract/critiques.js";
import { csv, fileName, save } from "../charts/export.js";
import { Empty, FLAG_TEXTS, IndexNotice, Loading, Problem } from "../components/state.js";
import { apiPath, useJson, useRevision } from "../state/data.js";
import { formatNumber, formatPercent, formatSeconds } from "../state/format.js";
import { href } from "../state/route.js";

const INDEXING_MS = 700;

export function Critiques({ runId }: { readonly runId: string }) {
  const [indexing, setIndexing] = useState(true);
  const path = apiPath(["runs", runId, "critiques"]);
  const { data, error } = useJson<CritiqueReport>(path, useRevision(runId), indexing ? INDEXING_MS : null);
  if (data !== null && indexing === data.index.done) setIndexing(!data.index.done);
  if (data === null) return error === null ? <Loading /> : <Problem text={error} />;
  const { critics, examples } = data;
  const judging = critics.filter(({ verdicts }) => verdicts !== null);
  return (
    <section class="page">
      <div class="heading">
        <h1>Critiques</h1>
        <span class="spacer" />
        <button
          type="button"
          class="quiet"
          onClick={() => save(`${fileName(runId, "critics")}.csv`, "text/csv", table(critics))}
        >
          CSV
        </button>
      </div>
      <IndexNotice index={data.index} />
      {critics.length === 0 ? (
        <Empty>This run has no critiques{data.index.done ? "." : " so far."}</Empty>
      ) : (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th>critic</th>
                <th class="number">critiques</th>
                <th class="number">failed</th>
                <th class="number">agrees with verifier</th>
                <th class="number">leaks the answer</th>
                <th class="number">wrong answers refined</th>
                <th class="number">fixed</th>
                <th class="number">characters</th>
                <th class="number">median latency</th>
                <th class="number">95 %</th>
                <th class="number">tokens</th>
                <th class="number">cost</th>
              </tr>
            </thead>
            <tbody>
              {critics.map((critic) => (
                <tr key={critic.kind}>
                  <th scope="row">{critic.kind}</th>
                  <td class="number">{formatNumber(critic.critiques)}</td>
                  <td class="number">{formatPercent(critic.failures / critic.critiques)}</td>
                  <td class="number">{formatPercent(agreement(critic))}</td>
                  <td class="number">
                    {formatPercent(critic.leaks === null ? null : critic.leaks / critic.critiques)}
                  </td>
                  <td class="number">{formatNumber(critic.refinedWrong)}</td>
                  <td class="number">
                    {formatPercent(critic.refinedWrong === 0 ? null : critic.fixed / critic.refinedWrong)}
                  </td>
                  <td class="number">{formatNumber(critic.meanCharacters)}</td>
                  <td class="number">{formatSeconds(seconds(critic.latencyMs?.median))}</td>
                  <td class="number">{formatSeconds(seconds(critic.latencyMs?.p95))}</td>
                  <td class="number">{formatNumber(critic.tokens)}</td>
                  <td class="number">{formatNumber(critic.cost)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {judging.map((critic) => (
        <Confusion key={critic.kind} critic={critic} />
      ))}
      {examples.length > 0 && (
        <>
          <h2>Worth a look</h2>
          <div class="table-box">
            <table>
              <tbody>
                {examples.map(({ step, line, flag, questionId }) => (
                  <tr key={`${flag} ${step} ${line}`}>
                    <td>
                      <span class={`flag flag-${flag}`}>{FLAG_TEXTS[flag].label}</span>
                    </td>
                    <td>
                      <a href={href(["run", runId, "groups"], { step, line })}>
                        step {step}, {questionId}
                      </a>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}

function Confusion({ critic: { kind, verdicts } }: { readonly critic: CriticRow }) {
  const { bothRight, bothWrong, onlyCriticRight, onlyVerifierRight } = verdicts!;
  return (
    <table class="confusion">
      <caption>Verdicts of the critic “{kind}”</caption>
      <thead>
        <tr>
          <td />
          <th scope="col">verifier: right</th>
          <th scope="col">verifier: wrong</th>
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">critic: right</th>
          <td class="agree">{formatNumber(bothRight)}</td>
          <td class="differ">{formatNumber(onlyCriticRight)}</td>
        </tr>
        <tr>
          <th scope="row">critic: wrong</th>
          <td class="differ">{formatNumber(onlyVerifierRight)}</td>
          <td class="agree">{formatNumber(bothWrong)}</td>
        </tr>
      </tbody>
    </table>
  );
}

function agreement({ verdicts }: CriticRow): number | null {
  if (verdicts === null) return null;
  const { bothRight, bothWrong, onlyCriticRight, onlyVerifierRight } = verdicts;
  return (bothRight + bothWrong) / (bothRight + bothWrong + onlyCriticRight + onlyVerifierRight);
}

function seconds(milliseconds: number | undefined): number | null {
  return milliseconds === undefined ? null : milliseconds / 1000;
}

function table(critics: readonly CriticRow[]): string {
  const header = [
    "critic",
    "critiques",
    "failures",
    "agreement",
    "leaks",
    "wrong answers refined",
    "fixed",
    "mean characters",
    "median latency ms",
    "p95 latency ms",
    "tokens",
    "cost",
  ];
  return csv(
    header,
    critics.map((critic) => [
      ...[
        critic.kind,
        critic.critiques,
        critic.failures,
        agreement(critic),
        critic.leaks,
        critic.refinedWrong,
        critic.fixed,
      ],
      ...[
        critic.meanCharacters,
        critic.latencyMs?.median ?? null,
        critic.latencyMs?.p95 ?? null,
        critic.tokens,
        critic.cost,
      ],
    ]),
  );
}
