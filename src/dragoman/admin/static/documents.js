// Sends dropped or chosen files in batches and shows how each fares. Without it the form posts them itself.
// A file that is told as added is stored, indexed and on record; sending one again changes nothing.

const BATCH_FILES = 500;
const BATCH_BYTES = 4 * 1024 * 1024;
const ROWS = 200; // more files are counted, not listed, except where one was not taken
const MOST_FILES = 50_000;
const PATH = "/setup/documents";

const form = document.querySelector("#give");
const place = document.querySelector("#progress");
const input = document.querySelector("#files");
const text = (key) => form.dataset[`text${key}`];
const kinds = new Set((form?.dataset.kinds ?? "").split(" "));
const items = [];
let token = form?.dataset.csrf;
let isSending = false;

/** What the form says of the collection, as it stands now. */
function fields() {
  return [...new FormData(form)].filter(([name]) => name !== "files" && name !== "csrf");
}

function element(name, className, content = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

function linked(title, address, label, className) {
  const link = element("a", className, label);
  link.href = address;
  link.setAttribute("aria-label", `${label}: ${title}`);
  return link;
}

/** The row of a file, made when it is first shown. */
function row(item) {
  const list = place.querySelector("ul");
  if (!item.row && (list.children.length < ROWS || item.state === "failed")) {
    item.row = element("li");
    list.append(item.row);
  }
  return item.row;
}

function show(item, state, more = {}) {
  Object.assign(item, more, { state });
  const line = row(item);
  if (!line) return;
  line.className = state;
  const parts = [element("bdi", "", item.name)];
  if (state === "sending") {
    const bar = element("progress");
    bar.max = 1;
    bar.value = item.sent ?? 0;
    bar.setAttribute("aria-label", item.name);
    parts.push(bar);
  }
  const isOver = ["added", "unchanged", "failed"].includes(state);
  const said = text((isOver ? "State" : "") + state[0].toUpperCase() + state.slice(1));
  parts.push(element("span", state === "failed" ? "state warn" : "state", said));
  if (state === "failed") parts.push(element("span", "why", item.message));
  if (item.ask) {
    const links = element("span", "links");
    links.append(linked(item.title, item.read, text("Read"), ""), " ", linked(item.title, item.ask, text("Ask"), "ask"));
    parts.push(links);
  }
  line.replaceChildren(...parts.flatMap((part) => [part, " "]));
}

function count() {
  const of = (...states) => items.filter((item) => states.includes(item.state)).length;
  const values = { done: of("added", "unchanged", "failed"), total: items.length, failed: of("failed") };
  const said = text("Done").replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const unseen = items.filter((item) => !item.row).length;
  const more = unseen ? ` (${text("Hidden").replace("{count}", unseen)})` : "";
  place.querySelector("[role=status]").textContent = said + more;
}

/** Why the rest waits, and what a person can do about it; nothing for no trouble. */
function trouble(message, needsProof = false) {
  const alert = place.querySelector("[role=alert]");
  alert.textContent = message ?? "";
  alert.hidden = !message;
  place.querySelector("#again").hidden = !message;
  place.querySelector("#confirm").hidden = !needsProof;
}

/** Take files: { file, name } each, all into the collection that the form names now. */
function add(found) {
  if (!found.length) return;
  const said = fields();
  const names = new Set(items.filter((item) => item.state === "waiting").map((item) => item.name));
  place.hidden = false;
  for (const { file, name } of found) {
    const item = { file, name, said };
    items.push(item);
    const kind = name.includes(".") ? `.${name.split(".").pop().toLowerCase()}` : ".";
    if (!kinds.has(kind)) show(item, "failed", { message: form.dataset.unknown.replace("{}", kind) });
    else if (file.size > Number(form.dataset.file)) show(item, "failed", { message: form.dataset.large });
    else if (names.has(name)) show(item, "failed", { message: text("Twice") });
    else show(item, "waiting");
    names.add(name);
  }
  count();
  run();
}

/** The next files that go together. */
function batch() {
  const waiting = items.filter((item) => item.state === "waiting");
  const taken = [];
  let bytes = 0;
  for (const item of waiting) {
    const fits = taken.length < BATCH_FILES && (!taken.length || bytes + item.file.size <= BATCH_BYTES);
    if (!fits || item.said !== waiting[0].said) break;
    taken.push(item);
    bytes += item.file.size;
  }
  return taken;
}

/** One request; its answer, or null where the connection broke off. */
function send(some) {
  const body = new FormData();
  for (const [name, value] of some[0].said) body.append(name, value);
  for (const item of some) body.append("files", item.file, item.name);
  const request = new XMLHttpRequest();
  request.open("POST", "/admin/v1/documents");
  request.setRequestHeader("x-csrf-token", token);
  request.responseType = "json";
  return new Promise((resolve) => {
    request.upload.addEventListener("progress", (event) => advance(some, event.loaded, event.total));
    request.upload.addEventListener("load", () => some.forEach((item) => show(item, "reading")));
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => resolve(null));
    some.forEach((item) => show(item, "sending", { sent: 0 }));
    request.send(body);
  });
}

/** Tell each file of a batch how far it is sent: they go one after the other. */
function advance(some, loaded, total) {
  const all = some.reduce((sum, item) => sum + item.file.size, 0);
  let left = total ? (loaded / total) * all : 0;
  for (const item of some) {
    const sent = item.file.size ? Math.max(0, Math.min(1, left / item.file.size)) : 1;
    left -= item.file.size;
    if (sent !== item.sent) show(item, "sending", { sent });
  }
}

/** Send what waits, batch by batch, until all is done or something needs a person. */
async function run() {
  if (isSending) return;
  isSending = true;
  trouble();
  for (let some = batch(), tries = 0; some.length; some = batch()) {
    const answer = await send(some);
    if (answer?.response?.files) {
      for (const told of answer.response.files) show(some[told.at], told.state, { ...told, name: told.name, file: null });
      tries = 0;
    } else {
      some.forEach((item) => show(item, "waiting"));
      tries += 1;
      if (answer !== null || tries > 1) {
        refused(answer?.response?.error);
        break;
      }
    }
    count();
  }
  isSending = false;
  count();
  await refresh();
}

function refused(error) {
  const needsProof = ["confirm_first", "not_logged_in", "stale_form"].includes(error?.code);
  trouble(needsProof ? text("Confirm") : (error?.message ?? text("Unsent")), needsProof);
}

/** What is there now, and the token of whoever is logged in now. */
async function refresh() {
  const answer = await fetch(PATH, { headers: { accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const there = page.querySelector("#there");
  if (there) document.querySelector("#there").replaceWith(document.importNode(there, true));
  token = page.querySelector("#give")?.dataset.csrf ?? token;
}

/** Files of dropped folders with their paths; of one folder alone as seen from it, as `dragoman ingest` names them. */
async function walked(entries) {
  const found = [];
  const above = entries.length === 1 ? `${entries[0].fullPath}/` : "/";
  const open = [...entries];
  while (open.length && found.length < MOST_FILES) {
    const entry = open.shift();
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      if (file && !file.name.startsWith(".")) found.push({ file, name: entry.fullPath.slice(above.length) });
    } else if (entry.isDirectory) {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
        if (!some.length) break;
        open.push(...some);
      }
    }
  }
  return found;
}

const named = (files) => [...files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));

function dropped(event) {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  event.preventDefault(); // else the browser leaves the page to show the file
  form.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.some((entry) => entry.isDirectory)) walked(entries).then(add);
  else add(named(event.dataTransfer.files));
}

function over(event) {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  event.preventDefault();
  form.classList.add("over");
}

if (form) {
  document.documentElement.classList.add("scripted");
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", dropped);
  input.addEventListener("change", () => {
    add(named(input.files));
    input.value = "";
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  place.querySelector("#again").addEventListener("click", async () => {
    await refresh();
    const said = fields();
    for (const item of items) if (item.state === "waiting") item.said = said;
    run();
  });
  addEventListener("beforeunload", (event) => {
    if (isSending) event.preventDefault();
  });
}
