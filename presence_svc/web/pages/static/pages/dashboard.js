/** The dashboard: the totals asked for every two seconds, the chosen course live over a stream. */

import { PresenceSession } from "../../live-viewer-badge.js";
import { Refused, key, read, setKey } from "./api.js";
import { RollingChart } from "./chart.js";
import { chapterTitle, courseOf } from "./courses.js";
import { element, face } from "./draw.js";

const EVERY = 2_000;
const FAILING = 3; // attempts in a row before the page says so

/** @param {string} id */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const chart = new RollingChart(at("chart"));
const number = new Intl.NumberFormat(document.documentElement.lang);
const view = { chosen: new URLSearchParams(location.search).get("course") ?? "", peak: 0, failures: 0, lastHeard: 0 };
/** @type {PresenceSession | null} */ let session = null;
let viewersAskedAt = 0;

async function poll() {
  try {
    showStats(await read("/v1/stats"));
    view.failures = 0;
    view.lastHeard = Date.now();
  } catch (error) {
    if (error instanceof Refused) return ask();
    view.failures += 1;
    chart.add(null);
  }
  showLink();
  setTimeout(poll, EVERY);
}

function showLink() {
  const isLost = view.failures >= FAILING || !navigator.onLine;
  const since = new Date(view.lastHeard).toLocaleTimeString();
  const words = view.lastHeard ? `Connection lost: numbers are from ${since}` : "No connection to the service";
  const state = isLost ? "lost" : view.lastHeard ? "live" : "connecting";
  const text = { lost: words, live: "Live", connecting: "Connecting…" }[state];
  at("link").dataset.state = state;
  if (at("link").textContent !== text) at("link").textContent = text;
  at("board").classList.toggle("is-lost", isLost);
}

/** @param {{total: number, courses: number, top: {course_id: string, total: number}[], as_of: number}} stats */
function showStats({ total, courses, top, as_of: asOf }) {
  view.peak = Math.max(view.peak, total);
  chart.add(total);
  at("total").textContent = number.format(total);
  at("active").textContent = number.format(courses);
  at("peak").textContent = number.format(view.peak);
  at("as-of").textContent = `as of ${new Date(asOf).toLocaleTimeString()}`;
  at("nobody").hidden = top.length > 0;
  at("busiest").replaceChildren(...top.map((course) => row(course, top[0].total)));
  if (!view.chosen && top.length) choose(top[0].course_id);
}

/** @param {{course_id: string, total: number}} course @param {number} most */
function row({ course_id: id, total }, most) {
  const button = element("button", "row");
  button.append(element("span", "name", courseOf(id).title), element("span", "number", number.format(total)));
  button.style.setProperty("--share", String(total / Math.max(1, most)));
  button.title = id;
  button.dataset.course = id;
  button.setAttribute("aria-pressed", String(id === view.chosen));
  const item = element("li");
  item.append(button);
  return item;
}

/** @param {string} id */
function choose(id) {
  view.chosen = id;
  viewersAskedAt = 0;
  at("detail-title").textContent = courseOf(id).title;
  at("viewers").replaceChildren();
  history.replaceState(null, "", `?course=${encodeURIComponent(id)}`);
  for (const button of document.querySelectorAll(".row")) {
    button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.course === id));
  }
  if (session) return session.update({ courseId: id });
  session = new PresenceSession({ courseId: id, observe: true, getToken: key() ? () => key() : undefined });
  session.subscribe(showCourse);
}

/** @param {import("../src/words.js").Snapshot} snapshot */
function showCourse({ count }) {
  if (!count || count.course_id !== view.chosen) return;
  at("detail-total").textContent = `${number.format(count.total)} watching`;
  const course = courseOf(count.course_id);
  const known = course.chapters.map((_, index) => `ch-${index + 1}`);
  const chapters = [...new Set([...known, ...Object.keys(count.chapters).sort()])];
  const hottest = Math.max(1, ...Object.values(count.chapters));
  at("heat").replaceChildren(...chapters.map((id) => cell(chapterTitle(course, id), count.chapters[id] ?? 0, hottest)));
  at("heat").setAttribute("aria-label", chapters.map((id) => `${chapterTitle(course, id)}: ${count.chapters[id] ?? 0}`).join(", ") || "No chapters");
  showViewers();
}

/** @param {string} title @param {number} count @param {number} hottest */
function cell(title, count, hottest) {
  const made = element("div", "cell");
  made.title = `${title}: ${count}`;
  made.style.setProperty("--heat", String(Math.sqrt(count / hottest)));
  made.append(element("b", "", number.format(count)), element("span", "", title));
  return made;
}

/** The names, asked for again after a change, but not at each of a busy course's changes. */
async function showViewers() {
  const wait = viewersAskedAt + EVERY - Date.now();
  if (wait > 0) return;
  viewersAskedAt = Date.now();
  const id = view.chosen;
  const page = await read(`/v1/courses/${encodeURIComponent(id)}/viewers?limit=60`).catch(() => null);
  if (!page || id !== view.chosen) return;
  at("viewers").replaceChildren(...page.viewers.map((/** @type {any} */ viewer) => person(viewer, courseOf(id))));
  const more = page.named - page.viewers.length;
  const rest = [more > 0 && `${number.format(more)} more`, page.anonymous && `${number.format(page.anonymous)} anonymous`];
  at("rest").textContent = rest.filter(Boolean).join(" · ");
}

/** @param {any} viewer @param {import("./courses.js").Course} course */
function person(viewer, course) {
  const item = element("li");
  const who = element("span", "who");
  const minutes = Math.max(0, Math.floor((Date.now() - viewer.joined_at) / 60_000));
  const where = viewer.chapters.map((/** @type {string} */ id) => chapterTitle(course, id)).join(", ");
  who.append(element("bdi", "", viewer.name || viewer.viewer_id), element("span", "small soft", where));
  item.append(face(viewer), who, element("span", "small soft number for", minutes ? `${minutes} min` : "now"));
  return item;
}

function ask() {
  at("refused").hidden = !key();
  /** @type {HTMLDialogElement} */ (at("ask")).showModal();
}

at("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(/** @type {HTMLInputElement} */ (at("key")).value.trim());
  session?.leave();
  session = null;
  /** @type {HTMLDialogElement} */ (at("ask")).close();
  if (view.chosen) choose(view.chosen);
  poll();
});
at("ask").addEventListener("cancel", (event) => event.preventDefault());
at("busiest").addEventListener("click", (event) => {
  const row = /** @type {HTMLElement} */ (event.target).closest("[data-course]");
  if (row) choose(/** @type {HTMLElement} */ (row).dataset.course ?? "");
});
setInterval(showViewers, 5 * EVERY);
if (view.chosen) choose(view.chosen);
poll();
