// A figure that can be looked at more closely: zoom, legend, pointer, keyboard.

const EDGE = 3; // pixels of width from which rectangles have an edge

class Plot {
  constructor(figure) {
    this.figure = figure;
    this.root = figure.querySelector(".plot");
    this.area = figure.querySelector(".area");
    this.svg = figure.querySelector("svg");
    this.grid = figure.querySelector(".grid");
    this.across = { ...JSON.parse(this.root.dataset.x), box: figure.querySelector(".xt") };
    this.up = { ...JSON.parse(this.root.dataset.y), box: figure.querySelector(".yt") };
    const [x, y, w, h] = this.svg.getAttribute("viewBox").split(" ").map(Number);
    Object.assign(this.across, { low: x, high: x + w });
    Object.assign(this.up, this.up.down ? { low: y, high: y + h } : { low: -y - h, high: -y });
    for (const axis of [this.across, this.up]) {
      Object.assign(axis, { from: axis.low, to: axis.high, ticks: [...axis.box.childNodes] });
    }
    this.firstGrid = this.grid.getAttribute("d");
    this.labels = [...figure.querySelectorAll(".rl")].map((label) => [
      label, label.getAttribute("style"), label.classList.contains("x") ? this.across : this.up,
    ]);
    this.thin = [...figure.querySelectorAll(".rects.thin")];
    this.tools();
    this.listen();
    this.edge();
  }

  tools() {
    const box = make("div", "figtools");
    const title =
      this.figure.getAttribute("aria-label") ?? this.figure.querySelector("h3").textContent;
    for (const [text, name, act] of [
      ["+", "Zoom in", () => this.zoom(0.5)],
      ["\u2212", "Zoom out", () => this.zoom(2)],
      ["Whole", "Show the whole picture", () => this.whole()],
    ]) {
      const button = make("button", "", text);
      button.type = "button";
      button.setAttribute("aria-label", `${name}: ${title}`);
      button.addEventListener("click", act);
      box.append(button);
    }
    this.root.before(box);
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "application");
    this.root.setAttribute("aria-roledescription", "picture");
    this.root.setAttribute(
      "aria-label",
      `${title}. Arrow keys go from mark to mark, plus and minus zoom, 0 shows the whole, ` +
        "arrows with shift move, Escape leaves."
    );
    for (const button of this.figure.querySelectorAll(".legend button")) {
      button.disabled = false;
      button.addEventListener("click", () => this.toggle(button));
    }
  }

  toggle(button) {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    const picked = `[data-series="${button.dataset.series}"]`;
    for (const part of this.root.querySelectorAll(picked)) part.classList.toggle("off", !shown);
    leave();
  }

  // Where things are: coordinates are those of the drawing (logarithms on such axes)

  place(event) {
    const box = this.area.getBoundingClientRect();
    const right = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    return [clamp(right, 0, 1), clamp(this.up.down ? down : 1 - down, 0, 1)];
  }

  at(axis, share) {
    return axis.from + share * (axis.to - axis.from);
  }

  view(axis, from, to) {
    const whole = axis.high - axis.low;
    const length = clamp(to - from, whole / 2000, whole);
    const middle = (from + to) / 2;
    axis.from = clamp(middle - length / 2, axis.low, axis.high - length);
    axis.to = axis.from + length;
  }

  zoom(factor, x = 0.5, y = 0.5) {
    for (const [axis, share] of [[this.across, x], [this.up, y]]) {
      const at = this.at(axis, share), length = (axis.to - axis.from) * factor;
      this.view(axis, at - share * length, at + (1 - share) * length);
    }
    this.show();
  }

  move(x, y) {
    for (const [axis, share] of [[this.across, x], [this.up, y]]) {
      const by = share * (axis.to - axis.from);
      this.view(axis, axis.from + by, axis.to + by);
    }
    this.show();
  }

  whole() {
    for (const axis of [this.across, this.up]) this.view(axis, axis.low, axis.high);
    this.show();
  }

  get isWhole() {
    return [this.across, this.up].every(
      (axis) => axis.to - axis.from >= (axis.high - axis.low) * (1 - 1e-9)
    );
  }

  show() {
    leave();
    const { across, up } = this;
    const top = up.down ? up.from : -up.to;
    this.svg.setAttribute(
      "viewBox", [across.from, top, across.to - across.from, up.to - up.from].join(" ")
    );
    if (this.isWhole) {
      for (const axis of [across, up]) axis.box.replaceChildren(...axis.ticks);
      this.grid.setAttribute("d", this.firstGrid);
      for (const [label, style] of this.labels) {
        label.setAttribute("style", style);
        label.hidden = false;
      }
    } else {
      this.relabel();
    }
    this.edge();
  }

  edge() {
    const { from, to, low, high } = this.across;
    const wide = (this.area.clientWidth * (high - low)) / (to - from);
    for (const group of this.figure.querySelectorAll(".rects")) {
      group.classList.toggle("edged", wide * Number(group.dataset.w) >= EDGE);
    }
    for (const group of this.thin) group.classList.toggle("thin", high - low < 4 * (to - from));
  }

  relabel() {
    const { across, up } = this;
    const lines = [];
    for (const [axis, side, most] of [
      [across, "left", this.area.clientWidth < 480 ? 4 : 8],
      [up, up.down ? "top" : "bottom", Math.max(2, this.area.clientHeight / 44)],
    ]) {
      const made = ticks(axis, axis.from, axis.to, Math.floor(most)).map(([at, text]) => {
        const tick = make("span");
        tick.append(make("bdi", "", text));
        const share = (at - axis.from) / (axis.to - axis.from);
        tick.style[side] = 100 * share + "%";
        if (share > 0.96) tick.className = "end";
        if (!axis.names.length) {
          lines.push(
            axis === across ? `M${at} ${up.from}V${up.to}` : `M${across.from} ${at}H${across.to}`
          );
        }
        return tick;
      });
      axis.box.replaceChildren(...made);
    }
    this.grid.setAttribute("d", lines.join(""));
    for (const [label, , axis] of this.labels) {
      const at = placeOf(axis, Number(label.lastElementChild.dataset.at));
      const share = (at - axis.from) / (axis.to - axis.from);
      label.hidden = !(share >= 0 && share <= 1);
      label.removeAttribute("style");
      const height = axis.down ? 1 - share : share;
      if (axis === across) {
        const [side, place] = share <= 0.5 ? ["left", share] : ["right", 1 - share];
        label.style[side] = 100 * place + "%";
        label.style.maxWidth = 100 * (1 - place) + "%";
      } else label.style[height <= 0.9 ? "bottom" : "top"] =
        100 * (height <= 0.9 ? height : 1 - height) + "%";
    }
  }

  // Pointer

  listen() {
    const { area, root } = this;
    area.addEventListener("pointermove", (event) => this.hover(event));
    area.addEventListener("pointerdown", (event) => this.press(event));
    area.addEventListener("pointerup", (event) => this.release(event));
    area.addEventListener("pointercancel", () => this.drop());
    area.addEventListener("pointerleave", () => { if (!this.drag) leave(); });
    area.addEventListener("dblclick", () => this.whole());
    area.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, ...this.place(event));
    }, { passive: false });
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("blur", leave);
  }

  hover(event) {
    if (this.drag) return this.stretch(event);
    const mark = event.target.closest(LOOK);
    light(mark);
    const text = mark ? titleOf(mark) : this.levels(event);
    if (text) showTip(text, event.clientX, event.clientY);
    else tip.hidden = true;
  }

  press(event) {
    if (event.pointerType === "touch" || event.button !== 0) return this.hover(event);
    this.drag = { x: event.clientX, y: event.clientY, from: this.place(event), box: null };
  }

  stretch(event) {
    const { drag } = this;
    if (!drag.box) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
      leave();
      drag.box = make("div", "box-drawn");
      this.area.append(drag.box);
      this.area.setPointerCapture(event.pointerId);
    }
    const to = this.place(event);
    const [left, right] = [Math.min(drag.from[0], to[0]), Math.max(drag.from[0], to[0])];
    const [low, high] = [Math.min(drag.from[1], to[1]), Math.max(drag.from[1], to[1])];
    drag.part = [left, right, low, high];
    const { style } = drag.box;
    style.left = 100 * left + "%";
    style.width = 100 * (right - left) + "%";
    style[this.up.down ? "top" : "bottom"] = 100 * low + "%";
    style.height = 100 * (high - low) + "%";
  }

  release() {
    const part = this.drag?.part;
    this.drop();
    if (!part || part[1] - part[0] < 0.005 || part[3] - part[2] < 0.005) return;
    const [left, right, low, high] = part;
    const { across, up } = this;
    const ends = [this.at(across, left), this.at(across, right), this.at(up, low), this.at(up, high)];
    this.view(across, ends[0], ends[1]);
    this.view(up, ends[2], ends[3]);
    this.show();
  }

  drop() {
    this.drag?.box?.remove();
    this.drag = null;
  }

  // Values of lines where the pointer is

  levels(event) {
    this.ways ??= [...this.figure.querySelectorAll(".steps, .line")].map(read).filter(Boolean);
    const shown = this.ways.filter((way) => !way.group.classList.contains("off"));
    if (!shown.length) return "";
    const x = this.at(this.across, this.place(event)[0]);
    const lines = shown.map((way) => [way.name, level(way, x)]).filter(([, y]) => y !== null);
    if (!lines.length) return "";
    const { across, up } = this;
    const said = (axis, value) => words(valueOf(axis, value), axis.unit);
    const where = across.names.length ? across.names[Math.floor(x)] ?? "" : said(across, x);
    return [where, ...lines.map(([name, y]) => `${name}: ${said(up, y)}`)].join("\n");
  }

  // Keyboard

  key(event) {
    if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const arrow = arrows[event.key];
    if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "0") this.whole();
    else if (event.key === "Escape") { leave(); this.last = null; this.root.blur(); }
    else if (event.key === "Home") this.visit(this.marks()[0]);
    else if (event.key === "End") this.visit(this.marks().at(-1));
    else if (arrow && event.shiftKey) {
      this.move(arrow[0] / 4, (this.up.down ? -arrow[1] : arrow[1]) / 4);
    } else if (arrow) this.walk(...arrow);
    else return;
    event.preventDefault();
  }

  marks() {
    return [...this.svg.querySelectorAll(LOOK)].filter(
      (mark) => !mark.parentNode.classList.contains("off") && !mark.classList.contains("dim")
    );
  }

  middle(mark) {
    if (mark.localName === "path") {
      return mark.getAttribute("d").match(/-?[\d.]+(?:e[-+]?\d+)?/gi).slice(0, 2).map(Number);
    }
    const [x, y, w, h] = ["x", "y", "width", "height"].map((name) => Number(mark.getAttribute(name)));
    return [x + w / 2, y + h / 2];
  }

  walk(right, up) {
    const marks = this.marks();
    const now = marks.indexOf(this.last);
    if (now < 0) return this.visit(marks[0]);
    if (right) return this.visit(marks[clamp(now + right, 0, marks.length - 1)]);
    const wide = this.across.high - this.across.low, high = this.up.high - this.up.low;
    const sign = this.up.down ? -up : up;
    const [x, y] = this.middle(this.last);
    let best = null, least = Infinity;
    for (const mark of marks) {
      const [mx, my] = this.middle(mark);
      const along = (sign * (my - y)) / high;
      const cost = along + 4 * Math.abs((mx - x) / wide);
      if (along > 1e-9 && cost < least) [best, least] = [mark, cost];
    }
    return this.visit(best ?? this.last);
  }

  visit(mark) {
    if (!mark) return;
    const [x, y] = this.middle(mark);
    let moved = false;
    for (const [axis, at] of [[this.across, x], [this.up, y]]) {
      if (at >= axis.from && at <= axis.to) continue;
      const half = (axis.to - axis.from) / 2;
      this.view(axis, at - half, at + half);
      moved = true;
    }
    if (moved) this.show();
    light(mark);
    this.last = mark;
    heard.textContent = titleOf(mark);
    const box = mark.getBoundingClientRect();
    showTip(titleOf(mark), box.left + box.width / 2, box.top + box.height / 2);
  }
}

// A line as pieces [x0, y0, x1, y1], read off its path

function read(group) {
  const path = group.querySelector(".way");
  if (!path) return null;
  const pieces = [];
  let x = 0, y = 0;
  for (const [, act, ends] of path.getAttribute("d").matchAll(/([MHVL])([^MHVL]*)/g)) {
    const [a, b] = ends.trim().split(" ").map(Number);
    if (act === "M") [x, y] = [a, b];
    else if (act === "V") y = a;
    else {
      const to = [a, act === "H" ? y : b];
      pieces.push([x, y, ...to]);
      [x, y] = to;
    }
  }
  return { group, pieces, name: path.textContent };
}

function level({ pieces }, x) {
  const piece = pieces.find(([x0, , x1]) => x >= x0 && x < x1);
  if (!piece) return null;
  const [x0, y0, x1, y1] = piece;
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}
