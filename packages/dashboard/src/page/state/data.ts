/** JSON from the server, and the news that there is newer. */

import { createContext } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import type { RunChange } from "../../contract/runs.js";
import { type Parameters, searchOf } from "./route.js";

/** A path of the API, relative to the page and so below its token. */
export function apiPath(parts: readonly (string | number)[], parameters: Parameters = {}): string {
  const query = searchOf(parameters).toString();
  return `api/${parts.map((part) => encodeURIComponent(part)).join("/")}${query === "" ? "" : `?${query}`}`;
}

/** @throws Error with what the server says */
export async function fetchJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, signal === undefined ? {} : { signal });
  const body = (await response.json()) as T & { detail?: string };
  if (!response.ok) throw new Error(body.detail ?? `${response.status} ${response.statusText}`);
  return body;
}

export interface Loaded<T> {
  /** The newest answer; kept while a newer one is fetched, dropped when the path changes. */
  readonly data: T | null;
  readonly error: string | null;
  readonly loading: boolean;
}

/** Fetches a path, again when it changes, when `revision` does, and every `pollMs` if that is not null. */
export function useJson<T>(path: string | null, revision = 0, pollMs: number | null = null): Loaded<T> {
  const [state, setState] = useState<Loaded<T> & { readonly path: string | null }>({
    path,
    data: null,
    error: null,
    loading: true,
  });
  const [poll, setPoll] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    let timer = 0;
    const settle = (change: { data: T; error: null } | { error: string }) => {
      setState((before) => ({ ...(before.path === path ? before : { data: null }), path, loading: false, ...change }));
      if (pollMs !== null) timer = window.setTimeout(() => setPoll((count) => count + 1), pollMs);
    };
    fetchJson<T>(path, abort.signal).then(
      (data) => settle({ data, error: null }),
      (error: Error) => {
        if (!abort.signal.aborted) settle({ error: error.message });
      },
    );
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, revision, poll, pollMs]);
  return state.path === path ? state : { data: null, error: null, loading: true };
}

export interface LiveState {
  /** Counts what has changed, by run. */
  readonly revisions: Readonly<Record<string, number>>;
  readonly changes: Readonly<Record<string, RunChange>>;
  readonly connected: boolean;
}

export const LIVE_NOTHING: LiveState = { revisions: {}, changes: {}, connected: false };
export const Live = createContext<LiveState>(LIVE_NOTHING);

/** Listens to the server for as long as the page is open. */
export function useLiveState(): LiveState {
  const [state, setState] = useState(LIVE_NOTHING);
  useEffect(() => {
    const source = new EventSource("api/changes");
    source.addEventListener("run", (event: MessageEvent<string>) => {
      const change = JSON.parse(event.data) as RunChange;
      setState(({ revisions, changes }) => ({
        connected: true,
        revisions: { ...revisions, [change.runId]: (revisions[change.runId] ?? 0) + 1 },
        changes: { ...changes, [change.runId]: change },
      }));
    });
    source.onopen = () => setState((before) => ({ ...before, connected: true }));
    source.onerror = () => setState((before) => ({ ...before, connected: false }));
    return () => source.close();
  }, []);
  return state;
}

const REFRESH_MS = 1_500;

/** Grows when a run (null: any) has changed, but not more often than a page can follow. */
export function useRevision(runId: string | null): number {
  const { revisions } = useContext(Live);
  const newest = runId === null ? Object.values(revisions).reduce((a, b) => a + b, 0) : (revisions[runId] ?? 0);
  const [shown, setShown] = useState(newest);
  const shownAt = useRef(0);
  useEffect(() => {
    if (newest === shown) return;
    const show = () => {
      shownAt.current = performance.now();
      setShown(newest);
    };
    const wait = shownAt.current + REFRESH_MS - performance.now();
    if (wait <= 0) return show();
    const timer = setTimeout(show, wait);
    return () => clearTimeout(timer);
  }, [newest, shown]);
  return shown;
}
