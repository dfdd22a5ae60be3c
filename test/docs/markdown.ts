/** What the project's documents say, for tests that hold it against what is so. */
import { globSync, readFileSync } from "node:fs";

export const root = new URL("../../", import.meta.url).pathname;

export interface Fence {
  /** "README.md:24", for messages. */
  readonly where: string;
  readonly file: string;
  /** "sh", "console", "ts", or "". */
  readonly language: string;
  readonly text: string;
}

export interface Document {
  /** From the project's root. */
  readonly file: string;
  readonly text: string;
  readonly fences: readonly Fence[];
  /** Without what stands in fences. */
  readonly prose: string;
}

export const documents: readonly Document[] = globSync(["*.md", "docs/*.md"], { cwd: root })
  .toSorted()
  .map(readDocument);

export function documentOf(file: string): Document {
  const found = documents.find((document) => document.file === file);
  if (found === undefined) throw new Error(`there is no document ${file}`);
  return found;
}

function readDocument(file: string): Document {
  const text = readFileSync(`${root}${file}`, "utf8");
  const fences: Fence[] = [];
  const prose: string[] = [];
  let fence: { start: number; language: string; lines: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const [, marked] = /^```(.*)$/.exec(line) ?? [];
    if (marked === undefined) (fence?.lines ?? prose).push(line);
    else if (fence === undefined) fence = { start: index + 1, language: marked.trim(), lines: [] };
    else {
      const { start, language, lines } = fence;
      fences.push({ where: `${file}:${start}`, file, language, text: `${lines.join("\n")}\n` });
      fence = undefined;
    }
  }
  if (fence !== undefined) throw new Error(`${file}:${fence.start}: a fence that is not closed`);
  return { file, text, fences, prose: prose.join("\n") };
}

/** What stands between backticks outside of fences. */
export function codeSpans({ prose }: Document): string[] {
  return [...prose.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code);
}

/** The rows of the table whose first heading is this one, cells without their backticks. */
export function table(document: Document, ...headings: readonly string[]): string[][] {
  const lines = document.prose.split("\n");
  const cells = (line: string) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("`", ""));
  const start = lines.findIndex(
    (line) => line.startsWith("|") && headings.every((heading, index) => cells(line)[index] === heading),
  );
  if (start < 0) throw new Error(`${document.file}: there is no table of ${headings.join(", ")}`);
  const rows: string[][] = [];
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith("|")) break;
    rows.push(cells(line));
  }
  return rows;
}
