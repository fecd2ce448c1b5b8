/** The badge's attributes, each with a property of the same name in camel case. */

const OWN = "course-id chapter-id viewer-id name avatar-url base-url show-avatars max anonymous observe chapters".split(" ");
const AVATARS = 5;
const MAX_AVATARS = 20;

const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {}); // importable on a server

/** @param {string} attribute */
const property = (attribute) => attribute.replace(/-./g, (part) => part[1].toUpperCase());

export class BadgeAttributes extends Base {
  static observedAttributes = [...OWN, "lang", "dir", "data-state"];
  /** @type {import("../shared/types.js").GetToken | null | undefined} */ #getToken;

  /** @type {string | null} */
  get courseId() { return this.getAttribute("course-id"); }
  set courseId(value) { this.#set("course-id", value); }
  /** @type {string | null} */
  get chapterId() { return this.getAttribute("chapter-id"); }
  set chapterId(value) { this.#set("chapter-id", value); }
  /** @type {string | null} */
  get viewerId() { return this.getAttribute("viewer-id"); }
  set viewerId(value) { this.#set("viewer-id", value); }
  /** @type {string | null} */
  get name() { return this.getAttribute("name"); }
  set name(value) { this.#set("name", value); }
  /** @type {string | null} */
  get avatarUrl() { return this.getAttribute("avatar-url"); }
  set avatarUrl(value) { this.#set("avatar-url", value); }
  /** @type {string | null} */
  get baseUrl() { return this.getAttribute("base-url"); }
  set baseUrl(value) { this.#set("base-url", value); }
  /** @type {boolean} */
  get showAvatars() { return this.#isOn("show-avatars"); }
  set showAvatars(value) { this.#toggle("show-avatars", value); }
  /** How many avatars are shown beside the number. @type {number} */
  get max() { return Math.min(MAX_AVATARS, Math.max(0, Math.floor(Number(this.getAttribute("max"))) || 0)); }
  set max(value) { this.#set("max", value); }
  /** @type {boolean} */
  get anonymous() { return this.#isOn("anonymous"); }
  set anonymous(value) { this.#toggle("anonymous", value); }
  /** @type {boolean} */
  get observe() { return this.#isOn("observe"); }
  set observe(value) { this.#toggle("observe", value); }
  /** @type {boolean} */
  get chapters() { return this.#isOn("chapters"); }
  set chapters(value) { this.#toggle("chapters", value); }

  /** Gives a bearer token, where the service asks for one; null signs out. @type {import("../shared/types.js").GetToken | null | undefined} */
  get getToken() { return this.#getToken; }
  set getToken(value) {
    this.#getToken = value;
    this.plan();
  }

  /** @protected Called when something changed. */
  plan() {}

  /** @protected Properties that were set before this module was loaded hide the accessors: sets them again. */
  upgrade() {
    const self = /** @type {any} */ (this);
    for (const name of [...OWN.map(property), "getToken"]) {
      if (!Object.prototype.hasOwnProperty.call(this, name)) continue;
      const value = self[name];
      delete self[name];
      self[name] = value;
    }
  }

  /** @protected @returns {import("../shared/types.js").PresenceOptions} */
  options() {
    const text = (/** @type {string | null} */ value) => value?.trim() || undefined;
    return {
      courseId: text(this.courseId) ?? "",
      chapterId: text(this.chapterId),
      viewerId: text(this.viewerId),
      name: text(this.name),
      avatarUrl: text(this.avatarUrl),
      baseUrl: text(this.baseUrl),
      anonymous: this.anonymous,
      observe: this.observe,
      viewers: this.showAvatars || this.max ? Math.max(AVATARS, this.max) : 0,
      chapters: this.chapters,
      getToken: this.#getToken,
    };
  }

  /** @param {string} name @param {string | number | null | undefined} value */
  #set(name, value) {
    if (value == null) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  /** Frameworks and templates write `show-avatars="false"`. @param {string} name */
  #isOn(name) {
    return this.hasAttribute(name) && this.getAttribute(name) !== "false";
  }

  /** @param {string} name @param {unknown} value */
  #toggle(name, value) {
    if (value && value !== "false") this.setAttribute(name, "");
    else this.removeAttribute(name);
  }
}
