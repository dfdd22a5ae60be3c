import { AgentError } from "../common/errors.ts";

/** The container id that means the utility VM itself. */
export const UVM_CONTAINER_ID = "00000000-0000-0000-0000-000000000000";

const MAXIMUM_LENGTH = 255;
const SYNTAX = /^[A-Za-z0-9][A-Za-z0-9_+.-]*$/;
const QUOTED_LENGTH = 64;

/**
 * Ids become file names, cgroup names and arguments, so only what is harmless as all of them is let in: 1 to 255 of
 * `[A-Za-z0-9_+.-]`, the first a letter or digit (so neither an option nor `.` nor `..`).
 *
 * @throws AgentError INVALID_CONTAINER_ID, quoting the id shortened and escaped; INVALID_ARGUMENT when it is empty.
 */
export function checkContainerId(id: string): void {
  if (id === "") throw new AgentError("INVALID_ARGUMENT", "the container id is empty");
  if (id.length <= MAXIMUM_LENGTH && SYNTAX.test(id)) return;
  throw new AgentError(
    "INVALID_CONTAINER_ID",
    `container id ${quote(id)} is not 1 to ${MAXIMUM_LENGTH} of [A-Za-z0-9_+.-], starting with a letter or digit`,
  );
}

function quote(id: string): string {
  const shortened =
    id.length > QUOTED_LENGTH ? `${id.slice(0, QUOTED_LENGTH)}... (${id.length} characters)` : id;
  // JSON escapes control characters; the rest of what is not plain ASCII could still confuse a terminal or a log.
  return JSON.stringify(shortened).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
