/** The benchmarks that can be named: where their questions are, how they are asked and judged. */
export interface Benchmark {
  readonly name: string;
  readonly title: string;
  /** Distinct questions, for the reader; a file may hold another version. */
  readonly questions: number;
  /** Responses a question unless told otherwise: small sets are averaged over several (as in the paper's evaluation). */
  readonly samples: number;
  /** Built-in reward that judges it. */
  readonly verifier: "math" | "multiple-choice";
  /** Around the question; data.promptTemplate of a run wins. */
  readonly template: string;
  /** `data_source` of its rows in the evaluation files of the Critique-GRPO, LUFFY and ExGRPO releases (verl rows). */
  readonly dataSource?: string;
  /** The gold answer is what follows the last occurrence of this in the answer column. */
  readonly answerAfter?: string;
  /** Where the Hugging Face hub has it; null where it may not be had without an agreement. */
  readonly hub: HubSource | null;
}

export interface HubSource {
  /** Dataset repository. */
  readonly repository: string;
  /** Which of its files. */
  readonly file: RegExp;
  readonly question: string;
  /** A list is joined by commas. */
  readonly answer: string;
}

/** Files that hold several benchmarks, told apart by `data_source`; the first that is there counts. */
export const SUITE_FILES = [
  "critique-grpo-validation.parquet",
  "math-suite-with-aime25.parquet",
  "gpqa.parquet",
] as const;

/** What the released files put behind a mathematical question. */
export const BOXED_INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}.";

const BOXED = `{question}\n${BOXED_INSTRUCTION}`;
const TEST_FILE = /(^|[/_-])test[^/]*\.(parquet|jsonl)$/;
const TRAIN_FILE = /(^|[/_-])train[^/]*\.(parquet|jsonl)$/;

const math = { verifier: "math", template: BOXED } as const;

const list: readonly Benchmark[] = [
  {
    ...{ ...math, name: "math500", title: "MATH-500", questions: 500, samples: 1, dataSource: "math" },
    hub: { repository: "HuggingFaceH4/MATH-500", file: TEST_FILE, question: "problem", answer: "answer" },
  },
  {
    ...{ ...math, name: "minerva", title: "Minerva Math", questions: 272, samples: 1, dataSource: "minerva" },
    hub: { repository: "math-ai/minervamath", file: TEST_FILE, question: "question", answer: "answer" },
  },
  {
    ...{ ...math, name: "olympiad", title: "OlympiadBench", questions: 675, samples: 1, dataSource: "olympiad_bench" },
    hub: { repository: "math-ai/olympiadbench", file: TEST_FILE, question: "question", answer: "final_answer" },
  },
  {
    ...{ ...math, name: "amc23", title: "AMC 2023 (with 2022)", questions: 83, samples: 4, dataSource: "amc" },
    hub: { repository: "AI-MO/aimo-validation-amc", file: TRAIN_FILE, question: "problem", answer: "answer" },
  },
  {
    ...{ ...math, name: "aime24", title: "AIME 2024", questions: 30, samples: 8, dataSource: "aime" },
    hub: { repository: "HuggingFaceH4/aime_2024", file: TRAIN_FILE, question: "problem", answer: "answer" },
  },
  {
    ...{ ...math, name: "aime25", title: "AIME 2025", questions: 30, samples: 8, dataSource: "aime25" },
    hub: { repository: "math-ai/aime25", file: TEST_FILE, question: "problem", answer: "answer" },
  },
  {
    // The question holds its options and asks for the letter on the last line.
    ...{ name: "gpqa", title: "GPQA-Diamond", questions: 198, samples: 1, dataSource: "gpqa" },
    ...{ verifier: "multiple-choice", template: "{question}", hub: null },
  },
  {
    ...{ ...math, name: "gsm8k", title: "GSM8K", questions: 1319, samples: 1, answerAfter: "####" },
    hub: { repository: "openai/gsm8k", file: /^main\/test[^/]*\.parquet$/, question: "question", answer: "answer" },
  },
];

export const benchmarks: ReadonlyMap<string, Benchmark> = new Map(list.map((benchmark) => [benchmark.name, benchmark]));
