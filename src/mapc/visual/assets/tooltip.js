// One tooltip for all figures, and the mark that is looked at.

const LOOK = "rect, .points path"; // what has a title of its own
const heard = document.getElementById("heard");

function make(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

const tip = make("div", "tip");
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  const top = y + 16 + box.height > innerHeight ? y - 12 - box.height : y + 16;
  tip.style.left = clamp(left, 4, Math.max(4, innerWidth - box.width - 4)) + "px";
  tip.style.top = Math.max(4, top) + "px";
}

let lit = null; // the mark that is looked at, and its title, which is out of the way meanwhile

const titleOf = (mark) =>
  lit && lit.mark === mark ? lit.text : mark.firstElementChild?.textContent ?? "";

function light(mark) {
  if (lit && lit.mark === mark) return;
  dark();
  if (!mark) return;
  const text = titleOf(mark);
  lit = { mark, text };
  mark.classList.add("on");
  mark.setAttribute("aria-label", text);
  if (mark.firstElementChild) mark.firstElementChild.textContent = ""; // no second tooltip
}

function dark() {
  if (!lit) return;
  lit.mark.classList.remove("on");
  lit.mark.removeAttribute("aria-label");
  if (lit.mark.firstElementChild) lit.mark.firstElementChild.textContent = lit.text;
  lit = null;
}

function leave() {
  dark();
  tip.hidden = true;
}

addEventListener("scroll", leave, { passive: true, capture: true });
