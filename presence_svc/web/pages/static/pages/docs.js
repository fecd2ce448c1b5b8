/** The API's documentation, drawn from the one description that the service gives of itself. */

import { base, key, read } from "./api.js";

const root = document.documentElement;
const spec = await read("openapi.json");
spec.servers = [{ url: base.href.replace(/\/$/, "") }]; // also below a path of a proxy's

/** Swagger UI has a dark mode, by a class. */
function paint() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  root.classList.toggle("dark-mode", (root.dataset.theme ?? system) === "dark");
}

/** Routes that nobody may use without credentials say so in the description. */
function showMissing() {
  const operations = Object.values(spec.paths).flatMap((path) => Object.values(path));
  const isGuarded = operations.some((operation) => operation.security?.length);
  const missing = document.getElementById("missing");
  if (!missing || !isGuarded || key()) return;
  missing.textContent =
    "This service needs a key or token (PRESENCE_AUTH=jwt): until you enter one under Authorize, most calls here get 401. `presence-svc token` makes one for development.";
  missing.hidden = false;
}

/** What screen readers and the keyboard miss in Swagger UI: ranks, names of parts and fields, code that scrolls. */
function mend() {
  set("#docs h1", "aria-level", () => "2");
  set(".information-container", "role", () => "region");
  set(".information-container", "aria-label", () => "About this API");
  set("[data-param-name] select", "aria-label", (one) => one.closest("[data-param-name]")?.getAttribute("data-param-name") ?? "");
  set("table.responses-table", "aria-label", (one) => `Responses of ${one.id.replace(/_responses$/, "")}`);
  set("pre.microlight", "tabindex", () => "0");
}

/** @param {string} which @param {string} name @param {(one: Element) => string} value */
function set(which, name, value) {
  for (const one of document.querySelectorAll(`${which}:not([${name}])`)) one.setAttribute(name, value(one));
}

new MutationObserver(mend).observe(/** @type {Node} */ (document.getElementById("docs")), { childList: true, subtree: true });
addEventListener("themechange", paint);
paint();
showMissing();
// @ts-ignore a classic script, vendored
const ui = SwaggerUIBundle({
  spec,
  dom_id: "#docs",
  deepLinking: false, // puts links into buttons
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // would ask a server outside
  onComplete: () => key() && ui.preauthorizeApiKey("bearer", key()), // whoever is signed in on the dashboard
});
