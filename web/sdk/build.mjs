// Builds what the platform serves (src/clarion/api/static) and what npm publishes (dist).
//
//   node build.mjs            write both
//   node build.mjs --check    fail where the committed files are not what the sources build
//   node build.mjs --package FOLDER    write only what npm publishes, elsewhere
//   node build.mjs --tests    bundle the unit tests into .tests for `node --test`
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "..", "..");
const STATIC = join(ROOT, "src", "clarion", "api", "static");
const SITE = join(ROOT, "examples", "web");
const { version } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));

const COMMON = {
  absWorkingDir: HERE,
  bundle: true,
  minify: true,
  write: false,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
};
const banner = (name) => `/* Clarion ${name} ${version}, Apache-2.0 */`;
const script = async (entry, format, name) =>
  Buffer.from(
    (
      await build({ ...COMMON, entryPoints: [entry], format, banner: { js: banner(name) } })
    ).outputFiles[0].contents,
  );
const sha = (bytes, kind, text) => createHash(kind).update(bytes).digest(text);

function files(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Path from the project's root -> SHA-256: who has no Node still sees what was forgotten. */
function sources() {
  const named = [...files(join(HERE, "src")), join(HERE, "build.mjs"), join(HERE, "package.json")];
  return Object.fromEntries(
    named.map((file) => [
      relative(ROOT, file).replaceAll("\\", "/"),
      sha(readFileSync(file), "sha256", "hex"),
    ]),
  );
}

/** Types only: the text of the sources, which is what a site's compiler reads. */
function declarations() {
  return Buffer.from(`${banner("types")}\n${readFileSync(join(HERE, "src", "public.ts"), "utf8")}`);
}

async function served() {
  const made = {
    "sdk.js": await script("src/page/main.ts", "iife", "page script"),
    "sw.js": await script("src/worker/sw.ts", "iife", "service worker"),
    "inbox.js": await script("src/inbox/main.ts", "iife", "inbox"),
    "sdk.d.ts": declarations(),
  };
  const described = {};
  for (const [name, bytes] of Object.entries(made)) {
    described[name] = { bytes: bytes.length, integrity: `sha384-${sha(bytes, "sha384", "base64")}` };
  }
  const all = sha(JSON.stringify(described), "sha256", "hex").slice(0, 8);
  const manifest = { version: `${version}-${all}`, files: described, sources: sources() };
  const out = { "sdk/build.json": Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`) };
  for (const [name, bytes] of Object.entries(made)) out[`sdk/${name}`] = bytes;
  for (const file of files(SITE)) {
    if (!file.endsWith(".md")) out[`try/${relative(SITE, file)}`] = readFileSync(file);
  }
  return out;
}

async function published() {
  return {
    "clarion.mjs": await script("src/page/clarion.ts", "esm", "page script"),
    "inbox.mjs": await script("src/inbox/main.ts", "esm", "inbox"),
    "sw.js": await script("src/worker/sw.ts", "iife", "service worker"),
    "sdk.d.ts": declarations(),
  };
}

function write(folder, out) {
  rmSync(folder, { recursive: true, force: true });
  for (const [name, bytes] of Object.entries(out)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), bytes);
  }
}

async function tests() {
  const folder = join(HERE, ".tests");
  rmSync(folder, { recursive: true, force: true });
  await build({
    ...COMMON,
    minify: false,
    write: true,
    entryPoints: files(join(HERE, "test")),
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    platform: "node",
    format: "esm",
  });
}

function typed() {
  for (const project of ["tsconfig.json", "tsconfig.worker.json"]) {
    const tsc = join(HERE, "node_modules", ".bin", "tsc");
    const done = spawnSync(tsc, ["-p", project], { cwd: HERE, stdio: "inherit" });
    if (done.status !== 0) process.exit(1);
  }
}

const task = process.argv[2] ?? "";
if (task === "--tests") {
  await tests();
} else if (task === "--package") {
  const folder = process.argv[3];
  write(join(folder, "dist"), await published());
  for (const name of ["package.json", "README.md"]) {
    writeFileSync(join(folder, name), readFileSync(join(HERE, name)));
  }
} else if (task === "--check") {
  typed();
  const out = await served();
  const wrong = Object.entries(out)
    .filter(([name, bytes]) => {
      const file = join(STATIC, name);
      return !existsSync(file) || !readFileSync(file).equals(bytes);
    })
    .map(([name]) => name);
  const extra = files(STATIC)
    .map((file) => relative(STATIC, file))
    .filter((name) => !(name in out));
  if (wrong.length || extra.length) {
    console.error(`not what the sources build: ${[...wrong, ...extra].join(", ")}`);
    process.exit(1);
  }
} else {
  typed();
  write(STATIC, await served());
  write(join(HERE, "dist"), await published());
}
