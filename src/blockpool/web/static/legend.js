// What the colours of a map mean: its holders, each with a button that leaves only its blocks in colour, or the ages.

import { make, reconcile, setText, show } from "./dom.js";
import { command, count, duration, shownPid, things } from "./format.js";
import { CATALOG, NOBODY, ageColour, channels, holderColour, holderSign, ink, palette } from "./palette.js";

const MOST = 24; // holders
const AGES = [0, 1, 10, 60, 600, 3600, 36000]; // seconds

function nameOf(holder, processes) {
  if (holder === "free") return "free";
  if (holder >= CATALOG) {
    const names = ["only the catalog", "only messages", "only tickets"];
    return names[holder - CATALOG] ?? "being allocated or freed";
  }
  const found = processes.get(holder);
  if (!found) return `a process (slot ${holder})`;
  return `${shownPid(found.pid)} ${command(found, 44)}${found.alive === false ? " (dead)" : ""}`;
}

/** What the legend lists of a snapshot: [{holder, blocks}], the processes with the most blocks first. */
function entriesOf({ survey, counts }) {
  const processes = Object.entries(survey.held)
    .map(([slot, blocks]) => ({ holder: Number(slot), blocks }))
    .filter((each) => each.blocks > 0)
    .sort((a, b) => b.blocks - a.blocks);
  const others = [survey.only_kept, survey.only_messages, survey.only_tickets, survey.nobody];
  const entries = [
    ...processes.slice(0, MOST),
    ...others.map((blocks, i) => ({ holder: CATALOG + i, blocks })).filter((each) => each.blocks > 0),
    { holder: "free", blocks: counts.free },
  ];
  if (processes.length > MOST) entries.push({ holder: "more", blocks: processes.length - MOST });
  return entries;
}

export class Legend {
  /** `choose()` is called when another holder is to be shown alone. */
  constructor(choose) {
    this.choose = choose;
    this.only = null; // the holder whose blocks alone are in colour, or null
    this.holders = make("ul", { class: "legend", "aria-label": "Legend" });
    this.ages = make("div", { class: "ages", hidden: true });
    this.elements = [this.holders, this.ages];
  }

  /** Bring it up to date; `by` is "holder" or "age". */
  update(snapshot, processes, by) {
    const colours = palette();
    const entries = entriesOf(snapshot);
    show(this.holders, by === "holder");
    show(this.ages, by === "age");
    if (by === "age") this.drawAges(colours);
    if (this.only !== null && !entries.some((each) => each.holder === this.only)) {
      this.only = null;
      this.choose();
    }
    const key = (each) => each.holder;
    reconcile(
      this.holders,
      entries,
      key,
      (each) => this.create(each),
      (item, each) => {
        this.fill(item, each, processes, colours);
      },
    );
  }

  create({ holder }) {
    const sign = typeof holder === "number" && holder < NOBODY ? holderSign(holder) : "";
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" }, sign);
    const name = make("span", { class: "name" });
    if (holder === "more") return make("li", {}, make("span", { class: "entry" }, name));
    if (holder === "free") return make("li", {}, make("span", { class: "entry", "data-holder": holder }, swatch, name));
    const press = () => {
      this.only = this.only === holder ? null : holder;
      for (const button of this.holders.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.holder === String(this.only)));
      }
      this.choose();
    };
    const properties = {
      type: "button",
      class: "entry",
      "data-holder": holder,
      title: "Show only these",
      onclick: press,
    };
    return make("li", {}, make("button", properties, swatch, name));
  }

  fill(item, { holder, blocks }, processes, colours) {
    const entry = item.firstElementChild;
    const name = entry.lastElementChild;
    if (holder === "more") {
      setText(name, `and ${things(blocks, "other process", "other processes")}`);
      return;
    }
    const colour = holder === "free" ? colours.free : holderColour(colours, holder);
    entry.firstElementChild.style.backgroundColor = colour;
    entry.firstElementChild.style.color = ink(channels(colour));
    if (holder !== "free") entry.setAttribute("aria-pressed", String(this.only === holder));
    setText(name, `${nameOf(holder, processes)}: ${count(blocks)}`);
  }

  drawAges(colours) {
    if (!this.ages.children.length) {
      const entry = (text, kind) => make("span", { class: "entry" }, make("span", { class: kind }), text);
      this.ages.append(...AGES.map((seconds) => entry(seconds ? duration(seconds) : "new", "swatch")));
      this.ages.append(entry("free", "swatch free"));
    }
    AGES.forEach((seconds, i) => {
      const age = Math.min(255, Math.round(16 * Math.log2(1 + seconds)));
      this.ages.children[i].firstElementChild.style.backgroundColor = `rgb(${ageColour(colours, age).join(" ")})`;
    });
    this.ages.lastElementChild.firstElementChild.style.backgroundColor = colours.free;
  }
}
