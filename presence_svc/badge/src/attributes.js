/** The badge's attributes, each with a property of the same name in camel case. */

const ATTRIBUTES = "course-id chapter-id viewer-id name avatar-url base-url show-avatars anonymous observe".split(" ");
const FACES = 5;

const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {}); // importable on a server

/** @param {string} attribute */
const property = (attribute) => attribute.replace(/-./g, (part) => part[1].toUpperCase());

export class BadgeAttributes extends Base {
  static observedAttributes = ATTRIBUTES;
  /** @type {import("./words.js").GetToken | null | undefined} */ #getToken;

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
  get showAvatars() { return this.hasAttribute("show-avatars"); }
  set showAvatars(value) { this.toggleAttribute("show-avatars", Boolean(value)); }
  /** @type {boolean} */
  get anonymous() { return this.hasAttribute("anonymous"); }
  set anonymous(value) { this.toggleAttribute("anonymous", Boolean(value)); }
  /** @type {boolean} */
  get observe() { return this.hasAttribute("observe"); }
  set observe(value) { this.toggleAttribute("observe", Boolean(value)); }

  /** Gives a bearer token, where the service asks for one; null signs out. @type {import("./words.js").GetToken | null | undefined} */
  get getToken() { return this.#getToken; }
  set getToken(value) {
    this.#getToken = value;
    this.plan();
  }

  /** @protected Something changed. */
  plan() {}

  /** @protected Properties that were set before this module had come hide the accessors. */
  upgrade() {
    const self = /** @type {any} */ (this);
    for (const name of [...ATTRIBUTES.map(property), "getToken"]) {
      if (!Object.hasOwn(this, name)) continue;
      const value = self[name];
      delete self[name];
      self[name] = value;
    }
  }

  /** @protected @returns {import("./words.js").PresenceOptions} */
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
      viewers: this.showAvatars ? FACES : 0,
      getToken: this.#getToken,
    };
  }

  /** @param {string} name @param {string | null | undefined} value */
  #set(name, value) {
    if (value == null) this.removeAttribute(name);
    else this.setAttribute(name, value);
  }
}
