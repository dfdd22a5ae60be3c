/**
 * How stdio ports are dialled. A host listens before it asks, so a refusal is worth a short wait only: long enough
 * for a host that is slow to accept, short enough that a port nobody listens on is told soon.
 */
export const STDIO_DIAL = { timeoutMs: 2000 } as const;
