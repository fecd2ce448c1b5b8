/** The switch between light and dark; until it is used the system decides. */

const key = "presence-theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

const saved = () => localStorage.getItem(key);
const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

if (saved()) root.dataset.theme = saved() ?? "";

for (const button of document.querySelectorAll("[data-theme-switch]")) {
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem(key, root.dataset.theme);
    show();
    dispatchEvent(new Event("themechange"));
  });
  system.addEventListener("change", () => dispatchEvent(new Event("themechange")));
  show();
}
