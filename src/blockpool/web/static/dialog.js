// The dialog that asks before something is changed, and then says what came of it.

import { make } from "./dom.js";

/**
 * Ask. `fields` are elements between text and buttons; `run()` does it and returns a sentence. Resolves when the dialog
 * is closed.
 */
export function ask({ title, text, fields = [], action, run }) {
  const dialog = document.getElementById("dialog");
  const result = make("p", { class: "result", role: "status" });
  const cancel = make("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const go = make("button", { type: "submit", class: "strong" }, action);
  const form = make(
    "form",
    { method: "dialog" },
    make("h2", { id: "dialog-title" }, title),
    make("p", {}, text),
    fields,
    result,
    make("div", { class: "buttons" }, cancel, go),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    result.textContent = "Working …";
    try {
      result.textContent = await run();
      go.hidden = true;
      for (const field of fields) field.hidden = true;
      cancel.textContent = "Close";
      cancel.focus();
    } catch (error) {
      result.textContent = `That failed: ${error.message}`;
      go.disabled = false;
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", resolve, { once: true });
  });
}
