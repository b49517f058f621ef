// The page of one pool: it follows the pool and hands each update to its parts.

import { post } from "./api.js";
import { charts } from "./charts.js";
import { doctorList, figures, leakList, processList, queueList } from "./details.js";
import { ask } from "./dialog.js";
import { announce, make, notice, setText, show } from "./dom.js";
import { follow } from "./feed.js";
import { bytes, poolName, printable, since, things } from "./format.js";
import { BlockMap } from "./map.js";

// Numbers and lists are brought up to date so often, in milliseconds; the map at each update.
const NUMBERS = 250;
const LISTS = 1000;

const STATES = {
  opening: ["opening", "odd"],
  live: ["live", "good"],
  paused: ["paused", "odd"],
  waiting: ["no answer", "bad"],
  gone: ["gone", "bad"],
  refused: ["not shown", "bad"],
};

function recoverDialog(id) {
  const drop = make("input", { type: "checkbox", id: "drop-tickets" });
  const seconds = make("input", {
    type: "number",
    id: "drop-seconds",
    min: 0,
    step: "any",
    value: 60,
    "aria-label": "Seconds",
  });
  seconds.addEventListener("input", () => {
    drop.checked = true;
  });
  const fields = [make("p", {}, make("label", {}, drop, " Drop tickets in flight older than "), seconds, " seconds")];
  return ask({
    title: "Recover?",
    text:
      "What dead processes held comes back to the pool. The living lose nothing, " +
      "except if you drop tickets that one of them still means to redeem.",
    fields,
    action: "Recover",
    async run() {
      if (drop.checked && !seconds.checkValidity()) throw new Error("the age must be a number of seconds, 0 or more.");
      const { recovered } = await post(`pools/${encodeURIComponent(id)}/recover`, {
        tickets_older_than: drop.checked ? seconds.valueAsNumber : null,
      });
      const processes = things(recovered.processes, "dead process", "dead processes");
      return `Recovered: ${processes}, ${things(recovered.tickets, "ticket")} dropped.`;
    },
  });
}

/** Show one pool in `main`; returns {close()}. */
export function poolPage(main, id) {
  document.title = "Pool – blockpool";
  const title = make("h1", {}, "Pool");
  const badge = make("span", { class: "badge odd" }, "opening");
  const about = make("p", { class: "quiet" });
  const map = new BlockMap(id);
  const numbers = figures();
  const history = charts(id);
  const holders = processList();
  const queues = queueList();
  const leaks = leakList(
    id,
    (block) => map.reveal(block),
    () => recoverDialog(id).then(() => doctor.look()),
  );
  const doctor = doctorList(id);
  const live = make(
    "div",
    { class: "live", hidden: true },
    numbers.element,
    map.element,
    history.element,
    make("div", { class: "panels" }, doctor.element, holders.element, queues.element, leaks.element),
  );
  main.replaceChildren(make("div", { class: "bar" }, title, badge), about, live);

  let latest = null;
  let shownNumbers = 0;
  let shownLists = 0;
  let loaded = false;
  let state = "opening";

  function first(snapshot) {
    const name = poolName(snapshot);
    setText(title, name);
    document.title = `${name} – blockpool`;
    show(live, true);
    history.load(snapshot).then(() => history.draw());
    doctor.look();
  }

  function tell({ snapshot, rates }, now, all) {
    if (all || now - shownNumbers >= NUMBERS) {
      shownNumbers = now;
      numbers.update(snapshot, rates);
    }
    if (all || now - shownLists >= LISTS) {
      shownLists = now;
      const size = `${things(snapshot.blocks, "block")} of ${bytes(snapshot.block_size)}: ${bytes(snapshot.nbytes)}.`;
      const made = `Made ${since(snapshot.created)} ago by blockpool ${printable(snapshot.made_by)}.`;
      const stays = snapshot.permanent ? "Stays until it is unlinked." : "Goes with its last process.";
      setText(about, `${size} ${made} ${stays} Id ${snapshot.pool_id}.`);
      holders.update(snapshot);
      queues.update(snapshot);
      leaks.update(snapshot);
      map.tell();
      history.draw();
    }
  }

  const feed = follow(id, {
    update(data) {
      latest = data;
      history.add(data.snapshot, data.rates);
      const begin = !loaded;
      if (begin) {
        loaded = true;
        first(data.snapshot);
      }
      map.update(data.snapshot, data.map);
      tell(data, performance.now(), begin);
    },
    state(next, message) {
      if (next === state && !message) return;
      const back = state === "waiting" && next === "live";
      state = next;
      const [text, kind] = STATES[next];
      setText(badge, text);
      badge.className = `badge ${kind}`;
      notice(message);
      live.classList.toggle("stale", next !== "live" && next !== "paused");
      if (back) {
        announce("The server answers again.");
        history.load(latest.snapshot);
        doctor.look();
      }
      if (next === "gone" || next === "refused") {
        doctor.close();
        if (!loaded) setText(about, "Nothing can be shown.");
      }
    },
  });

  function recolour() {
    if (!latest) return;
    map.changed();
    tell(latest, performance.now(), true);
  }
  // What changed the width, or was not drawn while the page was hidden, is drawn with the next update, or here.
  const resize = new ResizeObserver(() => history.draw());
  resize.observe(history.element);
  document.addEventListener("recolour", recolour);
  return {
    close() {
      feed.close();
      map.close();
      doctor.close();
      resize.disconnect();
      document.removeEventListener("recolour", recolour);
    },
  };
}
