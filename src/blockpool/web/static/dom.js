// Makes and changes elements. Text from outside becomes a text node, never HTML.

/** Make an element with these properties and children: elements, text or null. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set the text of an element if it differs; what did not change costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show or hide an element. */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Give `parent` a child for each item, in order. Children of the same key stay, and so does the focus in them.
 *
 * `create(item)` returns a new child, `update(child, item)` brings it up to date.
 */
export function reconcile(parent, items, key, create, update) {
  const old = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = old.get(name);
    if (child) old.delete(name);
    else {
      child = create(item);
      child.dataset.key = name;
    }
    update(child, item);
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  for (const child of old.values()) child.remove();
}

/**
 * Make a table. A column is {title, text(item)} or {title, fill(cell, item)}, with `number` or `wide` (left out on
 * narrow screens) set if so. The first column heads its row. Returns {element, update(items)}.
 */
export function table(caption, columns, key, empty) {
  const style = (column) => [column.number ? "number" : "", column.wide ? "wide" : ""].join(" ").trim() || null;
  // The roles say again what the elements are: a narrow screen shows them as lists, and then browsers forget it.
  const cell = (column, i) =>
    make(i ? "td" : "th", {
      scope: i ? null : "row",
      role: i ? "cell" : "rowheader",
      class: style(column),
      "data-title": column.title,
    });
  const body = make("tbody", { role: "rowgroup" });
  const titles = columns.map((column) =>
    make("th", { scope: "col", role: "columnheader", class: style(column) }, column.title),
  );
  const whole = make(
    "table",
    { role: "table" },
    make("caption", { class: "unseen" }, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, titles)),
    body,
  );
  const nothing = make("p", { class: "quiet" }, empty);
  const create = () => make("tr", { role: "row" }, columns.map(cell));
  const update = (row, item) =>
    columns.forEach((column, i) => {
      if (column.fill) column.fill(row.children[i], item);
      else setText(row.children[i], column.text(item));
    });
  return {
    element: make("div", { class: "table" }, whole, nothing),
    update(items) {
      reconcile(body, items, key, create, update);
      show(whole, items.length > 0);
      show(nothing, items.length === 0);
    },
  };
}

/** Make a bar that shows a share, 0 to 1; the text beside it says the number. */
export function bar(label) {
  const meter = make("meter", { min: 0, max: 1, "aria-label": label });
  return {
    element: meter,
    update(share) {
      const value = Number.isFinite(share) ? share : 0;
      if (meter.value !== value) meter.value = value;
    },
  };
}

/** Add a name and a value to a list of facts; returns the function that sets the value. */
export function fact(list, name) {
  const value = make("dd");
  list.append(make("div", {}, make("dt", {}, name), value));
  return (text) => setText(value, text);
}

/** Have a screen reader say something, after what it says now. */
export function announce(text) {
  setText(document.getElementById("announcement"), text);
}

/** Show a sentence above the page until it is taken away with "". */
export function notice(text) {
  const element = document.getElementById("notice");
  setText(element, text);
  show(element, text !== "");
}
