/** The switch between light and dark; until it is used the system decides. */

const key = "presence-theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

/** @param {string} [value] */
function saved(value) {
  try {
    if (value) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return value ?? null; // storage is forbidden: the choice lasts as long as the page
  }
}
const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

if (saved()) root.dataset.theme = saved() ?? "";

const retouch = () => dispatchEvent(new Event("themechange"));
system.addEventListener("change", retouch);
matchMedia("print").addEventListener("change", retouch); // paper is light

for (const button of document.querySelectorAll("[data-theme-switch]")) {
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    saved(root.dataset.theme);
    show();
    retouch();
  });
  system.addEventListener("change", show);
  show();
}
