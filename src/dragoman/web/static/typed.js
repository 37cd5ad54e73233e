// What a person typed stays: over a page that is left, a question that is too long, one that could not be sent.

import { element, words } from "./render.js";
import { codePoints } from "./stream.js";

const main = document.getElementById("main");
const form = document.getElementById("ask");
const field = document.getElementById("q");
const LIMIT = Number(main.dataset.limit);

/** The tab's own store; null where the browser keeps none. */
function store() {
  try {
    return sessionStorage;
  } catch (fault) {
    if (!(fault instanceof DOMException)) throw fault;
    return null;
  }
}

const key = (path = location.pathname) => `typed:${path}`;

/** Keeps what is typed while the page is left, and puts it back when it comes again. */
export function keepTyped() {
  addEventListener("pagehide", () => {
    if (field.value.trim()) store()?.setItem(key(), field.value);
  });
  const kept = store()?.getItem(key());
  store()?.removeItem(key());
  if (kept && !field.value) field.value = kept;
}

/** To another page, with what is typed. */
export function goOn(path) {
  store()?.setItem(key(path), field.value);
  location.assign(path);
}

/** What is in the way of the question, and what one may do about it: [words, act] each. */
export function problem(text, ...choices) {
  settled();
  const said = element("p", "problem", text);
  said.id = "problem";
  said.setAttribute("role", "alert");
  for (const [label, act] of choices) {
    const button = element("button", "", label);
    button.type = "button";
    button.addEventListener("click", act);
    said.append(" ", button);
  }
  field.setAttribute("aria-describedby", said.id);
  form.querySelector(".field").after(said);
  field.focus();
}

/** Nothing is in the way any more. */
export function settled() {
  document.getElementById("problem")?.remove();
  for (const name of ["aria-describedby", "aria-invalid"]) field.removeAttribute(name);
}

/** Says so where a question is longer than the page takes. */
export function tooLong(question) {
  if (codePoints(question) <= LIMIT) return false;
  problem(words("too_long"));
  field.setAttribute("aria-invalid", "true");
  return true;
}

/** Puts a question back that could not be sent, unless another one is typed already. */
export function putBack(question) {
  if (!field.value) field.value = question;
}
