/** The course player. All that is live comes from the badge's own events and the API; the rest is a stage set. */

import { Missing } from "./missing.js";
import { chapterTitle, courseOf, courses } from "./courses.js";
import { Company, someone } from "./company.js";
import "../../live-viewer-badge.js";
import { number } from "./format.js";

const SPEED = 12; // a chapter of the demo takes a minute or so
const TICK = 250;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const at = (id) => /** @type {T} */ (document.getElementById(id));
const badge = document.createElement("live-viewer-badge");
const player = { course: named(), chapter: 2, seconds: 140, isPlaying: false };
const me = rememberMe();
const company = new Company();
const missing = new Missing({ onToken: begin });

/** The course that the address names, or the first: another has no chapters to play. */
function named() {
  const id = new URLSearchParams(location.search).get("course");
  return courses.find((course) => course.id === id) ?? courses[0];
}

/** Another window is another viewer; a reload is the same one. */
function rememberMe() {
  const me = JSON.parse(sessionStorage.getItem("demo-viewer") ?? "null") ?? someone();
  sessionStorage.setItem("demo-viewer", JSON.stringify(me));
  return me;
}

/** @param {number} seconds */
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function length() {
  return player.course.chapters[player.chapter - 1].minutes * 60;
}

function showTime() {
  at("time").textContent = `${clock(player.seconds)} / ${clock(length())}`;
  /** @type {HTMLProgressElement} */ (at("progress")).value = player.seconds / length();
}

/** @param {number} chapter @param {number} [seconds] */
function goTo(chapter, seconds = 0) {
  Object.assign(player, { chapter, seconds });
  badge.chapterId = `ch-${chapter}`;
  at("index").textContent = String(chapter);
  at("chapter").textContent = player.course.chapters[chapter - 1].title;
  /** @type {HTMLButtonElement} */ (at("previous")).disabled = chapter === 1;
  /** @type {HTMLButtonElement} */ (at("next")).disabled = chapter === player.course.chapters.length;
  for (const row of document.querySelectorAll(".chapter")) {
    row.toggleAttribute("aria-current", row.id === `ch-${chapter}`);
    if (row.hasAttribute("aria-current")) row.setAttribute("aria-current", "true");
  }
  showTime();
  showCount();
}

/** @param {string} id */
function open(id) {
  player.course = courseOf(id);
  document.title = `${player.course.title} · live viewers`;
  document.documentElement.style.setProperty("--hue", String(player.course.hue));
  at("title").textContent = player.course.title;
  at("teacher").textContent = `A course by ${player.course.teacher}`;
  at("chapters").replaceChildren(...player.course.chapters.map(chapterRow));
  badge.courseId = id;
  company.sendHome();
  goTo(Math.min(player.chapter, player.course.chapters.length), player.seconds);
  for (const card of document.querySelectorAll(".course")) card.toggleAttribute("hidden", card.id === `course-${id}`);
}

/** @param {import("./courses.js").Chapter} chapter @param {number} index */
function chapterRow(chapter, index) {
  const row = document.createElement("button");
  const name = element("span", "name", chapter.title);
  const count = element("span", "here number", "0");
  row.className = "chapter";
  row.id = `ch-${index + 1}`;
  name.append(element("small", "number", `${chapter.minutes} min`));
  row.append(element("span", "place number", String(index + 1)), name, count);
  row.addEventListener("click", () => goTo(index + 1));
  const item = document.createElement("li");
  item.append(row);
  return item;
}

/** @param {string} tag @param {string} className @param {string} text */
function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** The chapters by heat, and with whom one watches. What is not known is no zero. */
function showCount() {
  const isKnown = Boolean(badge.count) && !missing.isShown;
  const here = (isKnown && badge.count?.chapters) || {};
  const hottest = Math.max(1, ...Object.values(here));
  for (const row of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".chapter"))) {
    const count = here[row.id] ?? 0;
    const label = /** @type {HTMLElement} */ (row.querySelector(".here"));
    row.style.setProperty("--heat", String(Math.sqrt(count / hottest))); // so that few are still seen
    label.textContent = isKnown ? number(count) : "–";
    label.dataset.count = String(count);
    label.title = isKnown ? `${number(count)} watching “${chapterTitle(player.course, row.id)}”` : "Not known yet";
  }
  const others = Math.max(0, (here[`ch-${player.chapter}`] ?? 1) - 1);
  const words = ["Just you in this chapter", "You and one other in this chapter"][others] ?? `You and ${number(others)} others in this chapter`;
  at("with").textContent = isKnown ? words : "";
  showState();
}

function showState() {
  const isLive = badge.dataset.state === "live";
  at("player").classList.toggle("is-old", !isLive);
  const waiting = badge.dataset.state === "connecting" ? "connecting…" : "reconnecting…";
  const now = badge.count?.warming ? "counting…" : isLive ? "watching now" : waiting;
  at("note").textContent = missing.isShown ? "not available" : now;
}

function toggle() {
  player.isPlaying = !player.isPlaying;
  at("player").classList.toggle("playing", player.isPlaying);
  at("play").setAttribute("aria-label", player.isPlaying ? "Pause" : "Play");
}

function tick() {
  if (!player.isPlaying) return;
  player.seconds += (TICK / 1000) * SPEED;
  if (player.seconds < length()) return showTime();
  if (player.chapter < player.course.chapters.length) return goTo(player.chapter + 1);
  toggle();
}

/** @param {import("./courses.js").Course} course */
function card(course) {
  const link = document.createElement("a");
  const text = element("div", "text", "");
  const live = document.createElement("live-viewer-badge");
  link.className = "course card";
  link.id = `course-${course.id}`;
  link.href = `?course=${course.id}`;
  link.style.setProperty("--hue", String(course.hue));
  live.setAttribute("course-id", course.id);
  live.toggleAttribute("observe", true);
  text.append(element("h3", "", course.title), element("span", "small soft", course.teacher), live);
  link.append(element("div", "cover", ""), text);
  link.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    open(course.id);
    scrollTo({ top: 0, behavior: "smooth" });
  });
  return link;
}

function showCompany() {
  /** @type {HTMLButtonElement} */ (at("home")).disabled = company.size === 0;
  /** @type {HTMLButtonElement} */ (at("more")).disabled = company.isFull;
}

/** With a token the service knows who watches: the name that was made up for the demo is not needed. */
async function begin() {
  const { token, isOpen, canSee } = await missing.find();
  const getToken = token ? () => token : null;
  const who = token ? { viewerId: "", name: "" } : { viewerId: me.viewerId, name: me.name };
  Object.assign(badge, { id: "badge", showAvatars: true, chapters: true, observe: !isOpen, getToken, ...who });
  at("try").hidden = Boolean(token) || !isOpen; // others need tokens of their own
  at("catalogue").hidden = !canSee;
  if (!canSee) return showCount();
  at("lede").append(badge);
  at("shelf").replaceChildren(...courses.map(card));
  for (const one of at("shelf").querySelectorAll("live-viewer-badge")) Object.assign(one, { getToken });
  open(player.course.id);
}

at("you").textContent = me.name;
at("play").addEventListener("click", toggle);
at("previous").addEventListener("click", () => goTo(player.chapter - 1));
at("next").addEventListener("click", () => goTo(player.chapter + 1));
at("more").addEventListener("click", () => (company.invite(5, player.course), showCompany()));
at("home").addEventListener("click", () => (company.sendHome(), showCompany()));
at("window").addEventListener("click", () => window.open(location.href, "_blank", "noopener,width=980,height=820"));
badge.addEventListener("presence-change", showCount);
badge.addEventListener("presence-error", (event) => missing.onError(event.detail.error) && showCount());
new MutationObserver(showState).observe(badge, { attributeFilter: ["data-state"] });
addEventListener("popstate", () => open(named().id));
setInterval(tick, TICK);
open(player.course.id);
showState();
begin();
