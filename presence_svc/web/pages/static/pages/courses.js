/** The catalogue of the demo. What is live on its pages comes from the API; titles have to come from somewhere. */

/** @typedef {{title: string, minutes: number}} Chapter */
/** @typedef {{id: string, title: string, teacher: string, hue: number, chapters: Chapter[]}} Course */

/** @param {string} titles @returns {Chapter[]} */
const chapters = (titles) => titles.split(" | ").map((title, i) => ({ title, minutes: 6 + ((i * 7 + title.length) % 11) }));

/** @type {Course[]} */
export const courses = [
  {
    ...{ id: "python-101", title: "Python from the ground up", teacher: "Grace Okafor", hue: 214 },
    chapters: chapters(
      "Your first program | Names and values | Lists, tuples, sets | Dictionaries in depth | Functions that read well | " +
        "Files and errors | Testing as you go | A small web service",
    ),
  },
  {
    ...{ id: "react-deep-dive", title: "React, a deep dive", teacher: "Mateo Ruiz", hue: 265 },
    chapters: chapters(
      "How rendering works | State that stays simple | Effects, rarely | Context and composition | Suspense and data | " +
        "Concurrent by default | Measuring what matters | Shipping it",
    ),
  },
  {
    ...{ id: "redis-in-action", title: "Redis in action", teacher: "Ingrid Solberg", hue: 8 },
    chapters: chapters(
      "One thread, many clients | Strings and counters | Sorted sets | Expiry and eviction | Scripts in Lua | " +
        "Publish and subscribe | Replicas and failover | Clusters",
    ),
  },
  {
    ...{ id: "design-systems", title: "Design systems that last", teacher: "Noor Haddad", hue: 160 },
    chapters: chapters(
      "Why systems drift | Tokens first | Type and rhythm | Colour that adapts | Components, slowly | " +
        "Accessible by default | Documentation people read | Governance without gates",
    ),
  },
];

/** @param {string} id @returns {Course} of an unknown id a course with that title */
export const courseOf = (id) =>
  courses.find((course) => course.id === id) ?? { id, title: id, teacher: "", hue: 190, chapters: [] };

/** "ch-3" is the third chapter. @param {Course} course @param {string} chapterId */
export function chapterTitle(course, chapterId) {
  const number = Number(/^ch-(\d+)$/.exec(chapterId)?.[1]);
  return course.chapters[number - 1]?.title ?? chapterId;
}
