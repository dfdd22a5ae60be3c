/** What npm installs is what was locked: every package of every lock file has a hash that npm checks. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "tap";

const root = path.resolve(import.meta.dirname, "../..");
const locks = globSync("**/package-lock.json", {
  cwd: root,
  exclude: (name) => /node_modules|^out$|^\.tap$/.test(name),
});

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly integrity?: string; readonly link?: boolean; readonly bundled?: boolean }>
  >;
}

test("every entry of a lock file has its integrity", (t) => {
  t.ok(locks.includes("package-lock.json"));
  for (const file of locks) {
    const { packages } = JSON.parse(readFileSync(path.join(root, file), "utf8")) as Lock;
    const installed = Object.entries(packages).filter(([where]) => where !== "");
    t.ok(installed.length > 10, `${file} has packages`);
    const bad = installed.filter(([, { integrity = "" }]) => !/^sha512-[\w+/]{86}==$/.test(integrity));
    t.same(
      bad.map(([where]) => where),
      [],
      file,
    );
  }
  t.end();
});
