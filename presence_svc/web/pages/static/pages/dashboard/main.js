/** The dashboard: the totals and the list asked for every two seconds, the chosen course live over a stream, and what was. */

import { Failed, key, read } from "../api.js";
import { at, write } from "../dom.js";
import { CourseList } from "./course_list.js";
import { CourseNow } from "./course_now.js";
import { CoursePast } from "./course_past.js";
import { LinkState } from "./link_state.js";
import { SignIn } from "./sign_in.js";
import * as titles from "./titles.js";
import { Totals } from "./totals.js";

const EVERY = 2_000;

const link = new LinkState();
const totals = new Totals();
const past = new CoursePast();
const now = new CourseNow((count) => past.now(count.warming && !count.total ? null : count.total));
const list = new CourseList({ onChoose: choose, onAsk: poll });
const signIn = new SignIn({ onIn: begin, onOut: end });
let timer = 0;
let isIn = true;

/** One round; the next follows by itself until nobody is signed in. */
async function poll() {
  clearTimeout(timer);
  try {
    const found = await list.ask();
    if (!isIn) return;
    link.heard();
    if (found) totals.show(found);
    if (!list.chosen && found?.top.length) choose(found.top[0].course_id);
    if (list.chosen) write(at("detail-title"), titles.titleOf(list.chosen));
  } catch (error) {
    if (!isIn) return;
    if (error instanceof Failed && error.isRefusal) return refuse(error);
    link.missed();
    totals.miss();
  }
  clearTimeout(timer);
  timer = window.setTimeout(poll, document.hidden ? 5 * EVERY : EVERY);
}

/** Whoever may not see all courses may be the creator of some. */
async function findOwn() {
  const me = await read("v1/me").catch((error) => error);
  if (me instanceof Failed && me.isRefusal) return refuse(me);
  list.own = me.courses?.length ? me.courses : null;
}

/** @param {Failed} error */
function refuse(error) {
  end();
  const isKnown = error.status === 403;
  signIn.ask(key() ? (isKnown ? "That gives access to no course: a creator's or a service's key is needed." : "That was not accepted.") : "");
}

/** @param {string} id @param {string} [range] */
async function choose(id, range) {
  list.mark(id);
  const url = new URL(location.href);
  url.searchParams.set("course", id);
  history.replaceState(null, "", url);
  at("detail").hidden = false;
  write(at("detail-title"), titles.titleOf(id));
  write(at("detail-id"), titles.titleOf(id) === id ? "" : id);
  now.choose(id);
  past.choose(id, range);
  await titles.learn([id]);
  if (list.chosen !== id) return;
  write(at("detail-title"), titles.titleOf(id));
  write(at("detail-id"), titles.titleOf(id) === id ? "" : id);
}

async function begin() {
  isIn = true;
  if (!key() && (await read("").catch(() => null))?.auth === "jwt") {
    end();
    return signIn.ask("");
  }
  const wanted = new URLSearchParams(location.search);
  const id = wanted.get("course") ?? "";
  if (id) choose(id, wanted.get("range") ?? undefined);
  if (key()) await findOwn();
  if (isIn) poll();
}

/** Nothing of what was seen stays on the page. */
function end() {
  isIn = false;
  clearTimeout(timer);
  list.mark("");
  for (const part of [list, now, past, totals, titles]) part.forget();
  at("detail").hidden = true;
  link.rest();
}

document.addEventListener("visibilitychange", () => isIn && !document.hidden && poll());
begin();
