"""A person without a pointer: Tab and Enter alone, who must see at every step where the focus is."""

from __future__ import annotations

from typing import Any

STEPS = 150
"""More stops than any page has."""
STATE = """() => {
  const on = document.activeElement;
  const told = {what: on.outerHTML.slice(0, 120), at: on.tagName === "BODY" ? "body" : "element"};
  if (on.tagName === "BODY") return told;
  const indicator = (node) => {
    const style = getComputedStyle(node);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  };
  const field = on.closest(".field");  // shows the focus of the text in it
  told.indicated = indicator(on) || (field && getComputedStyle(field).boxShadow !== "none");
  const points = [...on.getClientRects()].flatMap((box) => [[.5, .5], [.05, .5], [.95, .5], [.5, .1], [.5, .9]]
    .map(([x, y]) => [box.left + box.width * x, box.top + box.height * y]));
  const inside = on.closest("dialog");
  told.seen = points.some(([x, y]) => {
    const hit = document.elementFromPoint(x, y);
    return hit && (on.contains(hit) || (hit.contains(on) && hit !== document.body && hit !== document.documentElement
      && hit !== inside));
  });
  return told;
}"""


class Keys:
    """What a person does on a page by keys alone. `stops` counts how often Tab was pressed."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.stops = 0

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def look(self) -> None:
        """The focus is on something, that is in sight, and it is shown."""
        state = self.page.evaluate(STATE)
        assert state["at"] == "element", "the focus is lost"
        assert state["indicated"], f"nothing shows the focus: {state['what']}"
        assert state["seen"], f"the focus is out of sight: {state['what']}"

    def is_on(self, selector: str) -> bool:
        return bool(self.page.evaluate("one => document.activeElement.matches(one)", selector))

    def to(self, selector: str, key: str = "Tab") -> None:
        """Press Tab until the focus is on what is looked for, and look at every stop."""
        for _ in range(STEPS):
            self.press(key)
            self.stops += 1
            if self.is_on("body"):
                continue  # the end of the page: the next one is its beginning
            self.look()
            if self.is_on(selector):
                return
        raise AssertionError(f"not reached by {key}: {selector}")

    def enter(self, selector: str, key: str = "Tab") -> None:
        """Go there and press Enter."""
        self.to(selector, key)
        self.press("Enter")
