// The lists below the map: processes, queues, runs, and what is wrong.

import { get } from "./api.js";
import { bar, make, reconcile, setText, show, table } from "./dom.js";
import { bytes, command, count, duration, percent, printable, shownPid, since, things } from "./format.js";
import { channels, holderColour, holderSign, ink, palette } from "./palette.js";

const FEW = 12; // runs that are listed unless all are asked for

function section(id, title, ...children) {
  return make("section", { class: "panel", "aria-labelledby": id }, make("h2", { id }, title), children);
}

/** Who has the pool attached, and how much each holds. */
export function processList() {
  const list = table(
    "Processes that have the pool attached",
    [
      {
        title: "Process",
        fill(cell, { info }) {
          if (!cell.firstChild) cell.append(make("span", { class: "swatch", "aria-hidden": "true" }), make("span"));
          const [swatch, name] = cell.children;
          setText(swatch, holderSign(info.slot));
          const colour = holderColour(palette(), info.slot);
          swatch.style.backgroundColor = colour;
          swatch.style.color = ink(channels(colour));
          setText(name, shownPid(info.pid));
        },
      },
      { title: "Command", text: ({ info }) => printable(info.command) },
      {
        title: "State",
        text: ({ info, gate }) =>
          `${info.alive === false ? "dead" : info.alive === null ? "unknown" : "alive"}${gate ? ", in the gate" : ""}`,
      },
      { title: "Blocks held", number: true, text: ({ held }) => count(held) },
      { title: "Allocations", number: true, wide: true, text: ({ info }) => count(info.allocations) },
      { title: "Failures", number: true, wide: true, text: ({ info }) => count(info.failures) },
      {
        title: "Waited",
        number: true,
        wide: true,
        text: ({ info }) => `${count(info.waits)} × ${info.waits ? duration(info.waited / info.waits) : "0 s"}`,
      },
      {
        title: "Started",
        number: true,
        wide: true,
        text: ({ info }) => (info.started ? `${since(info.started)} ago` : "–"),
      },
    ],
    ({ info }) => `${info.slot} ${info.pid}`,
    "No process has it attached.",
  );
  const other = make("p", { class: "quiet" });
  return {
    element: section("processes-title", "Holders", list.element, other),
    update({ processes, survey, gate }) {
      const items = processes.map((info) => ({
        info,
        held: survey.held[info.slot] ?? 0,
        gate: gate !== null && gate === info.pid,
      }));
      list.update(items.sort((a, b) => b.held - a.held || a.info.slot - b.info.slot));
      const parts = [
        [survey.only_kept, "only the catalog"],
        [survey.only_messages, "only messages"],
        [survey.only_tickets, "only tickets"],
        [survey.nobody, "just being allocated or freed"],
      ]
        .filter(([blocks]) => blocks)
        .map(([blocks, text]) => `${text}: ${things(blocks, "block")}`);
      setText(other, parts.length ? `Held by no process – ${parts.join("; ")}.` : "");
    },
  };
}

/** The queues, topics and latest values, and how full they are. */
export function queueList() {
  const list = table(
    "Queues, topics and latest values",
    [
      { title: "Name", text: (queue) => (queue.name === null ? `number ${queue.number}` : printable(queue.name)) },
      { title: "Kind", text: (queue) => `${queue.kind}${queue.shut ? ", shut" : ""}` },
      {
        title: "Waiting",
        fill(cell, queue) {
          if (!cell.firstChild) {
            const depth = bar("Depth");
            cell.append(depth.element, make("span"));
            cell.depth = depth;
          }
          cell.depth.update(queue.waiting / queue.capacity);
          cell.firstChild.setAttribute(
            "aria-label",
            `Depth of ${queue.name === null ? queue.number : printable(queue.name)}`,
          );
          setText(cell.lastChild, ` ${count(queue.waiting)} of ${count(queue.capacity)}`);
        },
      },
      { title: "Oldest", number: true, text: (queue) => duration(queue.oldest) },
      {
        title: "Taken",
        number: true,
        text: (queue) => count(queue.taken.reduce((sum, [, number]) => sum + number, 0)),
      },
      { title: "Put", number: true, wide: true, text: (queue) => count(queue.put) },
      { title: "Lost", number: true, wide: true, text: (queue) => count(queue.lost) },
      { title: "Opened by", wide: true, text: (queue) => queue.processes.map(shownPid).join(", ") || "–" },
    ],
    (queue) => queue.number,
    "No queues.",
  );
  return { element: section("queues-title", "Queues", list.element), update: ({ queues }) => list.update(queues) };
}

function stackOf(run) {
  const stack = run.stack ?? run.stacks ?? null;
  return Array.isArray(stack) ? stack.join("\n") : stack;
}

function lines(text) {
  return String(text).split("\n").map(printable).join("\n");
}

/** The oldest or largest runs, tickets in flight, and the button to recover; `reveal(block)` shows one in the map. */
export function leakList(id, reveal, recover) {
  let names = new Map();
  let largest = null;
  let order = "age";
  let latest = null;
  const columns = [
    {
      title: "Blocks",
      fill(cell, run) {
        if (!cell.firstChild) {
          cell.append(
            make("button", {
              type: "button",
              class: "link",
              title: "Show in the map",
              onclick: () => reveal(cell.run.index),
            }),
          );
        }
        cell.run = run;
        setText(
          cell.firstChild,
          run.blocks === 1 ? count(run.index) : `${count(run.index)}–${count(run.index + run.blocks - 1)}`,
        );
      },
    },
    { title: "Age", number: true, text: (run) => duration(run.age) },
    { title: "Size", number: true, text: (run) => bytes(run.nbytes) },
    {
      title: "Held by",
      text: (run) => run.holders.map((pid) => names.get(pid) ?? shownPid(pid)).join("; ") || "no process",
    },
    { title: "Tickets", number: true, text: (run) => count(run.tickets) },
    {
      title: "Where",
      wide: true,
      fill(cell, run) {
        const stack = stackOf(run);
        if (!cell.firstChild)
          cell.append(make("span"), make("details", {}, make("summary", {}, "Allocated at"), make("pre")));
        const known = run.names.map((name) => `named ${printable(name)}`);
        if (run.queue !== null) known.push(`in queue ${run.queue}`);
        setText(cell.firstChild, known.join(", "));
        show(cell.lastChild, Boolean(stack));
        if (stack) setText(cell.lastChild.lastChild, lines(stack));
      },
    },
  ];
  const list = table("Runs", columns, (run) => run.index, "Nothing is allocated.");
  const tickets = make("p");
  const choose = make(
    "select",
    {
      id: "runs-order",
      onchange: () => {
        order = choose.value;
        largest = null;
        refresh();
      },
    },
    make("option", { value: "age" }, "oldest"),
    make("option", { value: "size" }, "largest"),
  );
  let all = false;
  const more = make("button", {
    type: "button",
    onclick: () => {
      all = !all;
      draw();
    },
  });
  const element = section(
    "leaks-title",
    "Leaks?",
    make("div", { class: "bar" }, tickets, make("button", { type: "button", onclick: recover }, "Recover …")),
    make("label", {}, "Show the ", choose, " runs"),
    list.element,
    more,
  );

  async function refresh() {
    if (order === "size") {
      try {
        largest = (await get(`pools/${encodeURIComponent(id)}/runs`, { order: "size", most: 100 })).runs;
      } catch {
        // The feed says what is wrong.
      }
    }
    if (latest) draw();
  }

  function draw() {
    const { survey, processes } = latest;
    names = new Map(processes.map((info) => [info.pid, `${shownPid(info.pid)} ${command(info, 44)}`]));
    setText(
      tickets,
      survey.tickets
        ? `${things(survey.tickets, "ticket")} in flight, the oldest since ${duration(survey.oldest_ticket)}.`
        : "No tickets in flight.",
    );
    const runs = (order === "size" && largest) || survey.top;
    list.update(all ? runs : runs.slice(0, FEW));
    show(more, runs.length > FEW);
    setText(more, all ? `Show only ${FEW}` : `Show ${count(runs.length)}`);
  }

  let refreshed = 0;
  return {
    element,
    update(snapshot) {
      latest = snapshot;
      draw();
      if (order === "size" && performance.now() - refreshed > 2000) {
        refreshed = performance.now();
        refresh();
      }
    },
  };
}

const SEVERITIES = { error: ["Error", "bad"], warning: ["Warning", "odd"], info: ["Good to know", "good"] };

/** The pieces of a sentence: what stands in backquotes is a command. */
function withCode(sentence) {
  return sentence.split("`").map((piece, i) => (i % 2 ? make("code", {}, piece) : piece));
}

/** What the doctor says. */
export function doctorList(id) {
  const list = make("ul", { class: "findings" });
  const said = make("p", { class: "quiet" }, "Looking …");
  let timer = 0;
  let over = false;
  const create = () => make("li", {}, make("span", { class: "badge" }), make("p"), make("p", { class: "quiet" }));
  function update(item, { finding }) {
    const [badge, sentence, remedy] = item.children;
    const [text, kind] = SEVERITIES[finding.severity] ?? [finding.severity ?? "?", "odd"];
    setText(badge, text);
    badge.className = `badge ${kind}`;
    setText(sentence, printable(finding.sentence ?? finding.message ?? ""));
    const advice = printable(finding.remedy ?? "");
    if (remedy.textContent !== advice.replaceAll("`", "")) remedy.replaceChildren(...withCode(advice));
  }
  async function look() {
    clearTimeout(timer);
    if (over || document.hidden) return;
    try {
      const { findings } = await get(`pools/${encodeURIComponent(id)}/doctor`);
      reconcile(
        list,
        findings.map((finding, i) => ({ finding, i })),
        ({ finding, i }) => `${finding.code ?? ""} ${i}`,
        create,
        update,
      );
      setText(said, findings.length ? "" : "Nothing is wrong.");
      show(said, findings.length === 0);
    } catch (error) {
      setText(said, error.message);
      show(said, true);
    }
    if (!over) timer = setTimeout(look, 10000);
  }
  document.addEventListener("visibilitychange", look);
  return {
    element: section("doctor-title", "What the doctor says", said, list),
    look,
    close() {
      over = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", look);
    },
  };
}

/** The numbers at the top. */
export function figures() {
  const cells = {};
  const element = make("dl", { class: "figures" });
  for (const [name, title] of [
    ["used", "Allocated"],
    ["free", "Free"],
    ["largest", "Largest gap"],
    ["fragmentation", "Fragmentation"],
    ["peak", "Peak"],
    ["rate", "Allocations"],
    ["failures", "Failures"],
    ["waits", "Waits"],
    ["processes", "Processes"],
  ]) {
    cells[name] = [make("dd"), make("dd", { class: "quiet" })];
    element.append(make("div", {}, make("dt", {}, title), cells[name]));
  }
  const set = (name, main, detail) => {
    setText(cells[name][0], main);
    setText(cells[name][1], detail);
  };
  return {
    element,
    update({ counts, block_size: size, survey }, rates) {
      const perSecond = (value) => `${Number((value ?? 0).toPrecision(value >= 100 ? 4 : 2))} /s now`;
      set("used", percent(counts.allocated / counts.blocks), things(counts.allocated, "block"));
      set("free", bytes(counts.free * size), things(counts.free, "block"));
      set("largest", bytes(counts.largest_free_run * size), things(counts.largest_free_run, "block"));
      set("fragmentation", percent(counts.fragmentation), `${things(survey.runs, "run")}`);
      set("peak", percent(counts.peak / counts.blocks), things(counts.peak, "block"));
      set("rate", count(counts.allocations), perSecond(rates?.allocations));
      set("failures", count(counts.failures), perSecond(rates?.failures));
      set("waits", count(counts.waits), `${duration(counts.waited)} in all`);
      set("processes", count(counts.processes), `of at most ${count(counts.max_processes)}`);
    },
  };
}
