// Markdown as answers mostly use it, read where it is shown, so that it costs the server nothing.
// `nodes` gives the tree that the server would (web/markdown.py), or null where it is not sure of it: then the
// server is asked. What it knows is small on purpose; tests hold both to the same trees.

const CHARS = 16_384; // of a longer text the server decides
const INLINE_CHARS = 2_048; // code points of a paragraph, heading or cell; a longer one is literal, as the server has it
const CITATIONS = 1_000;
const TITLE_CHARS = 1_000;
const NESTING = 4; // quotes and lists in each other

const DIRECTION = /[\u202a-\u202e\u2066-\u2069]/gu; // the server's (visible.py); a test holds the two together
const STRANGE = /[\0-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ufeff]|\p{Cs}/u;
const BLANK = /^[ \t]*$/u;
const FENCE = /^```([A-Za-z0-9+#._-]{0,30})$/u;
const FENCE_END = /^ {0,3}`{3,}[ \t]*$/u;
const HEADING = /^(#{1,6}) ([^\s#](?:.*[^\s#])?)$/u;
const RULE = /^(?:-{3,}|\*{3,}|_{3,})$/u;
const ITEM = /^( *)([-*+]|(?:0|[1-9]\d{0,8})[.)]) (\S.*)$/u;
const DELIMITERS = /^[|:\- \t]*-[|:\- \t]*$/u;
const ROW = /^\|.*\|$/u;
const LEVELS = ["h3", "h4", "h5", "h6", "h6", "h6"];
const NO_TEXT = /^(?:[ \t#>=~]|```|[-+*](?:\s|$)|\d{1,9}[.)](?:\s|$)|(?:_\s*){3}|(?:\*\s*){3}|-+$)|[ \t\\]$/u;

const MARKER = /\[(\d{1,3})\]/gu;
const SPECIAL = /\\|<[^ \n>]*>|~~|\$\$|&[#A-Za-z0-9]+;|!\[|\]\(/u;
const BLOCK_MATHS = /^(?:\\\[|\$\$)/mu;
const UNDERSCORE = /(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/u;
const EAST_ASIAN = /[\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uffef\u{20000}-\u{3ffff}]/u;
const OWN_LINK = /^\/sources\/[A-Za-z0-9_-]+\/[A-Za-z0-9_-]+(?:#[a-z0-9]+)?$/u;

class Unsure extends Error {}

const unless = (sure) => {
  if (!sure) throw new Unsure();
};

/** Text as it can be seen: characters that turn the order of what follows them around are named. */
export const visible = (text) => text.replace(DIRECTION, (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase()}⟩`);

const isPlain = (text) => !STRANGE.test(text) && visible(text) === text;

/** The tree of a text with its citations; null where the server must be asked. */
export function nodes(text, annotations) {
  try {
    unless(text.length <= CHARS && isPlain(text));
    const tree = blocks(text.split("\n"), 0);
    const links = annotations.map(linkOf);
    const markers = texts(tree).flatMap((one) => [...one.matchAll(MARKER)]).length;
    return links.length && links.length <= CITATIONS && links.length === markers ? cited(tree, links.values()) : tree;
  } catch (fault) {
    if (!(fault instanceof Unsure)) throw fault;
    return null;
  }
}

function linkOf(note) {
  const { url, title } = note?.url_citation ?? {};
  if (typeof url !== "string" || !OWN_LINK.test(url)) return null;
  const said = typeof title === "string" ? title : "";
  unless(said.length <= TITLE_CHARS && isPlain(said));
  return { class: "cite", href: url, title: said };
}

/** The texts outside of code. */
const texts = (tree) =>
  tree.flatMap((one) => (typeof one === "string" ? [one] : one[0] === "code" ? [] : texts(one[2])));

/** The tree with its markers as links, in the order of the text. */
function cited(tree, links) {
  return tree.flatMap((one) => {
    if (typeof one !== "string") return [one[0] === "code" ? one : [one[0], one[1], cited(one[2], links)]];
    const made = [];
    let at = 0;
    for (const found of one.matchAll(MARKER)) {
      const link = links.next().value;
      if (!link) continue;
      made.push(one.slice(at, found.index).replace(/ $/u, "\u00a0"), ["a", link, [found[0]]]);
      at = found.index + found[0].length;
    }
    return [...made, one.slice(at)];
  });
}

/** Lines as blocks. Each of the functions below gives its block and the line after it. */
function blocks(lines, depth) {
  unless(depth <= NESTING);
  const tree = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    if (BLANK.test(line)) at += 1;
    else {
      const [block, after] = (kindOf(lines, at) ?? paragraph)(lines, at, depth);
      tree.push(block);
      at = after;
    }
  }
  return tree;
}

function kindOf(lines, at) {
  const line = lines[at];
  if (line.startsWith("```")) return fence;
  if (line.startsWith("#")) return heading;
  if (line.startsWith(">")) return quote;
  if (RULE.test(line)) return rule;
  if (ITEM.test(line)) return list;
  return at + 1 < lines.length && DELIMITERS.test(lines[at + 1]) && line.includes("|") ? table : null;
}

function fence(lines, at) {
  const language = FENCE.exec(lines[at]);
  const end = lines.findIndex((line, n) => n > at && FENCE_END.test(line));
  unless(language && end > 0);
  const code = lines.slice(at + 1, end).map((line) => `${line}\n`);
  const box = ["pre", { tabindex: "0" }, [["code", {}, [code.join("")]]]];
  const named = language[1] ? [["span", { class: "language" }, [language[1]]]] : [];
  return [["div", { class: "code" }, [...named, box]], end + 1];
}

function heading(lines, at) {
  const found = HEADING.exec(lines[at]);
  unless(found);
  return [[LEVELS[found[1].length - 1], {}, inline(found[2])], at + 1];
}

function rule(lines, at) {
  unless(at === 0 || BLANK.test(lines[at - 1])); // under a text it would make that a heading
  return [["hr", {}, []], at + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && lines[end].startsWith(">")) end += 1;
  unless(end === lines.length || BLANK.test(lines[end])); // a line without its sign may belong to it
  const inner = lines.slice(at, end).map((line) => line.replace(/^> ?/u, ""));
  return [["blockquote", {}, blocks(inner, depth + 1)], end];
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !BLANK.test(lines[end]) && !interrupts(lines, end)) end += 1;
  const said = lines.slice(at, end);
  said.push(said.pop().replace(/[ \t]+$/u, "")); // only within a paragraph do they break a line
  unless(said.every((line) => !NO_TEXT.test(line) && !DELIMITERS.test(line)));
  return [["p", {}, inline(said.join("\n"))], end];
}

/** Whether a line ends the paragraph before it. */
function interrupts(lines, at) {
  const kind = kindOf(lines, at);
  const item = ITEM.exec(lines[at]);
  unless(kind !== rule && (!item || beginsList(item))); // else it goes on, or becomes a heading
  return kind !== null;
}

/** Only these begin a list right under a text. */
const beginsList = (item) => !item[1] && (!/\d/u.test(item[2]) || /^1[.)]$/u.test(item[2]));

function table(lines, at) {
  let end = at;
  while (end < lines.length && !BLANK.test(lines[end])) end += 1;
  const rows = lines.slice(at, end).map((line) => {
    unless(ROW.test(line) && line.length > 2 && !line.includes("\\"));
    return line.slice(1, -1).split("|").map((cell) => cell.trim());
  });
  const [head, delimiters, ...body] = rows;
  unless(rows.every((row) => row.length === head.length) && delimiters.every((cell) => /^:?-+:?$/u.test(cell)));
  const row = (cells, name) => ["tr", {}, cells.map((cell) => [name, {}, inline(cell)])];
  const parts = [["thead", {}, [row(head, "th")]]];
  if (body.length) parts.push(["tbody", {}, body.map((cells) => row(cells, "td"))]);
  return [["div", { class: "table", tabindex: "0" }, [["table", {}, parts]]], end];
}

/** A list of one-line items: tight ones may hold lists, loose ones (with blank lines between) may not. */
function list(lines, at) {
  const found = [];
  const first = ITEM.exec(lines[at]);
  unless(first[1] === "");
  let loose = false;
  let end = at;
  for (let next = at; ; ) {
    const item = next < lines.length && ITEM.exec(lines[next]);
    if (!item || (next > end && (item[1] !== "" || signOf(item) !== signOf(first)))) break;
    unless(!NO_TEXT.test(item[3]) && !DELIMITERS.test(item[3]));
    loose ||= next > end && found.length > 0;
    found.push(item);
    end = next += 1;
    while (next < lines.length && BLANK.test(lines[next])) next += 1;
  }
  unless(end === lines.length || BLANK.test(lines[end])); // a line under an item goes on with it
  unless(!(loose && found.some((item) => item[1] !== "")));
  unless(followsWell(lines, end, found));
  return [items(found, 0, loose)[0], end];
}

/** What stands below, after a blank line, must not belong to the last item. */
function followsWell(lines, end) {
  const next = lines.slice(end).find((line) => !BLANK.test(line));
  return next === undefined || !/^\s/u.test(next);
}

const signOf = (item) => item[2].at(-1);

/** The list that begins with `found[at]`, and the item after it. */
function items(found, at, loose, depth = 0) {
  unless(depth <= NESTING);
  const [, indent, sign] = found[at];
  const made = [];
  let next = at;
  while (next < found.length && found[next][1] === indent) {
    const item = found[next];
    unless(signOf(item) === signOf(found[at]));
    const inner = item[1].length + item[2].length + 1;
    const said = inline(item[3]);
    const children = loose ? [["p", {}, said]] : said;
    next += 1;
    if (next < found.length && found[next][1].length >= inner) {
      unless(found[next][1].length <= inner + 3 && beginsList(["", "", found[next][2]]));
      const [within, after] = items(found, next, false, depth + 1);
      children.push(within);
      next = after;
    }
    made.push(["li", {}, children]);
  }
  unless(next === found.length || found[next][1].length < indent.length);
  const number = Number.parseInt(sign, 10);
  if (Number.isNaN(number)) return [["ul", {}, made], next];
  return [["ol", number === 1 ? {} : { start: String(number) }, made], next];
}

/** The text of a paragraph, heading, cell or item: code, strong and emphasised text, one after the other. */
function inline(text) {
  const said = text.trim();
  if (said.length > INLINE_CHARS && [...said].length > INLINE_CHARS) {
    unless(!BLOCK_MATHS.test(said));
    return [said];
  }
  unless(!said.includes("``"));
  const pieces = said.split(/`([^`\n]+)`/u); // every other one is code
  const open = [];
  const tree = [];
  let at = 0;
  pieces.forEach((piece, number) => {
    const isCode = number % 2 === 1;
    if (isCode) {
      unless(piece.trim() === piece);
      (open[0]?.children ?? tree).push(["code", {}, [piece]]);
    } else plain(said, piece, at, open, tree);
    at += piece.length + (isCode ? 2 : 0);
  });
  unless(open.length === 0);
  return tree;
}

function plain(said, piece, at, open, tree) {
  unless(!piece.includes("`") && !SPECIAL.test(piece) && !UNDERSCORE.test(piece));
  let from = 0;
  for (const stars of piece.matchAll(/\*+/gu)) {
    const start = at + stars.index;
    const may = flanks(said.slice(0, start), said.slice(start + stars[0].length));
    put(open[0]?.children ?? tree, piece.slice(from, stars.index));
    from = stars.index + stars[0].length;
    if (open.length) {
      const [begun] = open.splice(0, 1);
      unless(may.close && begun.stars === stars[0] && begun.children.length);
      tree.push([begun.stars === "*" ? "em" : "strong", {}, begun.children]);
    } else {
      unless(may.open && stars[0].length <= 2);
      open.push({ stars: stars[0], children: [] });
    }
  }
  put(open[0]?.children ?? tree, piece.slice(from));
}

const put = (into, text) => {
  if (text) into.push(text);
};

/** Whether stars between two texts may open and close, by the rule of the server. */
function flanks(before, after) {
  const [left] = /.$/su.exec(before) ?? [" "];
  const [right] = /^./su.exec(after) ?? [" "];
  const [space, sign] = [/\s/u, /[!-/:-@[-`{-~]|\p{P}/u].map((kind) => [left, right].map((one) => kind.test(one)));
  unless(![left, right].some((one) => /[^\0-\x7f]/u.test(one) && /[\p{S}\p{M}\p{C}\p{Z}]/u.test(one)));
  const beside = EAST_ASIAN.test(left) || EAST_ASIAN.test(right);
  const opens = !space[1] && (!sign[1] || space[0] || sign[0]);
  const closes = !space[0] && (!sign[0] || space[1] || sign[1]);
  return { open: opens || (beside && !space[1]), close: closes || (beside && !space[0]) };
}
