/**
 * Makes what ships from src: the bundle, its types, its manifest. `npm run build` after a change in src.
 *
 * `node build.mjs FOLDER` makes them there; `node build.mjs --compare` (`npm run compare`) makes them in a
 * temporary folder and fails when what lies here is not the same.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url)); // import.meta.dirname is not in Node 18
const compares = process.argv[2] === "--compare";
const target = compares ? mkdtempSync(join(tmpdir(), "badge-built-")) : resolve(process.argv[2] ?? here);
// What callers can see, from below.
const modules = ["shared/types", "element/labels", "shared/error", "session/session", "element/attributes", "element/badge"];
const internal = new Set(["BadgeAttributes"]);

const run = (command, ...args) =>
  execFileSync(join(here, "node_modules/.bin", command), args, { cwd: here, stdio: ["ignore", "ignore", "inherit"] });

/** The sheet of style.js is text to a bundler, so its blanks would travel. */
const sheet = {
  name: "sheet",
  setup({ onLoad }) {
    onLoad({ filter: /style\.js$/ }, async ({ path }) => {
      const [before, css, after] = readFileSync(path, "utf8").split(/(?<== )`\n|`(?=;\n)/);
      const { code } = await transform(css, { loader: "css", minify: true });
      return { contents: before + JSON.stringify(code.trim()) + after };
    });
  },
};

const LANGUAGES = "live-viewer-badge-languages.js";

/** Most pages are in one language: the words of the others are a file of their own. */
const apart = {
  name: "apart",
  setup({ onResolve }) {
    onResolve({ filter: /\/translations\.js$/, namespace: "file" }, ({ kind }) =>
      kind === "dynamic-import" ? { path: `./${LANGUAGES}`, external: true } : undefined,
    );
  },
};

/** One readable bundle would be three times the size on the wire; the sources lie beside it, under /static/src. */
async function bundle(entry, name) {
  const notice = "/*! live-viewer-badge, MIT. Written to be read in /static/src; types in live-viewer-badge.d.ts. */";
  await build({
    entryPoints: [join(here, "src", entry)],
    outfile: join(target, name),
    bundle: true,
    minify: true,
    legalComments: "inline",
    format: "esm",
    target: ["chrome92", "edge92", "firefox90", "safari15"], // the oldest that it is written for
    charset: "utf8",
    plugins: [sheet, apart],
    banner: { js: notice },
    logLevel: "warning",
  });
}

/** One declaration file: the modules below the entry, joined, their imports dropped, internals not exported. */
function types() {
  const out = mkdtempSync(join(tmpdir(), "badge-types-"));
  const options = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", out];
  run("tsc", "-p", "tsconfig.json", ...options);
  const parts = modules.map((name) => declaration(join(out, "src", `${name}.d.ts`)));
  const globals = readFileSync(join(here, "globals.d.ts"), "utf8");
  const text = "/** Types of live-viewer-badge.js; generated. */\n\n" + parts.join("\n") + "\n" + globals;
  writeFileSync(join(target, "live-viewer-badge.d.ts"), text);
  rmSync(out, { recursive: true });
}

function declaration(path) {
  const text = readFileSync(path, "utf8")
    .replace(/^import .*\n/gm, "")
    .replace(/^export type (\w+) = import\("\.[./\w-]+\.js"\)\.\1;\n/gm, "")
    .replace(/^\/\*\*(?:(?!\*\/)[^])*@typedef(?:(?!\*\/)[^])*\*\/\n/gm, "")
    .replace(/^export \{\};\n/gm, "")
    .replace(/import\("\.[./\w-]+\.js"\)\./g, "");
  const hide = (whole, kind, what) => (internal.has(what) ? `declare ${kind} ${what}` : whole);
  return text.replace(/^export declare (class|const) (\w+)/gm, hide);
}

/** Names what differs, and fails, when somebody has changed src and not built. */
function compare() {
  const built = readdirSync(target);
  const stale = built.filter((name) => readFileSync(join(target, name), "utf8") !== readFileSync(join(here, name), "utf8"));
  rmSync(target, { recursive: true });
  for (const name of stale) console.error(`${name} is not what src makes: npm run build`);
  if (stale.length) process.exitCode = 1;
  else console.log(`${built.length} generated files are what src makes`);
}

/** As pages load it from a service: beside the bundle instead of the sources. */
function react() {
  const text = readFileSync(join(here, "src/react.js"), "utf8");
  writeFileSync(join(target, "live-viewer-badge-react.js"), beside(text));
}

const beside = (text) => text.replace('"./index.js"', '"./live-viewer-badge.js"').replaceAll('"../live-viewer-badge.js"', '"./live-viewer-badge.js"');

function reactTypes() {
  const out = mkdtempSync(join(tmpdir(), "badge-types-"));
  run("tsc", "-p", "tsconfig.react.json", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", out);
  const file = readdirSync(out, { recursive: true }).find((name) => name.endsWith("react.d.ts"));
  writeFileSync(join(target, "live-viewer-badge-react.d.ts"), beside(readFileSync(join(out, file), "utf8")));
  rmSync(out, { recursive: true });
}

function manifest() {
  const out = mkdtempSync(join(tmpdir(), "badge-manifest-"));
  run("cem", "analyze", "--globs", relative(here, join(here, "src/**/*.js")), "--outdir", relative(here, out), "--quiet");
  const made = JSON.parse(readFileSync(join(out, "custom-elements.json"), "utf8"));
  const all = made.modules.flatMap((module) => module.declarations);
  const element = all.find((one) => one.tagName === "live-viewer-badge");
  const path = "live-viewer-badge.js";
  const isPublic = (member) => member.privacy !== "private" && member.privacy !== "protected" && !/Callback$|^observed/.test(member.name);
  const { superclass, attributes, ...rest } = element;
  const shown = {
    ...rest,
    superclass: { name: "HTMLElement" },
    attributes: attributes.filter((one) => one.type || one.description),
    events: element.events.filter((event) => event.description), // not the generic one
    members: element.members.filter(isPublic).map(({ inheritedFrom, ...member }) => member),
  };
  const exports = [
    { kind: "js", name: "LiveViewerBadge", declaration: { name: "LiveViewerBadge", module: path } },
    { kind: "custom-element-definition", name: "live-viewer-badge", declaration: { name: "LiveViewerBadge", module: path } },
  ];
  const module = { kind: "javascript-module", path, declarations: [shown], exports };
  const text = JSON.stringify({ schemaVersion: made.schemaVersion, readme: "", modules: [module] }, null, 2);
  writeFileSync(join(target, "custom-elements.json"), text + "\n");
  rmSync(out, { recursive: true });
}

await bundle("index.js", "live-viewer-badge.js");
await bundle("element/translations.js", LANGUAGES);
types();
react();
reactTypes();
manifest();
if (compares) compare();
