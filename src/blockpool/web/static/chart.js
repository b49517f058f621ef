// Charts of numbers over the last ten minutes, a point a second.

import { make, setText } from "./dom.js";
import { isDark } from "./palette.js";

export const SPAN = 600; // seconds
const SPANS = [60, 180, SPAN]; // the shortest that has all points is shown
const LEFT = 46;
const BOTTOM = 18;
const TOP = 6;
const HEIGHT = 130;

/** Round up to 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value * 0.999) * power;
}

/** Points by second, the oldest first; more than ten minutes are dropped. */
export class Series {
  constructor() {
    this.points = [];
  }

  /** Add a point: an object with `time` in seconds. Several in a second become their mean; a gap stays a gap. */
  add(point) {
    const second = Math.floor(point.time);
    const last = this.points.at(-1);
    if (last && second < last.second) return;
    if (last?.second === second) {
      last.number += 1;
      for (const name of Object.keys(point)) {
        if (typeof point[name] === "number")
          last[name] = (last[name] ?? 0) + (point[name] - (last[name] ?? 0)) / last.number;
      }
      return;
    }
    this.points.push({ ...point, second, number: 1 });
    const oldest = second - SPAN - 5;
    let drop = 0;
    while (drop < this.points.length && this.points[drop].second < oldest) drop += 1;
    if (drop) this.points.splice(0, drop);
  }
}

/**
 * A chart with a title, the present value and a sentence for those who cannot see it.
 *
 * `lines` is [{name, of(point), colour: [light, dark], dash}]; `format` writes a value; `most` is the fixed upper end
 * or null.
 */
export class Chart {
  constructor(title, lines, format, most = null) {
    Object.assign(this, { title, lines, format, most });
    this.canvas = make("canvas", { role: "img", "aria-label": title });
    this.now = make("output", { class: "now", "aria-live": "off" });
    const keys =
      lines.length > 1
        ? lines.map((line, i) =>
            make(
              "span",
              { class: "key" },
              ((this.swatches ??= [])[i] = make("i", { "aria-hidden": "true" })),
              line.name,
            ),
          )
        : [];
    this.hint = make("span", { class: "hint", "aria-hidden": "true" });
    this.element = make(
      "figure",
      { class: "chart" },
      make("figcaption", {}, make("h3", {}, title), this.now, make("span", { class: "keys" }, keys)),
      make("div", { class: "plot" }, this.canvas, this.hint),
    );
    this.canvas.addEventListener("pointermove", (event) => {
      this.x = event.offsetX;
      this.draw();
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.x = null;
      this.draw();
    });
  }

  /** Draw these points, up to `now`. */
  update(points, now) {
    this.points = points;
    this.end = now;
    this.draw();
  }

  draw() {
    const { points, end, canvas } = this;
    const width = canvas.parentElement?.clientWidth ?? 0;
    if (!points || !width || document.hidden) return;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(HEIGHT * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      [canvas.width, canvas.height] = [w, h];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${HEIGHT}px`;
    }
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    const span = SPANS.find((each) => end - (points[0]?.second ?? end) <= each) ?? SPAN;
    const shown = points.filter((point) => point.second >= end - span);
    const values = this.lines.map((line) => shown.map(line.of));
    const high = this.most ?? ceiling(Math.max(0, ...values.flat().filter(Number.isFinite)));
    const x = (second) => LEFT + ((second - (end - span)) / span) * (width - LEFT - 8);
    const y = (value) => TOP + (1 - Math.min(1, value / high)) * (HEIGHT - TOP - BOTTOM);
    this.axes(context, style, width, high, span, x, y);
    this.lines.forEach((line, i) => {
      const colour = line.colour[isDark() ? 1 : 0];
      if (this.swatches) this.swatches[i].style.borderTop = `3px ${line.dash ? "dashed" : "solid"} ${colour}`;
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.lineJoin = "round";
      context.setLineDash(line.dash ?? []);
      context.beginPath();
      let before = null;
      shown.forEach((point, j) => {
        const value = values[i][j];
        if (!Number.isFinite(value)) {
          before = null;
          return;
        }
        if (before === null || point.second - before > 5) {
          context.moveTo(x(point.second) - 1, y(value));
          context.lineTo(x(point.second), y(value));
        } else context.lineTo(x(point.second), y(value));
        before = point.second;
      });
      context.stroke();
      context.setLineDash([]);
    });
    this.tell(shown, values);
    this.point(context, style, shown, values, x);
  }

  axes(context, style, width, high, span, x, y) {
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = style.getPropertyValue("--quiet");
    context.strokeStyle = style.getPropertyValue("--line");
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      context.fillText(this.format(high * share), LEFT - 6, y(high * share));
      context.beginPath();
      context.moveTo(LEFT, Math.round(y(high * share)) + 0.5);
      context.lineTo(width - 8, Math.round(y(high * share)) + 0.5);
      context.stroke();
    }
    context.textBaseline = "alphabetic";
    for (const [ago, align] of [
      [span, "left"],
      [span / 2, "center"],
      [0, "right"],
    ]) {
      context.textAlign = align;
      const text = ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
      context.fillText(text, x(this.end - ago), HEIGHT - 4);
    }
  }

  tell(shown, values) {
    const last = values.map((each) => each.at(-1));
    setText(this.now, last.map((value) => (Number.isFinite(value) ? this.format(value) : "–")).join(" / "));
    const say = this.lines.map((line, i) => {
      const known = values[i].filter(Number.isFinite);
      if (!known.length) return `${line.name}: nothing known yet`;
      const [low, top] = [Math.min(...known), Math.max(...known)];
      return `${line.name}: now ${this.format(known.at(-1))}, from ${this.format(low)} to ${this.format(top)}`;
    });
    const minutes = shown.length ? Math.max(1, Math.round((this.end - shown[0].second) / 60)) : 0;
    const label = `${this.title} over the last ${minutes === 1 ? "minute" : `${minutes} minutes`}. ${say.join("; ")}.`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }

  /** Write the values at the mouse. */
  point(context, style, shown, values, x) {
    if (this.x === null || this.x === undefined || !shown.length) {
      setText(this.hint, "");
      return;
    }
    let best = 0;
    shown.forEach((point, j) => {
      if (Math.abs(x(point.second) - this.x) < Math.abs(x(shown[best].second) - this.x)) best = j;
    });
    const at = Math.round(x(shown[best].second)) + 0.5;
    context.strokeStyle = style.getPropertyValue("--quiet");
    context.beginPath();
    context.moveTo(at, TOP);
    context.lineTo(at, HEIGHT - BOTTOM);
    context.stroke();
    const ago = Math.round(this.end - shown[best].second);
    const said = this.lines.map(
      (line, i) => `${this.lines.length > 1 ? `${line.name} ` : ""}${this.format(values[i][best])}`,
    );
    setText(
      this.hint,
      `${ago < 60 ? `${ago} s` : `${Math.floor(ago / 60)} min ${ago % 60} s`} ago: ${said.join(", ")}`,
    );
  }
}
