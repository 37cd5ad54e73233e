// The chat's script: asks the relay itself, with the session cookie, and shows the answer as it comes.
// Everything here works without this file too, by the page's forms.

import { copies, Draft, element, finished, words } from "./render.js";
import { actions, branches, copyChosen, copyOf, textOf } from "./acts.js";
import { finding } from "./find.js";
import { addToList, judge, learnTitle, manage, managing, titleOf } from "./kept.js";
import { goOn, keepTyped, problem, putBack, settled, tooLong } from "./typed.js";
import { call, citations, follow, isOver, newTurn, onceKey, read, Refused } from "./stream.js";

const HISTORY = 6; // messages of this page that go along with a question where nothing is kept
const NOT_OURS = { missing_credential: "session_lost", invalid_session: "session_lost", conversation_not_found: "gone" };
const CUT_MS = 1500; // what a stopped answer may take to end by itself

const main = document.getElementById("main");
const log = document.getElementById("log");
const status = document.getElementById("status");
const form = document.getElementById("ask");
const field = document.getElementById("q");
const send = document.getElementById("send");
const { language, model } = main.dataset;
const keeps = main.dataset.keeps === "true";
const history = [];
let conversation = main.dataset.conversation || null;
let parent = form?.elements.parent?.value ?? "last";
let branching = Boolean(form?.elements.beside); // the question is to stand beside another one
let running = null;
let left = false; // whether somebody was elsewhere since this page knew the newest turn
let shownPath = location.pathname;

const base = () => `/v1/conversations/${conversation}`;
const userMessage = (content) => ({ role: "user", content });

/** A conversation for a first question; the page is its page from now on. */
async function begin() {
  const title = words("new_conversation"); // a rule may redact the question's words: they are no title before it ends
  const made = await call("POST", "/v1/conversations", { body: {}, language, once: onceKey() });
  conversation = (await made.json()).id;
  shownPath = `/c/${conversation}`;
  window.history.pushState(null, "", shownPath);
  addToList(title, shownPath);
  manage(title, conversation, shownPath);
  here();
}

/** The conversation is gone: the page is that of a new one. */
function forget() {
  conversation = null;
  parent = "last";
  shownPath = "/";
  window.history.pushState(null, "", shownPath);
  log.replaceChildren();
  main.classList.remove("asked");
  const heading = main.querySelector("h1");
  heading.textContent = words("intro");
  heading.classList.remove("away");
  document.title = `${words("title")} · ${document.title.split(" · ").at(-1)}`;
  here();
  field.focus();
}

/** What leads back to the page leads to what it shows now. */
function here() {
  for (const other of document.querySelectorAll("nav a[hreflang]")) other.pathname = shownPath;
  for (const back of document.querySelectorAll("[name=back]")) back.value = shownPath;
  form.setAttribute("action", shownPath === "/" ? "/ask" : `${shownPath}/ask`);
}

/** Ask where nothing is kept: what was said on this page goes along. */
async function askAlone(question, turn, write, signal) {
  history.push(userMessage(question));
  const body = { model, stream: true, messages: history.slice(-HISTORY) };
  try {
    await read(await call("POST", "/v1/chat/completions", { body, language, signal }), turn, write);
  } finally {
    if (turn.text) history.push({ role: "assistant", content: turn.text });
    else history.pop();
  }
}

/** Ask in the conversation; a stream that is lost is picked up again. */
async function askKept(question, turn, write, signal) {
  if (!conversation) {
    await begin();
    parent = "root";
    turn.alone = true; // nobody else knows of it
  }
  if (location.search) window.history.replaceState(null, "", shownPath); // another branch is shown from now on
  const body = { model, stream: true, parent, messages: [userMessage(question)] };
  const path = `${base()}/turns`;
  const response = await call("POST", path, { body, language, signal, once: onceKey() });
  turn.id = response.headers.get("dragoman-turn");
  turn.follows = parent;
  turn.alone &&= parent !== "last";
  parent = turn.id ?? parent;
  if (running.wantsStop) stop();
  try {
    await read(response, turn, write);
  } catch (fault) {
    if (signal.aborted || !turn.id) throw fault;
  }
  if (!isOver(turn) && turn.id) await pickUp(turn, write, signal);
}

async function pickUp(turn, write, signal) {
  status.textContent = words("resuming");
  await follow(base(), turn, write, { language, signal });
  if (turn.finish !== null && !turn.stored) turn.annotations = await citations(base(), turn, language);
}

function busy(run) {
  running = run;
  send.textContent = words(run ? "stop" : "ask");
  log.setAttribute("aria-busy", run ? "true" : "false");
}

/** What to say of an answer that is not whole; null where it is. */
function troubleOf(run, turn, fault) {
  if (run.wantsStop) return words("stopped");
  if (fault instanceof Refused) return words(NOT_OURS[fault.code]) ?? (fault.message || words("unreachable"));
  if (fault) return words(turn.text ? "broken" : "unreachable");
  if (turn.error !== null) return turn.error || words("broken");
  return turn.finish === null ? words("broken") : null;
}

/** Carry one turn from `begun` to its end, writing into the answer's draft. */
async function carry(turn, draft, begun) {
  const run = { turn, controller: new AbortController(), wantsStop: false, stopping: null };
  busy(run);
  status.textContent = words("answering");
  let fault = null;
  try {
    await begun((text) => draft.append(text), run.controller.signal);
  } catch (thrown) {
    fault = thrown;
  }
  await run.stopping;
  if (turn.stored) {
    location.reload(); // it was over before it was read: the server shows it whole
    return;
  }
  const trouble = troubleOf(run, turn, fault);
  const result = await finished(turn, trouble);
  draft.replaceWith(result);
  if (keeps && turn.id) await followUp(result.parentElement, turn);
  if (conversation) await learnTitle(base(), shownPath, keptAsAsked(turn, trouble) ? titleOf(turn.asked) : null);
  status.textContent = trouble ? "" : `${words("done")} ${textOf(result)}`;
  busy(null);
  keepFocus(send);
  return run.wantsStop || turn.id || turn.text ? null : fault;
}

/** Whether a turn is kept with the question as it was written: it is over, no rule did anything, nobody else asked. */
function keptAsAsked({ asked, alone, metadata }, trouble) {
  return asked !== null && alone && !trouble && metadata?.interventions?.length === 0 && !metadata.outcome;
}

/** Where what had the focus is gone, or has done its part, the next question may be typed. */
function keepFocus(done = document.body) {
  const on = document.activeElement ?? document.body;
  if (on === document.body || on === done || !on.checkVisibility()) field.focus({ preventScroll: true });
}

/** The question was not asked: it is in the field again, and what can be done is said. */
function unsent(question, fault) {
  putBack(question);
  const why = NOT_OURS[fault.code];
  if (why) problem(words(why), [words("begin_anew"), () => goOn("/")]); // its page gives a session anew
}

/** What one may do with an answer that is over, and the others asked in its place; shown when all of it is known. */
async function followUp(answer, turn) {
  const question = answer.previousElementSibling;
  answer.dataset.turn = question.id = turn.id;
  let kept = null;
  if (!turn.alone) {
    try {
      kept = await (await call("GET", `${base()}/turns/${turn.id}`, { language })).json();
    } catch (fault) {
      if (!(fault instanceof Refused || fault instanceof TypeError)) throw fault;
      if (fault.status === 404 && turn.follows) parent = turn.follows; // it is gone
      return; // not to be read right now: a page loaded again offers it
    }
  }
  const box = actions(answer, shownPath, question.querySelector("p").textContent);
  const asked = kept ? kept.messages?.at(-1)?.content : turn.asked; // as it was written, not as it is shown
  box.querySelector("[name=parent]").value = kept ? (kept.parent ?? "root") : turn.follows;
  if (typeof asked === "string") box.querySelector("[name=q]").value = asked;
  if (kept?.siblings.length > 1) box.prepend(branches(kept, shownPath));
}

/** Ask a question again in its place: what followed it is of another branch. */
function askAgain(again) {
  const answer = again.closest(".answer");
  while (answer.nextElementSibling) answer.nextElementSibling.remove();
  answer.previousElementSibling.remove();
  answer.remove();
  parent = again.elements.parent.value;
  branching = true;
  ask(again.elements.q.value);
}

async function ask(question) {
  main.classList.add("asked");
  settled();
  const turn = { ...newTurn(), asked: question, alone: !branching && !left };
  branching = left = false;
  const draft = element("div", "draft");
  const asked = element("article", "question", element("h2", "", words("you")), element("p", "", question));
  log.append(asked, element("article", "answer", element("h2", "", words("assistant")), draft));
  keepFocus();
  asked.scrollIntoView({ block: "start" });
  const way = keeps ? askKept : askAlone;
  const fault = await carry(turn, new Draft(draft), (write, signal) => way(question, turn, write, signal));
  if (fault) unsent(question, fault);
}

/** Whether the turn that a question is to follow was followed by another one, from another window. */
async function movedOn() {
  if (!conversation || branching || !left || parent === "last") return false;
  const asked = async (path) => (await call("GET", path, { language })).json();
  try {
    const { head } = await asked(base()); // it ends a branch, so nothing follows it; to read it costs less than a turn
    left = head !== parent && (await asked(`${base()}/turns/${parent}`)).children.length > 0;
    return left;
  } catch (fault) {
    if (!(fault instanceof Refused || fault instanceof TypeError)) throw fault;
    return false; // the question itself will meet the same, and says it
  }
}

/** What was typed stays; a person sees what was said elsewhere first, or asks beside it. */
function moved() {
  const show = () => (location.search ? location.assign(shownPath) : location.reload());
  const beside = () => {
    branching = true;
    submit();
  };
  problem(words("moved"), [words("moved_show"), show], [words("moved_beside"), beside]);
}

/** End the turn where it runs; what was shown stays. */
function stop() {
  const run = running;
  run.wantsStop = true;
  status.textContent = words("stopping");
  if (!keeps) run.controller.abort();
  else if (run.turn.id) run.stopping = stopKept(run); // else as soon as the relay has named it
}

async function stopKept(run) {
  try {
    await call("POST", `${base()}/turns/${run.turn.id}/stop`, { language });
    setTimeout(() => run.controller.abort(), CUT_MS);
  } catch (fault) {
    run.wantsStop = false;
    status.textContent = fault.message || words("not_stopped");
  }
}

async function submit() {
  if (running) {
    stop();
    return;
  }
  const question = field.value.trim();
  if (!question) {
    field.focus();
    return;
  }
  if (tooLong(question)) return;
  if (await movedOn()) {
    moved();
    return;
  }
  if (running || field.value.trim() !== question) return; // meanwhile it was sent, or changed
  field.value = "";
  ask(question);
}

/** The page came while its last answer is still written: read it from its beginning. */
function resume(id) {
  const draft = new Draft(log.querySelector(`[data-turn="${id}"] .draft`));
  for (const halt of log.querySelectorAll(".halt")) halt.remove(); // the form's button stops too
  const turn = newTurn(id);
  carry(turn, draft, (write, signal) => follow(base(), turn, write, { language, signal }));
}

/** The next page of the list, put after what is there. */
async function more(anchor) {
  const path = `/v1/conversations?pinned=false&limit=30&after=${anchor.dataset.after}`;
  const page = await (await call("GET", path, { language })).json();
  const items = page.data.map(({ id, title }) => {
    const item = element("a", "", title ?? words("untitled"));
    item.href = `/c/${id}`;
    return element("li", "", item);
  });
  document.getElementById("others").append(...items);
  items[0]?.firstChild.focus();
  anchor.dataset.after = page.last_id;
  if (!page.has_more) anchor.remove();
}

async function copy(text) {
  await navigator.clipboard.writeText(text);
  status.textContent = words("copied");
}

function listen() {
  form.noValidate = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  document.getElementById("starters")?.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running) ask(event.submitter.value);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!running) submit();
    }
  });
  log.addEventListener("submit", (event) => {
    if (event.target.matches(".again")) {
      event.preventDefault();
      if (!running) askAgain(event.target);
    } else if (event.target.closest(".rate")) {
      event.preventDefault();
      judge(event.target, event.submitter, conversation);
    }
  });
  log.addEventListener("click", (event) => {
    const answer = event.target.closest(".answer");
    if (event.target.matches(".copy")) copy(copyOf(answer));
    if (event.target.matches(".copycode")) copy(event.target.parentElement.querySelector("pre").textContent);
    if (!event.target.matches(".why") || event.ctrlKey || event.metaKey || event.shiftKey) return; // else the page, beside
    event.preventDefault();
    const detail = { conversation, turn: answer.dataset.turn };
    event.target.dispatchEvent(new CustomEvent("passport", { bubbles: true, detail }));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    const opened = event.target.closest("details[open]");
    if (opened) {
      opened.open = false;
      opened.querySelector("summary").focus();
    } else if (location.hash === "#list") {
      location.hash = "#main";
      document.querySelector(".opener").focus();
    } else if (running) stop();
  });
}

document.getElementById("more")?.addEventListener("click", (event) => {
  event.preventDefault();
  const anchor = event.currentTarget;
  more(anchor).catch(() => location.assign(anchor.href)); // the server's page of the list says what is wrong
});
window.addEventListener("blur", () => (left = true));
window.addEventListener("pageshow", (event) => (left ||= event.persisted));
document.addEventListener("visibilitychange", () => (left = true));
window.addEventListener("popstate", () => {
  if (location.pathname !== shownPath) location.reload();
});
if (form) {
  listen();
  keepTyped();
}
if (form && keeps) managing({ at: () => [conversation, shownPath], free: () => !running, forget });
if (keeps) finding();
document.body.classList.add("scripted");
copies(log);
log.addEventListener("copy", copyChosen);
if (navigator.clipboard) document.body.classList.add("copies");
if (form && log.childElementCount && !location.hash) log.lastElementChild.previousElementSibling.scrollIntoView();
if (form && main.dataset.running) resume(main.dataset.running);
