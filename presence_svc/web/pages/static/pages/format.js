/** Numbers and times, all in one locale: the page's language as the reader writes it, with the reader's clock and zone. */

const language = document.documentElement.lang || "en";
const system = new Intl.DateTimeFormat(undefined, { hour: "numeric" }).resolvedOptions();
const dialect = navigator.languages.find((tag) => tag.toLowerCase().split("-")[0] === language) ?? language;

export const locale = new Intl.Locale(dialect, { hourCycle: system.hourCycle }).toString();
/** A name that the service knows too. */
export const zone = !system.timeZone || system.timeZone === "Etc/Unknown" ? "UTC" : system.timeZone;

/** @param {Intl.DateTimeFormatOptions} options */
function times(options) {
  const format = new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
  return (/** @type {number} */ ms) => format.format(ms);
}

const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const signed = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" });
const hours = [0, 1].map((digits) => new Intl.NumberFormat(locale, { style: "unit", unit: "hour", unitDisplay: "long", maximumFractionDigits: digits }));

/** @param {number} n */
export const number = (n) => whole.format(n);
/** @param {number} n */
export const decimal = (n) => tenths.format(n);
/** @param {number} share 0.18 is +18 % */
export const change = (share) => signed.format(share);
/** @param {number} minutes */
export const asHours = (minutes) => hours[minutes < 6_000 ? 1 : 0].format(minutes / 60);

const isHalf = /^h1/.test(system.hourCycle ?? ""); // 7 PM needs no minutes, 19 does
const hour = isHalf ? "numeric" : "2-digit"; // 7:05 PM, but 07:05
export const clock = times({ hour, minute: "2-digit" });
export const seconds = times({ hour, minute: "2-digit", second: "2-digit" });
export const date = times({ day: "numeric", month: "short" });
export const weekday = times({ weekday: "long" });
export const day = times({ weekday: "short", day: "numeric", month: "short" });
export const moment = times({ weekday: "short", day: "numeric", month: "short", hour, minute: "2-digit" });

const names = (/** @type {"short" | "long"} */ width) => {
  const format = new Intl.DateTimeFormat(locale, { weekday: width, timeZone: "UTC" });
  return Array.from({ length: 7 }, (_, index) => format.format(Date.UTC(2024, 0, 1 + index))); // a Monday
};
export const weekdays = { short: names("short"), long: names("long") };

const hourly = new Intl.DateTimeFormat(locale, { hour, ...(isHalf ? {} : { minute: "2-digit" }), timeZone: "UTC" });
/** @param {number} index 0 to 24: the hour of a day */
export const hourName = (index) => hourly.format(Date.UTC(2024, 0, 1, index));

/** Now, in the reader's zone: 0 = Monday, and the hour from midnight. */
export function placeInWeek(now = Date.now()) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", hour: "2-digit", hourCycle: "h23" });
  const found = Object.fromEntries(parts.formatToParts(now).map(({ type, value }) => [type, value]));
  return { weekday: "Mon Tue Wed Thu Fri Sat Sun".split(" ").indexOf(found.weekday), hour: Number(found.hour) };
}
