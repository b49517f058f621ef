// The charts of a pool, and the history that they show.

import { get } from "./api.js";
import { Chart, Series } from "./chart.js";
import { make } from "./dom.js";
import { percent } from "./format.js";

const BLUE = ["#0067a8", "#56b4e9"];
const ORANGE = ["#c24a00", "#f08a3c"];

function short(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(2))} M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(2))} k`;
  return String(Number(value.toPrecision(3)));
}

/** The charts: {element, load(), add(snapshot, rates), draw()}. */
export function charts(id) {
  const series = new Series();
  let blocks = 1;
  const share = (name) => (point) => point[name] / blocks;
  const all = [
    new Chart(
      "Allocated, and largest free run",
      [
        { name: "allocated", of: share("allocated"), colour: BLUE },
        { name: "largest free run", of: share("largest_free_run"), colour: ORANGE, dash: [5, 3] },
      ],
      percent,
      1,
    ),
    new Chart(
      "Fragmentation",
      [{ name: "fragmentation", of: (point) => point.fragmentation, colour: BLUE }],
      percent,
      1,
    ),
    new Chart(
      "Allocations",
      [{ name: "allocations", of: (point) => point.allocations, colour: BLUE }],
      (v) => `${short(v)} /s`,
    ),
    new Chart(
      "Waits, and failures",
      [
        { name: "waits", of: (point) => point.waits, colour: BLUE },
        { name: "failures", of: (point) => point.failures, colour: ORANGE, dash: [5, 3] },
      ],
      (v) => `${short(v)} /s`,
    ),
    new Chart("Requests waiting", [{ name: "waiting", of: (point) => point.waited, colour: BLUE }], short),
    new Chart("Tickets in flight", [{ name: "tickets", of: (point) => point.tickets, colour: BLUE }], short),
  ];
  const element = make(
    "section",
    { class: "charts", "aria-labelledby": "charts-title" },
    make("h2", { id: "charts-title" }, "Over time"),
    make(
      "div",
      { class: "grid" },
      all.map((chart) => chart.element),
    ),
  );
  return {
    element,
    /** Take what the server remembers. */
    async load(geometry) {
      blocks = geometry.blocks || 1;
      try {
        const { points } = await get(`pools/${encodeURIComponent(id)}/history`);
        const since = series.points;
        series.points = [];
        for (const point of [...points, ...since].sort((a, b) => a.time - b.time)) series.add(point);
      } catch {
        // Without it the charts begin now; the feed says what is wrong.
      }
    },
    add(snapshot, rates) {
      blocks = snapshot.blocks || 1;
      const { allocated, largest_free_run: largest, fragmentation } = snapshot.counts;
      const { allocations, failures, waits, waited } = rates ?? {};
      series.add({
        time: snapshot.time,
        allocated,
        largest_free_run: largest,
        fragmentation,
        allocations,
        failures,
        waits,
        waited,
        tickets: snapshot.survey.tickets,
      });
    },
    draw() {
      const now = series.points.at(-1)?.second ?? Date.now() / 1000;
      for (const chart of all) chart.update(series.points, now);
    },
  };
}
