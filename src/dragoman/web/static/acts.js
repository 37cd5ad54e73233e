// What one may do with an answer: copy it, ask again, change the question, judge it, see the other versions.

import { element, words } from "./render.js";

/** Puts the actions of a turn that was asked on this page under its answer: the server's own markup, filled in. */
export function actions(answer, path, question) {
  const box = document.getElementById("acts").content.firstElementChild.cloneNode(true);
  for (const form of box.querySelectorAll("form")) {
    form.setAttribute("action", `${path}/${form.getAttribute("action").split("/").at(-1)}`);
  }
  for (const turn of box.querySelectorAll("[name=turn]")) turn.value = answer.dataset.turn;
  box.querySelector("[name=q]").value = question;
  box.querySelector(".edit").setAttribute("href", `${path}?edit=${answer.dataset.turn}#q`);
  box.querySelector(".why").setAttribute("href", `${path}/why/${answer.dataset.turn}`);
  answer.append(box);
  return box;
}

/** Links to the versions before and after a turn, among those asked in its place. */
export function branches({ id, siblings }, path) {
  const at = siblings.indexOf(id);
  const nav = element("nav", "branches");
  nav.setAttribute("aria-label", words("versions"));
  nav.append(element("span", "", `${at + 1}/${siblings.length}`));
  if (at > 0) nav.prepend(version(siblings[at - 1], path, "‹", "version_before"));
  if (at + 1 < siblings.length) nav.append(version(siblings[at + 1], path, "›", "version_after"));
  return nav;
}

function version(turn, path, sign, key) {
  const anchor = element("a", "", sign);
  anchor.href = `${path}?branch=${turn}`;
  anchor.setAttribute("aria-label", words(key));
  return anchor;
}

/** An answer as text to take along: label first, as it is shown. */
export const copyOf = (answer) => textOf(answer.querySelector(".finished"));

/** What stands in a finished answer, block by block; formulas as they were written. */
export function textOf(finished) {
  return asWritten(finished, () => [...finished.children].map((part) => part.innerText).join("\n\n"));
}

/** What `work` gives while the source of each formula stands in its place. */
function asWritten(within, work) {
  const stood = [...within.querySelectorAll("math")].map((formula) => {
    const [before, after] = formula.getAttribute("display") ? ["$$", "$$"] : ["\\(", "\\)"];
    const source = document.createTextNode(before + formula.getAttribute("alttext") + after);
    formula.replaceWith(source);
    return [source, formula];
  });
  try {
    return work();
  } finally {
    for (const [source, formula] of stood) source.replaceWith(formula);
  }
}

/** What a person chose and copies: formulas in it as they were written. */
export function copyChosen(event) {
  const chosen = getSelection();
  const box = element("div", "away");
  if (chosen.rangeCount) box.append(chosen.getRangeAt(0).cloneContents());
  if (!box.querySelector("math")) return; // the browser does it well
  event.currentTarget.append(box);
  event.clipboardData.setData("text/plain", asWritten(box, () => box.innerText));
  box.remove();
  event.preventDefault();
}
