// TypeScript 7's library does not know JSON.rawJSON yet; Node has it.
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/**
 * JSON text in which a bigint stands as a plain number: 64-bit limits in an OCI document must reach the runtime
 * digit for digit, and JSON.stringify alone refuses them.
 */
export function stringifyExact(value: unknown): string {
  return JSON.stringify(value, (_key, field: unknown) =>
    typeof field === "bigint" ? rawJson(field.toString()) : field,
  );
}
