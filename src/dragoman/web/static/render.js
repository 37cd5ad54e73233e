// An answer as nodes: label, what was said, interventions. Its Markdown is read here where it is common, else by the
// server; both give a tree of few names, of which nodes are made one by one: no text ever becomes markup.

import { nodes, visible } from "./reader.js";
import { call, Refused } from "./stream.js";

const LABEL = /^(?:【[^】\n]{1,120}】|\[(?!\d+\])[^\]\n]{1,120}\] )/u;
const OWN_LINK = /^\/sources\/[A-Za-z0-9_-]+\/[A-Za-z0-9_-]+(#[a-z0-9]+)?$/u;
const WEB_LINK = /^https?:\/\/[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?([/?#][!-~]*)?$/u;
const NAMES = new Set(
  `a blockquote br code div em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul`.split(" "),
);
const ATTRIBUTES = ["class", "href", "rel", "start", "tabindex", "title"];
const MATHML = "http://www.w3.org/1998/Math/MathML";
const MATHS = new Set(
  `annotation math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow mspace
  msqrt msub msubsup msup mtable mtd mtext mtr munder munderover semantics`.split(/\s+/u),
);
const MATHS_ATTRIBUTES = new Set(
  `accent accentunder alttext class display displaystyle encoding form height linethickness lspace mathvariant maxsize
  minsize movablelimits notation rspace scriptlevel stretchy symmetric width`.split(/\s+/u),
);
const DECISION = /^dec_[A-Za-z0-9_-]{1,120}$/u;
const INTERVENTION = /^int_[A-Za-z0-9_-]{1,120}$/u;

const main = document.getElementById("main");

/** A sentence of the page in the reader's language. */
export const words = (key) => main.getAttribute(`data-text-${key}`);

export function element(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children.map((one) => (typeof one === "string" ? visible(one) : one))); // strings become text nodes
  return node;
}

const safe = (address) => OWN_LINK.test(address) || WEB_LINK.test(address);

/** Nodes of `[name, attributes, children]` or texts: whatever is not in the lists below leaves its text only. */
function built(tree) {
  return tree.map((one) => {
    if (typeof one === "string") return one;
    const [name, attributes, children] = one;
    if (MATHS.has(name)) return formula(one);
    if (!NAMES.has(name) || (name === "a" && !safe(attributes.href))) return built(children);
    const node = element(name, "", ...built(children).flat(Infinity));
    for (const key of ATTRIBUTES) if (Object.hasOwn(attributes, key)) node.setAttribute(key, attributes[key]);
    return node;
  });
}

/** An element of a formula: of another namespace, in which nothing refers to anything. */
function formula([name, attributes, children]) {
  const node = document.createElementNS(MATHML, name);
  for (const [key, value] of Object.entries(attributes)) if (MATHS_ATTRIBUTES.has(key)) node.setAttribute(key, value);
  node.append(...built(children).flat(Infinity));
  return node;
}

/** What was said, read as Markdown here or by the server; as plain text where neither can. */
async function said(text, annotations) {
  if (!text) return [];
  const own = nodes(text, annotations);
  if (own) return built(own).flat(Infinity);
  try {
    const answer = await call("POST", "/rendered", { body: { text, annotations }, language: main.dataset.language });
    return built((await answer.json()).nodes).flat(Infinity);
  } catch (fault) {
    if (!(fault instanceof Refused || fault instanceof TypeError || fault instanceof SyntaxError)) throw fault;
    return [element("p", "", text)];
  }
}

/** Code can be copied, where the script can do it. */
export function copies(within) {
  for (const box of within.querySelectorAll(".code")) {
    const button = element("button", "copycode");
    button.type = "button";
    button.setAttribute("aria-label", words("copy_code")); // its only text: an answer that is copied is without it
    box.prepend(button);
  }
}

/** A source by name, linked where it is a page of the web. */
function cited(name, url) {
  if (!/^https?:\/\//u.test(url ?? "")) return name;
  const anchor = element("a", "", name);
  anchor.href = url;
  anchor.rel = "noopener noreferrer";
  return anchor;
}

const appeal = (id, text) => Object.assign(element("a", "", text), { href: `/appeal/${id}` });

/** The key of the sentence that says what was done, and whether to the question or to the answer. */
function whatOf({ origin, action, lane }) {
  if (origin === "vendor" || origin === "change") return origin === "vendor" ? "vendor" : "ended";
  const done = action === "redact" ? "changed" : "refused";
  return String(lane).startsWith("/choices") ? done : `${done}_asked`;
}

/** One box for equal interventions: what, why, which rule and source, a link to each one's reasons and appeal. */
function intervention(rows) {
  const [{ rule, source }] = rows;
  const about = element("p", "small");
  if (rule) about.append(words("rule") + words("colon"), element("code", "", rule), " · ");
  if (source) about.append(words("source_of") + words("colon"), cited(source.title, source.url), " · ");
  rows.forEach(({ id }, at) => about.append(at ? " · " : "", appeal(id, at ? String(at + 1) : words("why"))));
  return element("aside", "intervention", element("p", "", sentence(rows)), about);
}

/** What was done, in the page's words and the rule's own. */
const sentence = ([one]) => [words(whatOf(one)), one.message?.[main.dataset.language]].filter(Boolean).join(words("gap"));

/** A refusal as one sees it first: what happened, and under each heading its lines; the whole notice is folded. */
function refusalBox(happened, headings, whole, ...more) {
  const list = element("dl", "");
  for (const [heading, lines] of headings) {
    if (lines.length) list.append(element("dt", "", heading), ...lines.map((line) => element("dd", "", ...line)));
  }
  const notice = element("details", "", element("summary", "", words("whole_notice")), ...whole);
  return element("aside", "intervention refusal", element("p", "what", happened), list, ...more, notice);
}

/** Where a rule comes from, as it stands after the rule. */
const after = (name, url) => (name ? [` · ${words("source_of")}${words("colon")}`, cited(name, url)] : []);

/** A question that a rule stopped. */
function stopped(rows, whole) {
  const [{ rule, source }] = rows;
  const links = rows.flatMap(({ id }, at) => [at ? " · " : "", appeal(id, at ? String(at + 1) : words("why"))]);
  const headings = [
    [words("rule"), rule ? [[element("code", "", rule), ...after(source?.title, source?.url)]] : []],
    [words("lifts"), [[words("lift_words")]]],
    [words("objecting"), [links]],
  ];
  return refusalBox(sentence(rows), headings, whole);
}

/** Equal interventions together. */
function kindsOf(metadata) {
  const kinds = new Map();
  for (const row of metadata?.interventions ?? []) {
    if (!INTERVENTION.test(row.id)) continue;
    const kind = JSON.stringify([whatOf(row), row.rule]);
    kinds.set(kind, [...(kinds.get(kind) ?? []), row]);
  }
  return [...kinds.values()];
}

/** An article of a source as the reader's language writes it, where the source counts articles. */
function article({ source, article: number }) {
  const { articles, articleNumber, article: written } = main.dataset;
  const counts = articles.split("|").some((one) => source.includes(one));
  return counts && new RegExp(`^(?:${articleNumber})$`, "u").test(number ?? "") ? written.replace("{}", number) : number;
}

/** A decision that refused the turn: its rules by title, with their sources, what would change it, where one appeals. */
function decided({ turn, decision, outcome, reasons, lifts = [], step_up: signals = [] }, whole) {
  const rules = reasons.map(({ title, rule_id: rule, citation }) => {
    const name = citation?.source && [citation.source, article(citation)].filter(Boolean).join(", ");
    return [title[main.dataset.language], " (", element("code", "", rule), ")", ...after(name, citation?.url)];
  });
  const isElsewhere = reasons.some(({ rule_id: rule }) => rule.startsWith("zone."));
  const zone = isElsewhere ? [[Object.assign(element("a", "", words("start_link")), { href: "/start" })]] : [];
  const headings = [
    [words("decided"), rules],
    [words("lifts"), [...lifts.map((one) => [one[main.dataset.language]]), ...zone]],
    [words("objecting"), [[appeal(main.dataset.keeps && turn ? `${decision}?turn=${turn}` : decision, words("why"))]]],
  ];
  return refusalBox(words(`outcome_${outcome}`) ?? words("outcome_DENY"), headings, whole, ...stating(signals));
}

/** What a step-up asks: the server's own form, with what was asked alone; nothing where nothing is. */
function stating(signals) {
  const form = document.getElementById("stating")?.content.firstElementChild.cloneNode(true);
  if (!signals.length || !form) return [];
  for (const one of form.querySelectorAll("[data-signal]")) if (!signals.includes(one.dataset.signal)) one.remove();
  if (!form.querySelector("label")) form.querySelector("form")?.remove();
  for (const back of form.querySelectorAll("[name=back]")) back.value = location.pathname;
  return [form];
}

function problem(text) {
  const node = element("p", "problem", text);
  node.setAttribute("role", "alert");
  return node;
}

/** The finished answer; `trouble` says why it is not whole, null where it is. */
export async function finished(turn, trouble) {
  const label = LABEL.exec(turn.text)?.[0] ?? "";
  const node = element("div", "finished");
  if (label) node.append(element("p", "label", label.trim().replace(/^[【[]|[】\]]$/gu, "")));
  const body = await said(turn.text.slice(label.length), turn.annotations);
  const kinds = kindsOf(turn.metadata);
  const refused = Boolean(turn.metadata?.reasons?.length) && DECISION.test(turn.metadata.decision);
  const isStopped = (rows) => whatOf(rows[0]) === "refused_asked";
  if (!refused && !kinds.some(isStopped)) node.append(...body); // else it is the notice
  copies(node);
  node.append(...kinds.map((rows) => (isStopped(rows) ? stopped(rows, body) : intervention(rows))));
  if (refused) node.append(decided(turn.metadata, body));
  if (trouble) node.append(problem(trouble));
  return node;
}

/** The place where an answer is written: what came since the last frame is put in once per frame. */
export class Draft {
  #pending = "";
  #frame = 0;

  constructor(node) {
    this.node = node;
  }

  append(text) {
    this.#pending += text;
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  replaceWith(node) {
    cancelAnimationFrame(this.#frame);
    this.node.replaceWith(node);
  }

  #paint() {
    this.#frame = 0;
    const [first, ...more] = this.#pending.split("\n\n"); // a paragraph that is over is not laid out again
    this.#pending = "";
    if (!this.node.lastElementChild) this.node.append(element("p", ""));
    this.node.lastElementChild.append(first);
    this.node.append(...more.map((text) => element("p", "", text)));
  }
}
