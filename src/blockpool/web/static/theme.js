// Sets the chosen colours before anything is drawn. Not a module, so that the page never flashes in the others.
(() => {
  try {
    const chosen = localStorage.getItem("blockpool-scheme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.scheme = chosen;
  } catch {
    // A browser without storage follows the system.
  }
})();
