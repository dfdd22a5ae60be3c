import { globSync, mkdirSync } from "node:fs";
import { join } from "node:path";

export const project = join(import.meta.dirname, "../..");
const CORPUS = join(import.meta.dirname, "corpus");
const FOUND = join(project, "out/fuzz");

/** Inputs that are kept in the tree: the oldest finding is there as the newest. */
export function keptInputs(target: string): string[] {
  return globSync("*", { cwd: join(CORPUS, target) })
    .sort()
    .map((name) => join(CORPUS, target, name));
}

export const corpusOf = (target: string): string => join(CORPUS, target);

/** Made when it is not there: what a run finds, not in the tree. */
export function foundDirectory(target: string): string {
  const directory = join(FOUND, target);
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** The input that is at work, for whoever finds that the worker has died or hangs. */
export const currentFile = (target: string): string => join(foundDirectory(target), "current.json");
