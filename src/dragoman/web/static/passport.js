// The drawer "why this answer": the page of a turn's passport (templates/why.html) beside the conversation, where one asks:
//   new CustomEvent("passport", { bubbles: true, detail: { conversation, turn } })
// The page is the server's, texts escaped; nothing is loaded before somebody asks.

import { element, words } from "./render.js";

const ID = /^[a-z]{3}_[a-z0-9-]{1,32}_[0-9a-f-]{36}$/u;
const TRIES = 8; // a signed checkpoint follows a turn within about a second
const RETRY_MS = 700;

const drawer = document.getElementById("passport"); // a modal dialog: keys stay inside, and Escape closes it
const body = drawer.querySelector(".passport");
const [waiting] = body.children;

/** The part of the page at an address that says why, or what is wrong; null where the answer is no page of ours. */
async function read(address) {
  const response = await fetch(address, { credentials: "same-origin", headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const part = page.querySelector(".passport") ?? page.querySelector("#main");
  if (!part) return null;
  for (const source of part.querySelectorAll("cite a")) source.target = "_blank";
  for (const button of part.querySelectorAll("button")) button.hidden = !navigator.clipboard;
  body.lang = page.documentElement.lang;
  return document.importNode(part, true);
}

/** Reads and shows; while the signed checkpoint is behind the turn, only the proof is read again. */
async function fill(address) {
  for (let left = TRIES; left > 0 && drawer.open && drawer.dataset.address === address; left -= 1) {
    const part = await read(address);
    if (drawer.dataset.address !== address) return;
    if (!part) throw new TypeError(address);
    const [before, now] = [body, part].map((one) => one.querySelector("[data-state]"));
    if (before && now) before.replaceWith(now);
    else body.replaceChildren(...part.children);
    if (!["pending", "partly"].includes(now?.dataset.state)) break;
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

async function open({ conversation, turn }) {
  if (!ID.test(conversation) || !ID.test(turn)) return;
  const address = `/c/${conversation}/why/${turn}`;
  drawer.dataset.address = address;
  body.replaceChildren(waiting);
  body.setAttribute("aria-busy", "true");
  if (!drawer.open) drawer.showModal();
  try {
    await fill(address);
  } catch (fault) {
    if (!(fault instanceof TypeError)) throw fault;
    const trouble = element("p", "problem", words("unreachable"));
    trouble.setAttribute("role", "alert");
    body.replaceChildren(trouble);
  }
  body.removeAttribute("aria-busy");
}

drawer.addEventListener("click", async ({ target }) => {
  if (target === drawer || target.closest("header button")) drawer.close(); // beside the drawer, or its button
  if (!target.matches(".passport button")) return;
  await navigator.clipboard.writeText(target.previousElementSibling.textContent);
  target.textContent = target.dataset.done;
});

/** The drawer's style comes with its first use. */
function dress() {
  const style = element("link");
  Object.assign(style, { rel: "stylesheet", href: drawer.dataset.style });
  document.head.append(style);
}

document.addEventListener("passport", dress, { once: true });
document.addEventListener("passport", (event) => open(event.detail ?? {}));
