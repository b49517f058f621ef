// What scrolls sideways can be reached, and scrolled, with the keyboard.
addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll("pre, .table-wrapper, .diagram")) {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
  }
});
