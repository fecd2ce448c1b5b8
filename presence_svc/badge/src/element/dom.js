/** Makes elements. No markup is ever parsed: nothing that a viewer is called can become one. */

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, string>} [attributes] @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The eye: its outline, the pupil with its pulse, and the slash of an eye that sees nothing. */
export function eye() {
  const shape = (/** @type {string} */ tag, /** @type {Record<string, string>} */ attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const icon = shape("svg", { part: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" });
  icon.append(
    shape("path", { d: "M2 12c2.4-4.4 5.8-6.6 10-6.6s7.6 2.2 10 6.6c-2.4 4.4-5.8 6.6-10 6.6S4.4 16.4 2 12z" }),
    shape("circle", { class: "ring", cx: "12", cy: "12", r: "3.1" }),
    shape("circle", { class: "pupil", cx: "12", cy: "12", r: "3.1" }),
    shape("path", { class: "slash", d: "M4 4l16 16" }),
  );
  return icon;
}
