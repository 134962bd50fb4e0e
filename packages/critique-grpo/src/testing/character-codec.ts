/** A codec with one character a token, for tests and examples without a tokenizer file. */
import type { ChatMessage } from "../data/question.js";
import type { TextCodec } from "../policy/policy.js";

/** Token i is character i of the alphabet; `stop` (default: the last one) ends a response and is not decoded. */
export function createCharacterCodec(alphabet: string, stop = alphabet.at(-1)!): TextCodec {
  const ids = new Map([...alphabet].map((character, id) => [character, id]));
  const encode = (text: string) =>
    [...text].map((character) => {
      const id = ids.get(character);
      if (id === undefined) throw new RangeError(`The character ${JSON.stringify(character)} is not in the alphabet`);
      return id;
    });
  const stopToken = encode(stop)[0]!;
  return {
    encode,
    decode: (tokens, options) =>
      tokens
        .filter((token) => options?.keepSpecialTokens === true || token !== stopToken)
        .map((token) => alphabet[token])
        .join(""),
    encodeChat: (messages: readonly ChatMessage[]) => encode(messages.map((message) => message.content).join("")),
    stopTokens: [stopToken],
  };
}
