// The live map of a pool's blocks: what part is shown, the cell that is looked at, mouse, keys and legend.

import { announce, make, reconcile, setText, show } from "./dom.js";
import { count, things } from "./format.js";
import { cellOf, decodeMap, describe, firstOf, layout, sizeOf } from "./cells.js";
import { Legend } from "./legend.js";
import { palette } from "./palette.js";
import { Painter } from "./paint.js";
import { get } from "./api.js";

const CELLS = 4096; // of a part; the server chooses those of the whole
const LEAST = 8; // blocks of the smallest part
const FETCH_EVERY = 200; // milliseconds between fetches of a part
const HELP = "Arrow keys move the cursor, + and − zoom, Page up and Page down move along, 0 shows all.";

export class BlockMap {
  constructor(id) {
    this.id = id;
    this.whole = null; // the latest map of the whole pool
    this.part = null; // the latest map of the part that is shown, or null
    this.range = null; // [first, blocks] of the part, or null for all
    this.blocks = 0;
    this.processes = new Map();
    this.snapshot = null;
    this.by = "holder";
    this.cursor = null; // a block
    this.selection = null;
    this.dragging = null;
    this.grid = null;
    this.frame = 0;
    this.fetching = null;
    this.fetchedAt = 0;
    this.timer = 0;
    // For measurements: updates that came, drawings, and how long these took in milliseconds.
    this.meter = { updates: 0, draws: 0, total: 0, longest: 0 };
    this.build();
  }

  build() {
    const button = (label, text, action) =>
      make("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.painter = new Painter(this.canvas);
    this.tip = make("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.surface = make(
      "div",
      {
        class: "surface",
        tabindex: 0,
        role: "application",
        "aria-label": "Map of blocks",
        "aria-describedby": "map-help",
        onkeydown: (event) => this.key(event),
        onfocus: () => this.focused(),
        onblur: () => this.changed(),
      },
      this.canvas,
      this.tip,
    );
    this.shown = make("p", { class: "range" });
    this.where = make("div", { class: "where", "aria-hidden": "true" }, make("span"));
    const choice = (value, text) =>
      make(
        "label",
        {},
        make("input", {
          type: "radio",
          name: "colour-by",
          value,
          checked: value === this.by,
          onchange: () => this.colourBy(value),
        }),
        text,
      );
    this.legend = new Legend(() => this.changed());
    this.element = make(
      "section",
      { class: "map", "aria-labelledby": "map-title" },
      make(
        "div",
        { class: "bar" },
        make("h2", { id: "map-title" }, "Blocks"),
        make(
          "fieldset",
          { class: "choice" },
          make("legend", {}, "Coloured by"),
          choice("holder", "holder"),
          choice("age", "age"),
        ),
        make(
          "div",
          { class: "buttons", role: "group", "aria-label": "Part that is shown" },
          (this.back = button("Move back", "◀", () => this.move(-1))),
          (this.forth = button("Move on", "▶", () => this.move(1))),
          (this.out = button("Zoom out", "−", () => this.zoom(4))),
          (this.into = button("Zoom in", "+", () => this.zoom(1 / 4))),
          (this.all = button("Show all blocks", "All", () => this.setRange(null))),
        ),
      ),
      this.shown,
      this.where,
      this.surface,
      make(
        "p",
        { id: "map-help", class: "quiet" },
        HELP,
        " Drag across cells to zoom to them; the wheel zooms once the map has the focus.",
      ),
      this.legend.elements,
    );
    this.element.meter = this.meter;
    this.element.blockMap = this;
    const { surface } = this;
    surface.addEventListener("pointerdown", (event) => this.pointerDown(event));
    surface.addEventListener("pointermove", (event) => this.pointerMove(event));
    surface.addEventListener("pointerup", (event) => this.pointerUp(event));
    surface.addEventListener("pointercancel", () => this.endDrag());
    surface.addEventListener("pointerleave", () => show(this.tip, false));
    surface.addEventListener("dblclick", (event) => this.zoom(1 / 4, this.cellAt(event)));
    surface.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.observer = new ResizeObserver(() => this.changed(true));
    this.observer.observe(surface);
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.fetching?.abort();
  }

  // -- data ------------------------------------------------------------------------------------------------------

  /** Take an update: the snapshot, and a map unless it is as it was. */
  update(snapshot, map) {
    this.meter.updates += 1;
    this.snapshot = snapshot;
    this.blocks = snapshot.blocks;
    this.processes = new Map(snapshot.processes.map((each) => [each.slot, each]));
    if (map) {
      const resized = this.whole?.cells !== map.cells;
      this.whole = decodeMap(map);
      if (this.range) this.fetchPart();
      else this.changed(resized);
    }
    this.tellTip();
  }

  /** Bring the legend up to date; not at each update, as reading it takes longer. */
  tell() {
    if (this.snapshot) this.legend.update(this.snapshot, this.processes, this.by);
  }

  get map() {
    return this.range ? this.part : this.whole;
  }

  async fetchPart() {
    if (!this.range || this.fetching || document.hidden) return;
    const pause = this.fetchedAt + FETCH_EVERY - performance.now();
    clearTimeout(this.timer);
    if (pause > 0) {
      this.timer = setTimeout(() => this.fetchPart(), pause);
      return;
    }
    const [first, blocks] = this.range;
    this.fetchedAt = performance.now();
    this.fetching = new AbortController();
    try {
      const parameters = { cells: Math.min(CELLS, blocks), first, blocks };
      const map = await get(`pools/${encodeURIComponent(this.id)}/map`, parameters, this.fetching.signal);
      if (this.range && this.range[0] === first && this.range[1] === blocks) {
        const resized = this.part?.cells !== map.cells;
        this.part = decodeMap(map);
        this.changed(resized);
        this.tellTip();
      }
    } catch {
      // The feed tells what is wrong with the server or the pool, and the next update asks again.
    } finally {
      this.fetching = null;
    }
    if (this.range && (this.range[0] !== first || this.range[1] !== blocks)) this.fetchPart();
  }

  // -- what is shown ---------------------------------------------------------------------------------------------

  setRange(range) {
    if (range) {
      const blocks = Math.max(Math.min(LEAST, this.blocks), Math.min(this.blocks, Math.round(range[1])));
      const first = Math.max(0, Math.min(this.blocks - blocks, Math.round(range[0])));
      range = blocks === this.blocks ? null : [first, blocks];
    }
    this.range = range;
    this.part = range && this.part?.first === range[0] && this.part.blocks === range[1] ? this.part : null;
    if (this.cursor !== null && range) this.cursor = Math.max(range[0], Math.min(range[0] + range[1] - 1, this.cursor));
    this.fetchedAt = 0;
    this.fetchPart();
    this.tellRange();
    this.changed(true);
  }

  zoom(factor, cell = null) {
    if (!this.blocks) return;
    const [first, blocks] = this.range ?? [0, this.blocks];
    const { map } = this;
    const middle =
      cell !== null && map ? firstOf(map, cell) + sizeOf(map, cell) / 2 : (this.cursor ?? first + blocks / 2);
    const wanted = Math.max(LEAST, blocks * factor);
    this.setRange([middle - (middle - first) * (wanted / blocks), wanted]);
    announce(this.shown.textContent);
  }

  move(by) {
    if (!this.range) return;
    this.setRange([this.range[0] + (by * this.range[1]) / 2, this.range[1]]);
    announce(this.shown.textContent);
  }

  /** Show a block: with the cursor on it, and close enough that it has a cell of its own. */
  reveal(block) {
    this.cursor = block;
    const [first, blocks] = this.range ?? [0, this.blocks];
    const within = block >= first && block < first + blocks;
    if (blocks > CELLS || !within) this.setRange(this.blocks > CELLS ? [block - CELLS / 8, CELLS / 4] : null);
    this.surface.focus();
    this.surface.scrollIntoView({ block: "center" });
    this.changed();
  }

  colourBy(by) {
    this.by = by;
    this.tell();
    this.changed();
  }

  tellRange() {
    const [first, blocks] = this.range ?? [0, this.blocks];
    const part = this.range
      ? `blocks ${count(first)}–${count(first + blocks - 1)} of ${count(this.blocks)}`
      : `all ${things(blocks, "block")}`;
    const { map } = this;
    const each = map ? map.blocks / map.cells : 1;
    const cell =
      each > 1
        ? `; a cell stands for ${each % 1 ? "about " : ""}${count(Math.round(each))}, stronger the more are allocated`
        : "";
    setText(this.shown, `Shown: ${part}${cell}.`);
    const mark = this.where.firstElementChild;
    this.where.classList.toggle("unseen-space", !this.range);
    mark.style.left = `${(100 * first) / (this.blocks || 1)}%`;
    mark.style.width = `max(3px, ${(100 * blocks) / (this.blocks || 1)}%)`;
    this.back.disabled = !this.range || first === 0;
    this.forth.disabled = !this.range || first + blocks >= this.blocks;
    this.out.disabled = this.all.disabled = !this.range;
    this.into.disabled = blocks <= LEAST;
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  /** Draw again at the next frame; with `resized`, lay the cells out again. */
  changed(resized = false) {
    if (resized) this.grid = null;
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { map } = this;
    if (!map || document.hidden) return;
    const start = performance.now();
    if (!this.grid) {
      const ratio = devicePixelRatio || 1;
      const width = Math.floor(this.surface.clientWidth * ratio);
      if (!width) return;
      const height = Math.floor(Math.max(260, Math.min(520, innerHeight * 0.6)) * ratio);
      this.grid = layout(map.cells, width, height, Math.round(72 * ratio));
      this.canvas.style.width = `${(this.grid.columns * this.grid.size) / ratio}px`;
      this.canvas.style.height = `${(this.grid.rows * this.grid.size) / ratio}px`;
      this.tellRange();
    }
    const focused = document.activeElement === this.surface;
    this.painter.draw(map, this.grid, {
      colours: palette(),
      by: this.by,
      only: this.legend.only,
      cursor: this.cursor === null || !focused ? null : cellOf(map, this.cursor),
      selection: this.selection,
    });
    const took = performance.now() - start;
    this.meter.draws += 1;
    this.meter.total += took;
    this.meter.longest = Math.max(this.meter.longest, took);
  }

  // -- mouse, touch and keys -------------------------------------------------------------------------------------

  cellAt(event) {
    const { map, grid } = this;
    if (!map || !grid) return null;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * grid.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * grid.rows);
    const cell = row * grid.columns + column;
    const inside = column >= 0 && column < grid.columns && row >= 0 && cell >= 0 && cell < map.cells;
    return inside ? cell : null;
  }

  pointerDown(event) {
    if (event.button !== 0) return;
    const cell = this.cellAt(event);
    if (cell === null) return;
    this.cursor = firstOf(this.map, cell);
    if (event.pointerType === "mouse") {
      this.dragging = { cell, map: this.map };
      this.surface.setPointerCapture(event.pointerId);
    }
    this.changed();
  }

  pointerMove(event) {
    const cell = this.cellAt(event);
    if (this.dragging && cell !== null && (this.selection || cell !== this.dragging.cell)) {
      this.selection = [this.dragging.cell, cell];
      this.changed();
    }
    this.point = cell === null ? null : { x: event.clientX, y: event.clientY };
    this.tellTip();
  }

  pointerUp(event) {
    if (event.pointerType !== "mouse") {
      this.point = { x: event.clientX, y: event.clientY };
      this.tellTip();
    }
    const { selection, map } = this;
    this.endDrag();
    if (!selection || !map || selection[0] === selection[1]) return;
    const [low, high] = [Math.min(...selection), Math.max(...selection)];
    const first = firstOf(map, low);
    this.setRange([first, firstOf(map, high + 1) - first]);
    announce(this.shown.textContent);
  }

  endDrag() {
    this.dragging = null;
    if (this.selection) this.changed();
    this.selection = null;
  }

  tellTip() {
    const { map } = this;
    const cell = this.point ? this.cellAt({ clientX: this.point.x, clientY: this.point.y }) : null;
    if (cell === null || !map) {
      show(this.tip, false);
      return;
    }
    const lines = describe(map, cell, this.processes);
    reconcile(
      this.tip,
      lines.map((text, i) => ({ text, i })),
      ({ i }) => i,
      ({ i }) => make(i ? "span" : "strong"),
      (element, { text }) => setText(element, text),
    );
    show(this.tip, true);
    const box = this.surface.getBoundingClientRect();
    const left = Math.max(0, Math.min(this.point.x - box.left + 14, box.width - this.tip.offsetWidth));
    const below = this.point.y - box.top + 18;
    this.tip.style.left = `${left}px`;
    const above = Math.max(0, this.point.y - box.top - this.tip.offsetHeight - 10);
    this.tip.style.top = `${below + this.tip.offsetHeight > box.height ? above : below}px`;
  }

  wheel(event) {
    const focused = document.activeElement === this.surface;
    if (!(event.ctrlKey || focused) || (event.deltaY > 0 && !this.range)) return;
    event.preventDefault();
    const now = performance.now();
    if (now - (this.wheeledAt ?? 0) < 120) return;
    this.wheeledAt = now;
    this.zoom(event.deltaY < 0 ? 1 / 2 : 2, this.cellAt(event));
  }

  focused() {
    if (this.cursor === null) this.cursor = this.range ? this.range[0] : 0;
    this.changed();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.map && this.moveCursor(event.key)) {
      announce(describe(this.map, cellOf(this.map, this.cursor), this.processes).join(", "));
    } else if (event.key === "+" || event.key === "=") this.zoom(1 / 4);
    else if (event.key === "-" || event.key === "−") this.zoom(4);
    else if (event.key === "0" || (event.key === "Escape" && this.range)) {
      this.setRange(null);
      announce(this.shown.textContent);
    } else if (event.key === "PageUp" && this.range) this.move(-1);
    else if (event.key === "PageDown" && this.range) this.move(1);
    else return;
    event.preventDefault();
  }

  /** Move the cursor as a key says; returns whether the key is one of these. Enter and space let it stay. */
  moveCursor(key) {
    const { map } = this;
    const columns = this.grid?.columns ?? 1;
    const cell = cellOf(map, this.cursor ?? map.first);
    const moves = {
      ArrowLeft: cell - 1,
      ArrowRight: cell + 1,
      ArrowUp: cell - columns,
      ArrowDown: cell + columns,
      Home: 0,
      End: map.cells - 1,
      Enter: cell,
      " ": cell,
    };
    if (!(key in moves)) return false;
    const to = moves[key];
    this.cursor = firstOf(map, to >= 0 && to < map.cells ? to : cell);
    this.changed();
    return true;
  }
}
