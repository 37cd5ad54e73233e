// The page's script: asks the relay itself, with the session cookie, and shows the answer as it comes.
// Text goes into text nodes only; the page works without this file.

const HISTORY = 6; // messages of this page that go along with a question
const LABEL = /^(?:【[^】\n]{1,120}】|\[(?!\d+\])[^\]\n]{1,120}\] )/u;
const MARKER = /\[(\d{1,3})\]/gu;
const OWN_LINK = /^\/sources\/[A-Za-z0-9_-]+\/[A-Za-z0-9_-]+(#[a-z0-9]+)?$/u;
const INTERVENTION = /^int_[A-Za-z0-9_-]{1,120}$/u;

const main = document.getElementById("main");
const log = document.getElementById("log");
const status = document.getElementById("status");
const form = document.getElementById("ask");
const field = document.getElementById("q");
const send = document.getElementById("send");
const history = [];
let running = null;

const words = (key) => main.getAttribute(`data-text-${key}`);

function element(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children); // strings become text nodes
  return node;
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

function take(turn, data) {
  if (data.dragoman) turn.metadata = data.dragoman;
  if (data.error) turn.error = String(data.error.message ?? "");
  const choice = data.choices?.[0];
  if (!choice) return "";
  if (choice.finish_reason) turn.finish = choice.finish_reason;
  turn.annotations.push(...(choice.delta?.annotations ?? []));
  const added = (choice.delta?.content ?? "") + (choice.delta?.refusal ?? "");
  turn.text += added;
  return added;
}

function link(note) {
  const cited = note?.url_citation;
  return OWN_LINK.test(cited?.url ?? "") ? cited : null;
}

/** The text of one paragraph with its markers as links. */
function parts(text, links) {
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(MARKER)) {
    const cited = links.shift();
    if (!cited) continue;
    const anchor = element("a", "cite", match[0]);
    anchor.href = cited.url;
    anchor.title = cited.title ?? "";
    nodes.push(text.slice(at, match.index).replace(/ $/u, "\u00a0"), anchor); // stays with its sentence
    at = match.index + match[0].length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

function blocks(text, annotations) {
  const links = annotations.map(link);
  const linked = links.length === [...text.matchAll(MARKER)].length ? links : [];
  const nodes = [];
  for (const paragraph of text.split(/\n\s*\n/u)) {
    let run = [];
    let quoted = false;
    const flush = () => {
      const inner = parts(run.join("\n"), linked);
      if (inner.length) nodes.push(element(quoted ? "blockquote" : "p", "", ...inner));
      run = [];
    };
    for (const line of paragraph.split("\n")) {
      if (run.length && line.startsWith("> ") !== quoted) flush();
      quoted = line.startsWith("> ");
      run.push(quoted ? line.slice(2) : line);
    }
    flush();
  }
  return nodes;
}

/** One box for equal interventions, with a link to each one's reasons. */
function intervention([row, ...others]) {
  const said = row.origin === "vendor" ? "vendor" : row.action === "redact" ? "changed" : "refused";
  const line = element("p", "", words(said), " ");
  if (row.rule) line.append(`${words("rule")}: `, element("code", "", row.rule), ". ");
  [row, ...others].forEach(({ id }, at) => {
    const anchor = element("a", "", at ? String(at + 1) : words("why"));
    anchor.href = `/v1/interventions/${id}`;
    line.append(at ? " · " : "", anchor);
  });
  return element("aside", "intervention", line);
}

function interventions(metadata) {
  const kinds = new Map();
  for (const row of metadata?.interventions ?? []) {
    if (!INTERVENTION.test(row.id)) continue;
    const kind = JSON.stringify([row.origin, row.action, row.rule]);
    kinds.set(kind, [...(kinds.get(kind) ?? []), row]);
  }
  return [...kinds.values()].map(intervention);
}

function problem(text) {
  const node = element("p", "problem", text);
  node.setAttribute("role", "alert");
  return node;
}

function finished(turn) {
  const label = LABEL.exec(turn.text)?.[0] ?? "";
  const node = element("div", "finished");
  if (label) node.append(element("p", "label", label.trim().replace(/^[【[]|[】\]]$/gu, "")));
  node.append(...blocks(turn.text.slice(label.length), turn.annotations));
  node.append(...interventions(turn.metadata));
  return node;
}

async function refusal(response) {
  try {
    return (await response.json()).error.message || words("unreachable");
  } catch {
    return words("unreachable");
  }
}

async function carry(turn, draft, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    credentials: "same-origin",
    signal,
    headers: { "content-type": "application/json", "accept-language": main.dataset.language },
    body: JSON.stringify({ model: main.dataset.model, stream: true, messages: history.slice(-HISTORY) }),
  });
  if (!response.ok || !response.body) return refusal(response);
  for await (const data of events(response.body)) {
    const added = take(turn, data);
    if (added) draft.append(added);
  }
  if (turn.error !== null) return turn.error || words("broken");
  return turn.finish === null ? words("broken") : null;
}

function busy(controller) {
  running = controller;
  send.textContent = words(controller ? "stop" : "ask");
  log.setAttribute("aria-busy", controller ? "true" : "false");
}

async function ask(question) {
  main.classList.add("asked");
  const draft = element("p", "draft");
  const answer = element("article", "answer", element("h2", "", words("assistant")), draft);
  log.append(element("article", "question", element("h2", "", words("you")), element("p", "", question)), answer);
  answer.previousSibling.scrollIntoView({ block: "start" });
  history.push({ role: "user", content: question });
  const turn = { text: "", annotations: [], metadata: null, finish: null, error: null };
  status.textContent = words("answering");
  draft.dataset.waiting = "";
  const controller = new AbortController();
  busy(controller);
  let trouble = null;
  try {
    trouble = await carry(turn, draft, controller.signal);
  } catch {
    trouble = controller.signal.aborted ? words("stopped") : words(turn.text ? "broken" : "unreachable");
  }
  const result = finished(turn);
  draft.replaceWith(result);
  if (trouble) result.append(problem(trouble));
  if (turn.text) history.push({ role: "assistant", content: turn.text });
  else history.pop();
  status.textContent = trouble ? "" : `${words("done")} ${result.textContent}`;
  busy(null);
  field.focus({ preventScroll: true });
}

function submit() {
  if (running) {
    running.abort();
    return;
  }
  const question = field.value.trim();
  if (!question) {
    field.focus();
    return;
  }
  field.value = "";
  ask(question);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.noValidate = true;
document.getElementById("examples").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) ask(event.submitter.value);
});
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!running) submit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running) running.abort();
});
