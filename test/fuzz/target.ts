import type fc from "fast-check";

/** What one fuzzer feeds, and what has to hold. */
interface TargetBase {
  /** On the command line, in reports, and of its directory below test/fuzz/corpus. */
  readonly name: string;
  /** One line, for docs/reliability.md and --list. */
  readonly what: string;
  /** Made to fail, for the test of the runner; runs only when it is named. */
  readonly isPlanted?: true;
}

/**
 * What a fuzzer in TypeScript does: values of a grammar, made smaller when one fails. An input is of JSON's types only, so
 * that what failed can be kept in a file and read again.
 */
export interface Property<Input = never> {
  readonly inputs: fc.Arbitrary<Input>;
  /** Throws (or rejects) when something does not hold. */
  check(input: Input): void | Promise<void>;
}

/** In TypeScript, by fast-check. */
export interface PropertyTarget extends TargetBase {
  readonly kind: "property";
  /** Loaded by who runs it: it brings what it tries. */
  load(): Promise<Property>;
  /** In `npm test`. */
  readonly runs: number;
  /** Needs namespaces and a root of its own, since it does what a hostile host asks for; see isolated-root.sh. */
  readonly isIsolated?: true;
}

/** In C or C++, by libFuzzer: a program of native/fuzz that takes bytes, grown by what they reach. */
export interface NativeTarget extends TargetBase {
  readonly kind: "native";
  /** What it was built with. */
  readonly sanitizers: "address, undefined" | "thread";
  /** In `npm test`, beside the kept inputs. */
  readonly runs: number;
  /** Whose kept inputs it takes; its own by default. */
  readonly corpus?: string;
  /** Of an input, bytes. */
  readonly maximumLength: number;
}

export type Target = PropertyTarget | NativeTarget;

/** A property for the list of all fuzzers, which knows no input's type. */
export function property<Input>(given: Property<Input>): Property {
  return given as unknown as Property;
}

/** What ended a fuzzer's run. */
export interface Outcome {
  readonly runs: number;
  readonly seconds: number;
  /** Inputs kept in the tree, and with native targets those found since. */
  readonly corpus: number;
  readonly findings: readonly Finding[];
}

export interface Finding {
  /** Where the input is. */
  readonly file: string;
  /** What was thrown, or what a sanitizer said. */
  readonly message: string;
}

/** @throws Error saying what does not hold */
export function hold(condition: boolean, what: string | (() => string)): asserts condition {
  if (!condition) throw new Error(typeof what === "string" ? what : what());
}
