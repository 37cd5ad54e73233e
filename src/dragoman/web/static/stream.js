// How the relay is asked: a turn begun, followed from where it was lost, and stopped. Nothing here draws.

const TRIES = 6; // times a lost stream is picked up again before it is given up
const WAIT_MS = 500; // before the first of them; each waits twice as long as the one before

export class Refused extends Error {
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * What has come of a turn so far. `id` is null until the relay has named it; `asked` is its question as it was written, `follows`
 * what it was asked after, and `alone` says that no other was asked there.
 */
export function newTurn(id = null) {
  return { id, text: "", annotations: [], metadata: null, finish: null, error: null, stored: false, asked: null, follows: null, alone: false };
}

/** Unicode code points, which is how the relay counts. */
export function codePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** A request with the page's session. Throws Refused with the relay's own sentence. */
export async function call(method, path, { body, language, once, signal, accept } = {}) {
  const headers = { "accept-language": language, accept: accept ?? "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (once) headers["idempotency-key"] = once;
  const sent = { method, headers, signal, credentials: "same-origin", cache: "no-store" };
  const response = await fetch(path, { ...sent, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.ok) return response;
  let message = "";
  let code = null;
  try {
    ({ message = "", code = null } = (await response.json()).error);
  } catch (fault) {
    if (!(fault instanceof SyntaxError || fault instanceof TypeError)) throw fault; // no sentence in it
  }
  throw new Refused(message, response.status, code);
}

/** A key of its own for one request. */
export function onceKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Yields the JSON objects of a server-sent event stream, wherever it is cut. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (pending + value).split("\n");
    pending = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}

/** Put one event into the turn; the text it added. */
function take(turn, data) {
  if (data.dragoman) turn.metadata = data.dragoman;
  if (data.error) turn.error = String(data.error.message ?? "");
  const choice = data.choices?.[0];
  if (!choice || (choice.index ?? 0) !== 0) return "";
  if (choice.finish_reason) turn.finish = choice.finish_reason;
  turn.annotations.push(...(choice.delta?.annotations ?? []));
  const added = (choice.delta?.content ?? "") + (choice.delta?.refusal ?? "");
  turn.text += added;
  return added;
}

const isOver = (turn) => turn.finish !== null || turn.error !== null;

/** Read a response into the turn to its end; `write` gets each piece of text. */
export async function read(response, turn, write) {
  turn.id = response.headers.get("dragoman-turn") ?? turn.id;
  for await (const data of events(response.body)) {
    const added = take(turn, data);
    if (added) write(added);
  }
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Follow a turn of `base` from where it was lost until it is over. Throws what the last try threw. */
export async function follow(base, turn, write, { language, signal }) {
  for (let left = TRIES; !isOver(turn); left -= 1) {
    try {
      const path = `${base}/turns/${turn.id}?after=${codePoints(turn.text)}`;
      const response = await call("GET", path, { language, signal, accept: "text/event-stream" });
      turn.stored = !response.headers.has("dragoman-turn"); // read from the store: it was over already
      await read(response, turn, write);
      if (!isOver(turn)) throw new TypeError("the stream was cut");
    } catch (fault) {
      const final = fault instanceof Refused && fault.status !== 409 && fault.status < 500;
      if (signal.aborted || final || left <= 1) throw fault;
      await wait(WAIT_MS * 2 ** (TRIES - left));
    }
  }
}

/** A turn's citations as they are stored: of a stream that was cut, some may have been lost. */
export async function citations(base, turn, language) {
  const document = await (await call("GET", `${base}/turns/${turn.id}`, { language })).json();
  return document.answer?.choices?.[0]?.message?.annotations ?? [];
}

export { isOver };
