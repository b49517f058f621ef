// Draws a map's cells on a canvas. Small cells become pixels of one image; large ones are copies of few tiles.

import { ageColour, channels, holderColour, holderPattern, holderSign, ink, NOBODY } from "./palette.js";
import { firstOf } from "./cells.js";

// Cells of at least so many pixels are drawn from tiles, with pattern and sign.
const TILE = 12;
const SIGN = 16;
const INDEX = 40;

/** How much of the holder's colour a cell shows: some for the least, all for a full one. */
function strength(fill) {
  return fill === 0 ? 0 : fill === 255 ? 1 : 0.3 + 0.6 * (fill / 255);
}

function mix(from, to, share) {
  return from.map((value, i) => Math.round(value + (to[i] - value) * share));
}

function packed([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function unpacked(colour) {
  return [colour & 255, (colour >> 8) & 255, (colour >> 16) & 255];
}

/** The colour of a cell as [red, green, blue]. */
export function cellColour(colours, by, fill, holder, age) {
  const free = channels(colours.free);
  if (fill === 0) return free;
  const full = by === "age" && holder !== NOBODY ? ageColour(colours, age) : channels(holderColour(colours, holder));
  return mix(free, full, strength(fill));
}

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.small = document.createElement("canvas"); // a pixel for each cell
    this.tiles = new Map();
    this.known = new Map();
    this.style = "";
  }

  /**
   * Draw a map. `grid` is what layout() chose, in pixels of the screen; `options` are the colours, `by` ("holder" or
   * "age"), `only` (a holder, or null for all), `cursor` (a cell or null) and `selection` ([cell, cell] or null).
   */
  draw(map, grid, options) {
    const { columns, rows, size } = grid;
    const { canvas, context } = this;
    const [width, height] = [columns * size, rows * size];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const style = `${options.by} ${options.only} ${size} ${options.colours.free}`;
    if (this.style !== style) {
      this.style = style;
      this.tiles.clear();
      this.known.clear();
    }
    context.fillStyle = options.colours.line;
    context.fillRect(0, 0, width, height);
    if (size >= TILE) this.drawTiles(map, grid, options);
    else this.drawPixels(map, grid, options);
    if (options.selection) this.drawSelection(grid, options);
    if (options.cursor !== null) this.drawCursor(grid, options);
  }

  colourOf(map, cell, { colours, by, only }) {
    const [fill, holder] = [map.fill[cell], map.holder[cell]];
    const key =
      fill === 0
        ? 0
        : 1 +
          fill +
          256 * (by === "age" ? 8192 + map.age[cell] + (holder === NOBODY ? 256 : 0) : holder) +
          (only !== null && only !== holder ? 2 ** 32 : 0);
    let colour = this.known.get(key);
    if (colour === undefined) {
      let rgb = cellColour(colours, by, fill, holder, map.age[cell]);
      if (fill && only !== null && only !== holder) rgb = mix(channels(colours.free), rgb, 0.15);
      colour = packed(rgb);
      if (this.known.size > 20000) this.known.clear();
      this.known.set(key, colour);
    }
    return colour;
  }

  drawPixels(map, grid, options) {
    const { columns, rows, size } = grid;
    const { small, context } = this;
    if (small.width !== columns || small.height !== rows) {
      [small.width, small.height] = [columns, rows];
      this.image = null;
    }
    const brush = small.getContext("2d");
    this.image ??= brush.createImageData(columns, rows);
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let cell = 0; cell < map.cells; cell += 1) pixels[cell] = this.colourOf(map, cell, options);
    pixels.fill(packed(channels(options.colours.line)), map.cells);
    brush.putImageData(this.image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, columns * size, rows * size);
    if (size < 4) return;
    // Lines between the cells, as wide as leaves most of a cell.
    context.fillStyle = options.colours.line;
    for (let x = 1; x <= columns; x += 1) context.fillRect(x * size - 1, 0, 1, rows * size);
    for (let y = 1; y <= rows; y += 1) context.fillRect(0, y * size - 1, columns * size, 1);
  }

  drawTiles(map, grid, options) {
    const { columns, size } = grid;
    const { context } = this;
    for (let cell = 0; cell < map.cells; cell += 1) {
      const [x, y] = [(cell % columns) * size, Math.floor(cell / columns) * size];
      context.drawImage(this.tile(map, cell, size, options), x, y);
    }
    if (size < INDEX) return;
    context.font = `${Math.round(size / 4.5)}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "top";
    for (let cell = 0; cell < map.cells; cell += 1) {
      const [x, y] = [(cell % columns) * size, Math.floor(cell / columns) * size];
      context.fillStyle = this.inkOf(map, cell, options);
      context.fillText(String(firstOf(map, cell)), x + size * 0.08, y + size * 0.08);
    }
  }

  /** Black or white, which is read best on a cell. */
  inkOf(map, cell, options) {
    const colour = this.colourOf(map, cell, options);
    return ink(unpacked(colour));
  }

  tile(map, cell, size, options) {
    const colour = this.colourOf(map, cell, options);
    const [fill, holder] = [map.fill[cell], map.holder[cell]];
    const signed = fill > 0 && options.by === "holder" && (options.only === null || options.only === holder);
    const key = `${colour} ${signed ? holder : ""} ${fill ? map.shared[cell] : 0}`;
    let made = this.tiles.get(key);
    if (made) return made;
    made = document.createElement("canvas");
    made.width = made.height = size;
    const brush = made.getContext("2d", { alpha: false });
    const dark = this.inkOf(map, cell, options);
    brush.fillStyle = options.colours.line;
    brush.fillRect(0, 0, size, size);
    brush.fillStyle = `rgb(${unpacked(colour).join(" ")})`;
    brush.fillRect(0, 0, size - 1, size - 1);
    if (signed) this.pattern(brush, size, holderPattern(options.colours, holder), dark);
    if (fill && map.shared[cell]) {
      // A corner is cut from what several hold.
      brush.fillStyle = options.colours.line;
      brush.beginPath();
      brush.moveTo(size * 0.68, 0);
      brush.lineTo(size, 0);
      brush.lineTo(size, size * 0.32);
      brush.fill();
    }
    if (signed && size >= SIGN) {
      brush.fillStyle = dark;
      brush.font = `600 ${Math.round(size * 0.45)}px system-ui, sans-serif`;
      brush.textAlign = "center";
      brush.textBaseline = "middle";
      brush.fillText(holderSign(holder), size / 2, size * (size >= INDEX ? 0.6 : 0.54), size * 0.8);
    }
    if (this.tiles.size > 4000) this.tiles.clear();
    this.tiles.set(key, made);
    return made;
  }

  pattern(brush, size, kind, colour) {
    if (!kind) return;
    brush.save();
    brush.globalAlpha = 0.35;
    brush.strokeStyle = brush.fillStyle = colour;
    brush.lineWidth = Math.max(1, size / 14);
    const step = Math.max(4, size / 4);
    for (let at = -size; at < size * 2 && kind < 3; at += step) {
      brush.beginPath();
      brush.moveTo(at, kind === 1 ? 0 : size);
      brush.lineTo(at + size, kind === 1 ? size : 0);
      brush.stroke();
    }
    for (let x = step / 2; x < size && kind === 3; x += step) {
      for (let y = step / 2; y < size; y += step) brush.fillRect(x - 1, y - 1, 2, 2);
    }
    brush.restore();
  }

  drawCursor(grid, { cursor, colours }) {
    const { size, columns } = grid;
    const [x, y] = [(cursor % columns) * size, Math.floor(cursor / columns) * size];
    const width = Math.max(2, Math.min(4, size / 8));
    const room = size < 8 ? 4 : 1;
    // Two colours: one of them is seen on any cell.
    for (const [colour, out] of [
      [colours.line, width],
      [colours.cursor, 0],
    ]) {
      this.context.strokeStyle = colour;
      this.context.lineWidth = width;
      this.context.strokeRect(x - room - out, y - room - out, size - 1 + 2 * (room + out), size - 1 + 2 * (room + out));
    }
  }

  drawSelection(grid, { selection, colours }) {
    const { columns, size } = grid;
    const [low, high] = [Math.min(...selection), Math.max(...selection)];
    this.context.fillStyle = colours.cursor;
    this.context.globalAlpha = 0.35;
    for (let row = Math.floor(low / columns); row <= Math.floor(high / columns); row += 1) {
      const from = Math.max(low, row * columns) % columns;
      const to = Math.min(high, row * columns + columns - 1) % columns;
      this.context.fillRect(from * size, row * size, (to - from + 1) * size, size);
    }
    this.context.globalAlpha = 1;
  }
}
