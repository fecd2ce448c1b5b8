// @ts-check
/** `/`: hides the links to pages that this service does not have. */
const reply = await fetch("./", { headers: { accept: "application/json" } });
const { pages } = await reply.json();
for (const item of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-page]"))) {
  item.hidden = !pages.includes(item.dataset.page);
}
