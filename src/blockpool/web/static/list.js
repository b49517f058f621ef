// The page of all pools.

import { get, post } from "./api.js";
import { ask } from "./dialog.js";
import { bar, fact, make, notice, reconcile, setText, show } from "./dom.js";
import { bytes, count, percent, poolName, printable, since, things } from "./format.js";

const EVERY = 2000;

const STATES = {
  ok: ["in order", "good"],
  damaged: ["damaged", "bad"],
  truncated: ["damaged: its file has the wrong size", "bad"],
  "other version": ["made by another version", "odd"],
  "not a pool": ["not a pool", "odd"],
  unreadable: ["unreadable: its mode was changed", "odd"],
};

function stateOf(pool) {
  if (pool.state === "ok" && pool.leftover) return ["left over: nobody uses it", "odd"];
  return STATES[pool.state] ?? [pool.state, "odd"];
}

function card() {
  const link = make("a");
  const badge = make("span", { class: "badge" });
  const used = bar("Share allocated");
  const usedText = make("span");
  const usage = make("p", { class: "usage" }, used.element, usedText);
  const facts = make("dl", { class: "facts" });
  const size = fact(facts, "Size");
  const processes = fact(facts, "Processes");
  const age = fact(facts, "Made");
  const made = fact(facts, "By");
  const title = make("h2");
  const element = make("li", { class: "card" }, title, badge, usage, facts);
  element.refresh = (pool) => {
    const [text, kind] = stateOf(pool);
    const name = poolName(pool);
    if (pool.pool_id && pool.state === "ok") {
      link.href = `#/pool/${encodeURIComponent(pool.pool_id)}`;
      setText(link, name);
      if (link.parentElement !== title) title.replaceChildren(link);
    } else setText(title, name);
    setText(badge, text);
    badge.className = `badge ${kind}`;
    const known = pool.blocks !== null && pool.allocated !== null;
    show(usage, known);
    if (known) {
      used.update(pool.allocated / pool.blocks);
      used.element.setAttribute("aria-label", `Share of ${name} that is allocated`);
      setText(
        usedText,
        `${percent(pool.allocated / pool.blocks)} used: ${count(pool.allocated)} of ${things(pool.blocks, "block")}`,
      );
    }
    size(
      pool.blocks === null
        ? `${bytes(pool.segment_bytes)} with all`
        : `${bytes(pool.nbytes)}, blocks of ${bytes(pool.block_size)}`,
    );
    const alive = pool.processes.filter((each) => each.alive !== false);
    const dead = pool.processes.length - alive.length;
    processes(
      [
        count(alive.length),
        pool.max_processes && ` of at most ${count(pool.max_processes)}`,
        dead && `, ${count(dead)} dead`,
      ]
        .filter(Boolean)
        .join(""),
    );
    age(pool.created ? `${since(pool.created)} ago` : "–");
    made(pool.made_by ? `blockpool ${printable(pool.made_by)}` : "–");
  };
  return element;
}

/** Show all pools in `main`; returns {close()}. */
export function listPage(main) {
  document.title = "Pools – blockpool";
  const summary = make("p", { class: "quiet" }, "Looking …");
  const list = make("ul", { class: "cards" });
  const sweep = make("button", { type: "button", hidden: true, onclick: clear }, "Remove what is left over …");
  main.replaceChildren(make("div", { class: "bar" }, make("h1", {}, "Pools"), sweep), summary, list);
  let over = false;
  let timer = 0;
  let asking = null;

  async function clear() {
    await ask({
      title: "Remove what is left over?",
      text: "Pools that are not permanent, and that no living process has attached, are removed with what they hold.",
      action: "Remove",
      run: async () => {
        const { removed } = await post("sweep", {});
        return `${things(removed, "pool")} removed.`;
      },
    });
    look();
  }

  async function look() {
    clearTimeout(timer);
    if (over || document.hidden) return;
    asking?.abort();
    asking = new AbortController();
    try {
      const { pools } = await get("pools", {}, asking.signal);
      if (over) return;
      notice("");
      const order = (pool) =>
        `${pool.state === "ok" ? 0 : 1}${pool.name === null ? 1 : 0}${pool.name ?? pool.pool_id ?? ""}`;
      pools.sort((a, b) => (order(a) < order(b) ? -1 : 1));
      setText(
        summary,
        pools.length
          ? `${things(pools.length, "pool")} of this user. Pick one to see into it.`
          : "No pools of this user. They appear here as soon as a program makes one.",
      );
      reconcile(
        list,
        pools.map((pool, i) => ({ pool, i })),
        ({ pool, i }) => pool.pool_id ?? `${pool.name ?? i} ${pool.state}`,
        card,
        (element, { pool }) => element.refresh(pool),
      );
      show(
        sweep,
        pools.some((pool) => pool.leftover),
      );
    } catch (error) {
      if (over || error.name === "AbortError") return;
      notice(error.status === 0 ? `${error.message} Trying again …` : error.message);
    }
    timer = setTimeout(look, EVERY);
  }

  document.addEventListener("visibilitychange", look);
  look();
  return {
    close() {
      over = true;
      clearTimeout(timer);
      asking?.abort();
      document.removeEventListener("visibilitychange", look);
    },
  };
}
