"use strict";
// Looking closer: tooltips, zoom, filter, legend, keyboard. The page says everything without it.
(() => {
  const LOOK = "rect, .points path"; // what has a title of its own
  const EDGE = 3; // pixels of width from which rectangles have an edge
  const heard = document.getElementById("heard");
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function make(tag, name, text) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Numbers in words, as the page has them

  const grouped = (value, digits) =>
    value.toLocaleString("en-US", { maximumFractionDigits: digits });

  function plain(value) {
    const size = Math.abs(value);
    if (value === 0) return "0";
    if (size >= 1e15 || size < 1e-4) return value.toExponential().replace(/(\.\d{3})\d*/, "$1");
    if (Number.isInteger(value)) return grouped(value, 0);
    return grouped(value, clamp(4 - Math.floor(Math.log10(size)), 1, 9));
  }

  function bytes(value) {
    const size = Math.abs(value);
    let unit = "B", factor = 1;
    for (const [name, power] of [["KiB", 1], ["MiB", 2], ["GiB", 3], ["TiB", 4]]) {
      if (size >= (power === 2 ? 100 : 1) * 1024 ** power) [unit, factor] = [name, 1024 ** power];
    }
    return grouped(value / factor, 3) + " " + unit;
  }

  function words(value, unit) {
    if (unit === "bytes") return bytes(value);
    if (unit === "share") return plain(Number((100 * value).toPrecision(4))) + " %";
    return plain(value) + (unit === "ms" || unit === "s" ? " " + unit : "");
  }

  // Ticks of a part of an axis: [coordinate, text]

  function roundStep(least, unit) {
    if (unit === "bytes" && least > 1) return 2 ** Math.ceil(Math.log2(least) - 1e-9);
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= least * (1 - 1e-9)) * power;
    return unit === "count" ? Math.max(1, step) : step;
  }

  const rawOf = (axis, at) => at * axis.factor + axis.offset;
  const valueOf = (axis, at) => (axis.log ? 10 ** rawOf(axis, at) : rawOf(axis, at));
  const placeOf = (axis, value) =>
    ((axis.log ? Math.log10(value) : value) - axis.offset) / axis.factor;

  function ticks(axis, low, high, most) {
    const found = [];
    if (axis.names.length) {
      const first = Math.max(0, Math.ceil(low - 0.5));
      const last = Math.min(axis.names.length - 1, Math.floor(high - 0.5));
      const stride = Math.max(1, Math.ceil((last - first + 1) / most));
      for (let i = first; i <= last; i += stride) found.push([i + 0.5, axis.names[i]]);
      return found;
    }
    const first = Math.ceil(rawOf(axis, low)), last = Math.floor(rawOf(axis, high));
    if (axis.log && last - first >= 1) {
      const stride = Math.ceil((last - first + 1) / most);
      for (let p = first; p <= last; p += stride) {
        found.push([placeOf(axis, 10 ** p), words(10 ** p, axis.unit)]);
      }
      return found;
    }
    const from = valueOf(axis, low), to = valueOf(axis, high);
    const step = roundStep((to - from) / most, axis.unit);
    const end = Math.min(Math.floor(to / step + 1e-9), Math.ceil(from / step) + 50);
    for (let i = Math.ceil(from / step - 1e-9); i <= end; i++) {
      const value = Number((i * step).toPrecision(12));
      found.push([placeOf(axis, value), words(value, axis.unit)]);
    }
    return found;
  }

  // One tooltip for all figures

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

  // Figures

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

  for (const figure of document.querySelectorAll("figure")) new Plot(figure);

  // The whole page: filter and colours

  const tools = document.querySelector(".tools");
  tools.hidden = false;
  const search = document.getElementById("filter");
  const matches = document.getElementById("matches");
  let titles = null;

  function filter() {
    leave();
    titles ??= [...document.querySelectorAll(".marks")].flatMap((marks) =>
      [...marks.querySelectorAll(LOOK)].map((mark) => [mark, titleOf(mark).toLowerCase()])
    );
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const [mark, title] of titles) {
      const found = title.includes(wanted);
      count += found;
      mark.classList.toggle("dim", !found);
    }
    matches.textContent = wanted
      ? `${grouped(count, 0)} of ${grouped(titles.length, 0)} marks match` : "";
  }

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, titles && titles.length < 3000 ? 0 : 150);
  });

  const theme = document.getElementById("theme");
  const asked = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (asked.matches ? "dark" : "light")) === "dark";
  const named = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    named();
  });
  asked.addEventListener("change", named);
  named();
})();
