import { GuestError } from "../../protocol/hresult.ts";

/** No chain of causes that is real is longer. */
const LONGEST_CHAIN = 16;

/** A failure in a guest as another process tells it: of what was thrown there only the text is left. */
export interface HasGuestTrace {
  readonly guestTrace: string | undefined;
}

/**
 * Where in the guest a failure came from, for who debugs it: in no error's message, since a user has no use for the
 * guest's source lines.
 */
export function guestTraceOf(thrown: unknown): string | undefined {
  let at = thrown;
  for (let depth = 0; at instanceof Error && depth < LONGEST_CHAIN; depth++) {
    if ("guestTrace" in at && typeof at.guestTrace === "string") return at.guestTrace;
    if (at instanceof GuestError) {
      const traces = at.records.map(({ Message = "", StackTrace = "" }) =>
        `${Message}\n${StackTrace}`.trim(),
      );
      return traces.some((trace) => trace !== "") ? traces.join("\n") : undefined;
    }
    at = at.cause;
  }
  return undefined;
}
