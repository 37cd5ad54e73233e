// A kept conversation changed on its page: listed, renamed, pinned, deleted, its answers judged. The forms do the same
// where this file is missing.

import { call, Refused } from "./stream.js";
import { visible } from "./reader.js";
import { element, words } from "./render.js";

const TITLE = 60; // code points of a title that is made of a question

const status = document.getElementById("status");
const { language } = document.getElementById("main").dataset;
let unnamed = document.querySelector("#manage:not([hidden]) [name=title]")?.value === ""; // no title was given or made yet

/** The list's entry of the conversation at `path`. */
const entry = (path) => document.querySelector(`#list li a[href="${CSS.escape(path)}"]`)?.parentElement;

export function addToList(title, path) {
  const anchor = element("a", "", title);
  anchor.href = path;
  for (const other of document.querySelectorAll("#list [aria-current]")) other.removeAttribute("aria-current");
  anchor.setAttribute("aria-current", "page");
  place(element("li", "", anchor), document.getElementById("others"));
  document.getElementById("none")?.remove();
}

/** Puts an entry where the server would list it: the newest first, as ids are ordered. */
function place(item, list) {
  const older = [...list.children].find((one) => one.firstElementChild.href < item.firstElementChild.href);
  list.insertBefore(item, older ?? null);
  document.getElementById("pinned").hidden = !document.querySelector("#pinned li");
}

/** The forms that rename, pin and delete are for the new conversation at `path`; `title` is shown until it has one. */
export function manage(title, id, path) {
  const box = document.getElementById("manage");
  for (const one of box.querySelectorAll(".files a")) {
    one.href = `/v1/conversations/${id}/export?${one.href.split("?").at(-1)}`;
  }
  for (const one of box.querySelectorAll("form")) {
    one.setAttribute("action", `${path}/${one.getAttribute("action").split("/").at(-1)}`);
  }
  unnamed = true;
  box.querySelector("[name=title]").value = "";
  box.hidden = false;
  named(title, path);
}

/** What the server names a conversation after a question that it keeps as it was written. */
export function titleOf(question) {
  const line = [...question.trim().replace(/\s+/gu, " ")];
  return line.length <= TITLE ? line.join("") : `${line.slice(0, TITLE - 1).join("")}…`;
}

/**
 * The title that the server made of the first question, as it is kept: what a rule redacts is not in it. `known` is that
 * title where no rule did anything, so that it need not be asked for.
 */
export async function learnTitle(api, path, known) {
  if (!unnamed) return;
  let title = known;
  try {
    if (title === null) ({ title } = await (await call("GET", api, { language })).json());
  } catch (fault) {
    if (!(fault instanceof Refused || fault instanceof TypeError)) throw fault;
    return; // not to be read right now: it is with the next answer
  }
  if (!unnamed) return; // it was renamed meanwhile
  named(title ?? words("untitled"), path);
  if (title === null) return;
  unnamed = false;
  const field = document.querySelector("#manage [name=title]");
  if (!field.value) field.value = title;
}

function named(title, path) {
  const shown = [document.getElementById("title"), document.querySelector("main h1"), entry(path)?.firstElementChild];
  for (const one of shown.filter(Boolean)) one.textContent = visible(title);
  document.title = `${visible(title)} · ${document.title.split(" · ").at(-1)}`;
}

/** What went wrong, beside what was tried; said once, and gone at the next try. */
function trouble(place, fault) {
  if (!(fault instanceof Refused || fault instanceof TypeError)) throw fault;
  const said = element("p", "problem", (fault instanceof Refused && fault.message) || words("unreachable"));
  said.setAttribute("role", "alert");
  place.append(said);
}

/** Sends what a form of ours says; true where it was taken. */
async function sent(place, method, path, body) {
  place.querySelector(".problem")?.remove();
  try {
    await call(method, path, { body, language });
    return true;
  } catch (fault) {
    trouble(place, fault);
    return false;
  }
}

async function rename(box, api, path) {
  const field = box.querySelector("[name=title]");
  const title = field.value.trim();
  if (!title || !(await sent(box, "PATCH", api, { title }))) return;
  unnamed = false;
  field.value = title;
  named(title, path);
  status.textContent = words("renamed");
}

async function pin(box, api, path, button) {
  const pinned = button.value === "true";
  if (!(await sent(box, "PATCH", api, { pinned }))) return;
  button.value = String(!pinned);
  button.textContent = words(pinned ? "unpin" : "pin");
  const item = entry(path);
  if (item) place(item, document.querySelector(pinned ? "#pinned ul" : "#others"));
  status.textContent = words(pinned ? "pinned_now" : "unpinned_now");
}

async function remove(box, api, path, forget) {
  if (!(await sent(box, "DELETE", api))) return;
  entry(path)?.remove();
  document.getElementById("pinned").hidden = !document.querySelector("#pinned li");
  for (const one of [box, ...box.querySelectorAll("details")]) one.open = false;
  box.hidden = true;
  forget();
  status.textContent = words("deleted");
}

/** Takes over the forms about the conversation: `at` gives its id and page, `free` whether no answer is written. */
export function managing({ at, free, forget }) {
  const box = document.getElementById("manage");
  box.addEventListener("submit", (event) => {
    const [id, path] = at();
    const api = `/v1/conversations/${id}`;
    const act = event.target.getAttribute("action").split("/").at(-1);
    if (act === "delete" && !free()) return; // the server stops the answer too, and shows a new page
    event.preventDefault();
    if (act === "delete") remove(box, api, path, forget);
    else if (event.submitter?.name === "pinned") pin(box, api, path, event.submitter);
    else rename(box, api, path);
  });
}

/** Takes over a form that judges an answer of the conversation `id`. */
export async function judge(form, button, id) {
  const acts = form.closest(".acts");
  const path = `/v1/conversations/${id}/turns/${form.elements.turn.value}/feedback`;
  const rating = button.value;
  const bad = rating === "bad";
  const reason = bad ? form.elements.reason.value : null;
  const note = bad ? form.elements.note.value.trim() || null : null;
  const given = rating === "none" ? null : { rating, reason, note };
  const taken = given ? sent(acts, "PUT", path, given) : sent(acts, "DELETE", path);
  if (!(await taken)) return;
  shown(acts, given);
  status.textContent = given ? acts.querySelector(".judged").textContent : words("taken_back");
}

/** An answer's actions with what its reader said of it. */
function shown(acts, given) {
  const good = acts.querySelector("form.rate button");
  const summary = acts.querySelector("details.rate summary");
  const back = acts.querySelector(".back");
  if (summary.parentElement.contains(document.activeElement)) summary.focus(); // what it opened is closed
  summary.parentElement.open = false;
  good.value = given?.rating === "good" ? "none" : "good";
  if (given?.rating === "good") good.setAttribute("aria-pressed", "true");
  else good.removeAttribute("aria-pressed");
  summary.classList.toggle("given", given?.rating === "bad");
  back.hidden = given?.rating !== "bad";
  acts.querySelector(".say").textContent = words(back.hidden ? "bad_say" : "bad_change");
  const line = acts.querySelector(".judged");
  line.hidden = !given;
  line.replaceChildren(...(given ? said(acts, given) : []));
}

function said(acts, { rating, reason, note }) {
  const why = acts.querySelector(`option[value="${reason}"]`)?.textContent.trim();
  const parts = [words(rating), why, note && `“${note}”`].filter(Boolean);
  return [visible(`${words("you_said")}${words("gap")}${parts.join(" · ")}`)];
}
