/**
 * Completes package-lock.json after an `npm install` on a machine whose registry does not carry every
 * platform's optional packages: npm leaves those out, and `npm ci` then refuses the lock file on every
 * machine. Each package's hash is asked of npm, and without all of them nothing is written. It also drops the download
 * addresses, and what a platform's package says of the Node that it wants: npm 9
 * leaves such a package out, without a word, where the Node that runs npm is older, although another Node will load it.
 * Run by hand after changing dependencies; another lock file may be named.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

interface LockEntry {
  version?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  optional?: boolean;
  engines?: Record<string, string> | string[];
  dev?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
}

const path = process.argv[2] ?? new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, LockEntry> };
const systems = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const processors = [
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "x64",
  "wasm32",
];

let added = 0;
let freed = 0;
for (const [where, entry] of Object.entries(lock.packages)) {
  delete entry.resolved;
  if (
    entry.optional === true &&
    (entry.os ?? entry.cpu ?? entry.libc) !== undefined &&
    entry.engines !== undefined
  ) {
    delete entry.engines;
    freed++;
  }
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const at = `node_modules/${name}`;
    if (lock.packages[at] !== undefined || lock.packages[`${where}/${at}`] !== undefined) continue;
    const words = name.split(/[-/]/);
    const os = systems.filter((system) => words.includes(system));
    const cpu = processors.filter((processor) => words.includes(processor));
    const libc = words.includes("musl") ? ["musl"] : words.includes("gnu") ? ["glibc"] : [];
    lock.packages[at] = {
      version: version.replace(/^[\^~]/, ""),
      ...(cpu.length > 0 ? { cpu } : {}),
      ...(entry.dev === true ? { dev: true } : {}),
      ...(libc.length > 0 ? { libc } : {}),
      optional: true,
      ...(os.length > 0 ? { os } : {}),
    };
    added++;
  }
}

/** What npm knows of a package's hash. @returns undefined where its registry does not have the package */
function integrityOf(name: string, version: string): string | undefined {
  const { stdout } = spawnSync("npm", ["view", `${name}@${version}`, "dist.integrity"], { encoding: "utf8" });
  return /^sha512-\S+$/.exec(stdout?.trim() ?? "")?.[0];
}

const unknown: string[] = [];
for (const [where, entry] of Object.entries(lock.packages)) {
  if (where === "" || entry.link === true || entry.integrity !== undefined) continue;
  const name = where.slice(where.lastIndexOf("node_modules/") + "node_modules/".length);
  const integrity = integrityOf(name, entry.version ?? "");
  if (integrity === undefined) unknown.push(`${name}@${entry.version}`);
  // Behind the version, where npm writes it.
  else lock.packages[where] = Object.assign({ version: entry.version, integrity }, entry);
}
if (unknown.length > 0) {
  console.error(
    `complete-lock: npm's registry has no hash of ${unknown.join(", ")}; nothing was written. Try again with one that has them: npm_config_registry=...`,
  );
  process.exit(1);
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
console.log(
  `package-lock.json: ${added} optional packages of other platforms added, ${freed} freed of the Node they ask for`,
);
