// The data of a map: its cells, the blocks that each stands for, and where it is on a grid.

import { CATALOG, NOBODY, holderSign } from "./palette.js";
import { blocks as blocksText, count, duration, process, things } from "./format.js";

function decode(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

/** A map as the server sends it, with its arrays decoded. */
export function decodeMap(map) {
  const { first, blocks, cells } = map;
  const holder = decode(map.holder);
  return {
    first,
    blocks,
    cells,
    fill: decode(map.fill),
    holder: new Uint16Array(holder.buffer),
    age: decode(map.age),
    shared: decode(map.shared),
  };
}

/** The first block of a cell. */
export function firstOf(map, cell) {
  return map.first + Math.floor((map.blocks * cell) / map.cells);
}

/** How many blocks a cell stands for. */
export function sizeOf(map, cell) {
  return firstOf(map, cell + 1) - firstOf(map, cell);
}

/** The cell that stands for a block. */
export function cellOf(map, block) {
  let cell = Math.floor(((block - map.first) * map.cells) / map.blocks);
  while (cell + 1 < map.cells && firstOf(map, cell + 1) <= block) cell += 1;
  return Math.max(0, Math.min(map.cells - 1, cell));
}

/** About how many seconds a cell's age is. */
export function secondsOf(map, cell) {
  return 2 ** (map.age[cell] / 16) - 1;
}

/** What a holder is called. */
export function holderText(holder, processes) {
  if (holder >= CATALOG) {
    return (
      ["only the catalog", "only messages", "only tickets"][holder - CATALOG] ??
      "nobody: just being allocated or freed"
    );
  }
  const found = processes.get(holder);
  return found ? `process ${process(found)}` : `a process (slot ${holder})`;
}

/** Sentences that describe a cell, the most important first. */
export function describe(map, cell, processes) {
  const size = sizeOf(map, cell);
  const where = blocksText(firstOf(map, cell), size);
  const lines = [where[0].toUpperCase() + where.slice(1)];
  const fill = map.fill[cell];
  const number = Math.round((fill / 255) * size);
  if (fill === 0) return [...lines, "free"];
  if (size === 1) lines.push("allocated");
  else if (fill === 255) lines.push(`all ${count(size)} allocated`);
  else lines.push(`about ${things(Math.max(1, Math.min(size - 1, number)), "block")} of ${count(size)} allocated`);
  const holder = map.holder[cell];
  const first = size === 1 ? "held by" : "the first held by";
  const sign = holder < NOBODY ? ` (${holderSign(holder)})` : "";
  lines.push(`${first} ${holderText(holder, processes)}${sign}${map.shared[cell] ? ", shared" : ""}`);
  lines.push(
    map.age[cell] === 255
      ? "older than 17 h"
      : `${size === 1 ? "" : "its "}age about ${duration(secondsOf(map, cell))}`,
  );
  return lines;
}

const NICE = [8, 10, 16, 20, 25, 32, 40, 50, 64, 80, 100, 120, 128, 150, 160, 200, 250, 256];

/**
 * Choose columns and the size of a cell so that so many cells fill a width, and a height if they can.
 *
 * Sizes are whole pixels of the screen, so that cells have sharp edges and the same size.
 */
export function layout(cells, width, height, largest) {
  let best = null;
  const most = Math.max(1, Math.floor(width / 2));
  // A row of 50 or 64 blocks is counted easily; of thousands of cells, those that fill the width are better.
  const few = cells <= 4096 ? 1.4 : 1;
  const full = Array.from({ length: largest - 1 }, (_, i) => Math.floor(width / (i + 2)));
  const widths = [...full, ...NICE, cells].filter((columns) => columns >= 1 && columns <= most && columns <= cells);
  for (const columns of widths.length ? widths : [1]) {
    const rows = Math.ceil(cells / columns);
    const size = Math.min(largest, Math.floor(width / columns), Math.max(2, Math.floor(height / rows)));
    const nice = NICE.includes(columns) ? few : 1;
    const fits = rows * size <= height ? 1 : 0.2;
    const score = size * size * nice * fits;
    if (!best || score > best.score) best = { columns, rows, size, score };
  }
  return { columns: best.columns, rows: best.rows, size: best.size };
}
