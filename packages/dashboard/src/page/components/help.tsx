/** Keys of the page. */
import { useEffect, useRef } from "preact/hooks";

const KEYS: readonly (readonly [string, string])[] = [
  ["j / k", "next / previous group"],
  ["] / [", "next / previous step"],
  ["n / p", "next / previous response"],
  ["1 … 5", "filter: fixed, broken, all wrong, truncated, critic failed"],
  ["0", "no filter"],
  ["/", "search"],
  ["c", "colour tokens: log p, f(p), advantage, plain"],
  ["d", "refinements as differences"],
  ["l", "LaTeX typeset or as written"],
  ["h", "history of the question"],
  ["← → + Esc", "on a chart: move the crosshair, zoom in, zoom out; or drag, double-click"],
  ["?", "this list"],
];

export function Help({ onClose }: { readonly onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="help-title">
      <h2 id="help-title">Keyboard</h2>
      <table>
        <tbody>
          {KEYS.map(([key, text]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{text}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <button type="button" onClick={() => dialog.current!.close()}>
        Close
      </button>
    </dialog>
  );
}
