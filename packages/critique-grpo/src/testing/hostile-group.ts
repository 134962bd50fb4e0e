/** A training group in which every text tries to become more than text. */
import type { Response, TrainingGroup } from "../rollout/records.js";

const RUN = "globalThis.pwned=1";

export const HOSTILE_TEXT = [
  `<script>${RUN}</script>`,
  `<img src=x onerror="${RUN}">`,
  `<svg onload="${RUN}"><a href="javascript:${RUN}">x</a></svg>`,
  `<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
  `<style>body{display:none}</style><link rel=stylesheet href=//evil.example/x.css>`,
  `<base href=//evil.example/><meta http-equiv=refresh content="0;url=//evil.example">`,
  `[x](javascript:${RUN}) "><b onmouseover=${RUN}>`,
  // KaTeX has commands for links, images, classes and raw attributes.
  String.raw`$\href{javascript:${RUN}}{x}$ $\url{javascript:${RUN}}$ $\includegraphics{https://evil.example/x.png}$`,
  String.raw`$\htmlData{x=y}{\htmlStyle{position:fixed;inset:0}{\htmlClass{top}{x}}}$ $\htmlId{app}{x}$ $\text{<img src=x onerror=${RUN}>}$`,
  String.raw`\(\color{red;background:url(https://evil.example)} x\) $\def\a{\a\a}\a$ $\rule{1000000em}{1000000em}$ \[\unclosed{`,
  "{{constructor.constructor('globalThis.pwned=1')()}} $\u007bglobalThis.pwned=1} \u202e\u0000\ufffd",
].join("\n");

/** As a directory: a name cannot hold a slash. */
export const HOSTILE_NAME = `x"><img src=x onerror='globalThis.pwned=1'>&#x27;javascript:`;

export function hostileGroup(): TrainingGroup {
  const common = {
    samplingPrompt: [1],
    tokens: [1, 2, 3],
    logprobs: Float32Array.of(-0.1, -2, -0.5),
    text: HOSTILE_TEXT,
    stopReason: "stop",
    policyVersion: 0,
    reward: { value: 0, correct: false, parts: { [HOSTILE_TEXT]: 1 }, failure: HOSTILE_TEXT },
  } as const;
  const initial = {
    ...common,
    kind: "initial",
    index: 0,
    critique: {
      kind: "program",
      text: HOSTILE_TEXT,
      failure: HOSTILE_TEXT,
      prompt: HOSTILE_TEXT,
      leak: true,
      agreement: false,
      verdict: "right",
    },
    refinementSkipped: HOSTILE_TEXT,
  } as const satisfies Response;
  const refinement = {
    ...common,
    kind: "refinement",
    index: 0,
    refines: 0,
    text: `${HOSTILE_TEXT} changed`,
    reward: { value: 1, correct: true, parts: {} },
  } as const satisfies Response;
  return {
    question: {
      id: HOSTILE_TEXT,
      dataSource: HOSTILE_TEXT,
      text: HOSTILE_TEXT,
      prompt: HOSTILE_TEXT,
      gold: HOSTILE_TEXT,
      metadata: {},
    },
    prompt: [1],
    initial: [initial],
    refinements: [refinement],
    members: [
      { response: initial, advantage: -0.5 },
      { response: refinement, advantage: 0.5 },
    ],
  };
}
