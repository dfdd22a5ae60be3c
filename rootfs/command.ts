import { runHelperForBytes } from "../src/common/helper.ts";

/** A file that a compressor writes to its standard output. */
const LARGEST_OUTPUT = 2 ** 30;
const TIMEOUT_MS = 300_000;

/**
 * Runs a tool of the machine and returns its standard output.
 *
 * @param remedy what to do when it fails, e.g. "install the Debian package zstd".
 * @throws AgentError SPAWN_FAILED, HELPER_FAILED, HELPER_TIMEOUT
 */
export async function run(
  [program, ...args]: readonly [string, ...string[]],
  options: {
    remedy: string;
    input?: Buffer | string;
    cwd?: string;
    env?: Record<string, string | undefined>;
    timeoutMs?: number;
  },
): Promise<Buffer> {
  const { stdout } = await runHelperForBytes(program, args, {
    remedy: options.remedy,
    maximumOutput: LARGEST_OUTPUT,
    deadlineMs: options.timeoutMs ?? TIMEOUT_MS,
    addedEnv: { LC_ALL: "C", ...options.env },
    ...(options.input !== undefined && { input: options.input }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  return stdout;
}
