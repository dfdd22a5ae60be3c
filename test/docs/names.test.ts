import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "tap";
import { codeSpans, documentOf, documents, root, table } from "./markdown.ts";

/** As GitHub makes a heading's anchor. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test("links lead somewhere", async (t) => {
  for (const { file, prose } of documents) {
    for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const wanted = path === "" ? file : normalize(join(dirname(file), path));
      if (!t.ok(existsSync(`${root}${wanted}`), `${file}: ${target}`)) continue;
      if (anchor === undefined) continue;
      t.ok(anchorsOf(readFileSync(`${root}${wanted}`, "utf8")).includes(anchor), `${file}: ${target}`);
    }
  }
});

/** Made by a command that the text names with it. */
const MADE = /^(out|docs\/api)(\/|$)/;

test("files of the project that documents name are there", async (t) => {
  const rooms = "src|test|docs|native|rootfs|scripts|bin|bench|examples|out";
  for (const document of documents) {
    for (const span of codeSpans(document)) {
      const path = new RegExp(`^(?:npm run \\S+ |bin/node-pinned )?((?:${rooms})/[\\w./*-]+)$`).exec(
        span,
      )?.[1];
      if (path === undefined || MADE.test(path)) continue;
      t.ok(globSync(path, { cwd: root }).length > 0, `${document.file}: ${path}`);
    }
  }
});

test("npm run's scripts that documents name are there", async (t) => {
  const { scripts } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  for (const { file, text } of documents) {
    for (const [, name = ""] of text.matchAll(/\bnpm run ([a-z-]+)/g))
      t.ok(scripts[name], `${file}: npm run ${name}`);
  }
});

test("what the image's page names is in the image", async (t) => {
  // The disk has the same root as the initrd.
  const isThere = (path: string) => {
    const stat = spawnSync("/sbin/debugfs", ["-R", `stat ${path}`, `${root}out/rootfs.ext4`], {
      encoding: "utf8",
    });
    return /Inode: \d+/.test(stat.stdout);
  };
  for (const name of ["docs/image.md", "docs/uvm.md"]) {
    const document = documentOf(name);
    const paths = codeSpans(document).flatMap(
      (span) => span.match(/^\/(usr|etc|sbin|bin)\/[\w./-]+\w$/)?.[0] ?? [],
    );
    t.ok(name === "docs/uvm.md" || paths.length > 3);
    for (const path of paths) {
      // /bin and /sbin are links into /usr.
      const inUsr = path.replace(/^\/(s?bin)\//, "/usr/$1/");
      t.ok(isThere(inUsr), `${name}: ${path}`);
    }
  }
  const outputs = table(documentOf("docs/image.md"), "file", "what it is").map(([file = ""]) => file);
  for (const file of outputs) t.ok(existsSync(`${root}out/${file}`), `npm run image makes ${file}`);
});

test("each test that the host side's page names is there, and each member it lists", async (t) => {
  const document = documentOf("docs/hcs.md");
  const sources = globSync("src/hcs/{compute,v1}/**/*.ts", { cwd: root })
    .map((file) => readFileSync(`${root}${file}`, "utf8"))
    .join("\n");
  for (const [members = "", , tests = ""] of table(document, "member", "on the wire", "test")) {
    for (const name of tests.split(",").map((part) => part.trim())) {
      t.ok(existsSync(`${root}test/hcs/${name}.test.ts`), `${members}: ${name}`);
    }
    for (const member of members.split(",").map((part) => part.trim().split(".").at(-1) ?? "")) {
      if (!/^\w+$/.test(member)) continue;
      t.match(sources, new RegExp(`\\b${member}\\b`), member);
    }
  }
});
