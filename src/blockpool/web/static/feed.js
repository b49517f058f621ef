// Follows one pool: the server's events, without them while nobody looks, and again when the server is back.

import { eventsOf, get } from "./api.js";

const RATE = 10;
const LONGEST_PAUSE = 5000;

/**
 * Follow a pool.
 *
 * Calls `on.update(data)` for each update, `on.state(state, message)` when the connection changes: "live", "paused"
 * (the page is hidden), "waiting" (the server does not answer; it is tried again), "gone" (the pool vanished) or
 * "refused" (the server will not show it). After the last two it stays so. Returns {close()}.
 */
export function follow(id, on) {
  let source = null;
  let timer = 0;
  let pause = 250;
  let over = false;

  function say(state, message = "") {
    on.state(state, message);
  }

  function stop() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function end(state, message) {
    over = true;
    stop();
    say(state, message);
  }

  function open() {
    stop();
    const opened = new EventSource(eventsOf(id, RATE));
    source = opened;
    opened.addEventListener("snapshot", (event) => {
      if (source !== opened) return;
      pause = 250;
      say("live");
      on.update(JSON.parse(event.data));
    });
    opened.addEventListener(
      "gone",
      () => source === opened && end("gone", "This pool is gone: it was unlinked, or its last process left it."),
    );
    opened.addEventListener("error", () => source === opened && lost());
  }

  // An EventSource does not say why it failed, so the pool is asked for: that tells a dead server from a gone pool.
  function lost() {
    stop();
    timer = setTimeout(async () => {
      try {
        await get(`pools/${encodeURIComponent(id)}`);
        if (!over && !document.hidden) open();
      } catch (error) {
        if (over || document.hidden) return;
        if (error.status === 404 || error.status === 410) end("gone", `This pool is gone. ${error.message}`);
        else if (error.status >= 400 && error.status < 500 && error.status !== 429) end("refused", error.message);
        else {
          say("waiting", `${error.message} Trying again …`);
          lost();
        }
      }
    }, pause);
    pause = Math.min(pause * 1.6, LONGEST_PAUSE);
  }

  function turn() {
    if (over) return;
    if (document.hidden) {
      stop();
      say("paused");
    } else {
      pause = 250;
      open();
    }
  }

  document.addEventListener("visibilitychange", turn);
  turn();
  return {
    close() {
      over = true;
      document.removeEventListener("visibilitychange", turn);
      stop();
    },
  };
}
