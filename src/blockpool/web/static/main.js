// Where the page starts: the address after # chooses what is shown, and the switch chooses the colours.

import { notice } from "./dom.js";
import { listPage } from "./list.js";
import { poolPage } from "./pool.js";

const main = document.getElementById("main");
let page = null;

function route() {
  const first = page === null;
  page?.close();
  notice("");
  document.getElementById("dialog").close();
  const found = /^#\/pool\/([^/]+)$/.exec(location.hash);
  let id = null;
  try {
    id = found && decodeURIComponent(found[1]);
  } catch {
    // An address that no pool has: the list is shown.
  }
  page = id ? poolPage(main, id) : listPage(main);
  document.body.dataset.page = id ? "pool" : "list";
  scrollTo(0, 0);
  if (!first) main.focus();
}

function recolour() {
  document.dispatchEvent(new Event("recolour"));
}

const scheme = document.getElementById("scheme");
scheme.value = document.documentElement.dataset.scheme ?? "auto";
scheme.addEventListener("change", () => {
  if (scheme.value === "auto") delete document.documentElement.dataset.scheme;
  else document.documentElement.dataset.scheme = scheme.value;
  try {
    localStorage.setItem("blockpool-scheme", scheme.value);
  } catch {
    // It holds until the page is left.
  }
  recolour();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
// The skip link leads to an element, not to another page: the address stays.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", route);
route();
