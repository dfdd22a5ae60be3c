/** What this process waits for, with since when: for who asks what hangs. */
export interface Work {
  /** With whom it is for: "runc create of container c1". */
  readonly what: string;
  /** performance.now() at its start, milliseconds. */
  readonly startedAt: number;
}

const works = new Set<Work>();

/** Notes that something is waited for until the promise settles. @returns the promise's own value, or throws its reason */
export async function underWay<T>(what: string, promise: Promise<T>): Promise<T> {
  const work: Work = { what, startedAt: performance.now() };
  works.add(work);
  try {
    return await promise;
  } finally {
    works.delete(work);
  }
}

/** In the order in which they began. */
export function worksUnderWay(): readonly Work[] {
  return [...works];
}
