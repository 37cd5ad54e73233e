// The search of the list without leaving the page. The form does the same where this file is missing.

import { call, Refused } from "./stream.js";
import { visible } from "./reader.js";
import { element, words } from "./render.js";

const { language } = document.getElementById("main").dataset;
const form = document.getElementById("find");
const field = document.getElementById("wanted");
const told = document.getElementById("told");
const found = document.getElementById("found");
const hits = document.getElementById("hits");
const farther = document.getElementById("farther");
let asking = null;

function entry(hit) {
  const text = hit.excerpt.map((one) => (one.hit ? element("mark", "", one.text) : one.text));
  const anchor = element("a", "", element("b", "", ...(hit.turn ? [hit.title ?? words("untitled")] : text)));
  if (hit.turn) anchor.append(element("span", "", ...text));
  anchor.href = `/c/${hit.conversation}${hit.turn ? `?at=${hit.turn}#${hit.turn}` : ""}`;
  return element("li", "", anchor);
}

/** How it came out, in a sentence that is read aloud. */
function sentence({ has_more, complete }, wanted) {
  const some = hits.childElementCount ? "found_some" : "found_none";
  const said = words(has_more ? "found_more" : some).replace("{n}", hits.childElementCount).replace("{q}", () => wanted);
  return visible(complete ? said : `${said} ${words("found_partly")}`);
}

/** Ask for hits; those after `after` are put behind what is there. Null where another search took its place. */
async function find(wanted, after) {
  asking?.abort();
  asking = new AbortController();
  const query = new URLSearchParams({ q: wanted, ...(after && { after }) });
  found.setAttribute("aria-busy", "true");
  try {
    return await (await call("GET", `/v1/conversations?${query}`, { language, signal: asking.signal })).json();
  } catch (fault) {
    if (fault.name === "AbortError") return null;
    if (!(fault instanceof Refused || fault instanceof TypeError)) throw fault;
    const nothing = fault.status === 400 && !/[\p{L}\p{N}]/u.test(wanted); // no word is in it
    told.textContent = nothing ? words("find_word") : visible((fault instanceof Refused && fault.message) || words("unreachable"));
    return null;
  } finally {
    found.removeAttribute("aria-busy");
  }
}

function show(page, wanted) {
  found.hidden = false;
  document.getElementById("kept").hidden = true;
  farther.hidden = !page.has_more;
  farther.dataset.after = page.last_id ?? "";
  if (page.has_more) farther.href = address(wanted, page.last_id);
  told.textContent = sentence(page, wanted);
}

/** This page with a search in its address: loaded again it shows what is shown. */
function address(wanted, after) {
  const to = new URL(location.href);
  to.searchParams.delete("after");
  if (wanted) to.searchParams.set("find", wanted);
  else to.searchParams.delete("find");
  if (after) to.searchParams.set("after", after);
  return to.href;
}

async function search() {
  const wanted = field.value.trim();
  if (!wanted) {
    end();
    return;
  }
  const page = await find(wanted);
  if (page === null) return;
  hits.replaceChildren(...page.data.map(entry));
  show(page, wanted);
  window.history.replaceState(window.history.state, "", address(wanted));
}

async function more() {
  const wanted = new URL(location.href).searchParams.get("find") ?? field.value.trim();
  const page = await find(wanted, farther.dataset.after);
  if (page === null) return;
  const added = page.data.map(entry);
  hits.append(...added);
  show(page, wanted);
  added[0]?.firstChild.focus();
}

/** The list again as it was. */
function end() {
  asking?.abort();
  field.value = "";
  told.textContent = "";
  hits.replaceChildren();
  found.hidden = true;
  document.getElementById("kept").hidden = false;
  window.history.replaceState(window.history.state, "", address(""));
}

/** Has the list's search work on the page. */
export function finding() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  field.addEventListener("input", () => {
    if (!field.value) end(); // the field's own cross
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || (!field.value && found.hidden)) return; // else the list closes
    event.preventDefault();
    event.stopPropagation();
    end();
  });
  farther.addEventListener("click", (event) => {
    event.preventDefault();
    more();
  });
  document.getElementById("unfind").addEventListener("click", (event) => {
    event.preventDefault();
    end();
    field.focus();
  });
}
