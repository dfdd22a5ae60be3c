import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { AgentError } from "../common/errors.ts";
import { runHelper } from "../common/helper.ts";
import { checkAddress } from "./addresses.ts";
import type { AdapterConfiguration } from "./plan.ts";

export interface Lease extends AdapterConfiguration {
  readonly DNSSuffix: string;
  readonly DNSServerList: string;
}

/** For a lease, servers and all: as hcsshim's guest waits for one. */
const DEADLINE_MS = 30_000;
/** Tries, seconds apart; more than the deadline has room for, so that it is the deadline that ends it. */
const TRIES = ["-t", "20", "-T", "2"];

/**
 * Asks for an address, and changes nothing: what is given is applied as what a host says is.
 * @param within words before the command, which lead into the interface's network namespace
 * @throws AgentError HELPER_TIMEOUT naming the interface when no server answers within 30 s; HELPER_FAILED
 */
export async function requestLease(interfaceName: string, within: readonly string[]): Promise<Lease> {
  const directory = await mkdtemp(`${tmpdir()}/gcs-dhcp-`);
  try {
    const [script, lease] = [`${directory}/script`, `${directory}/lease`];
    await writeFile(
      script,
      `#!/bin/sh\n[ "$1" = bound ] || exit 0\nfor name in ip mask router dns domain; do\n  eval "printf '%s=%s\\\\n' $name \\"\\$$name\\""\ndone > ${lease}\n`,
      { mode: 0o700 },
    );
    const [program = "busybox", ...args] = [
      ...within,
      ...["busybox", "udhcpc", "-f", "-n", "-q", ...TRIES, "-i", interfaceName, "-s", script],
    ];
    await runHelper(program, args, { deadlineMs: DEADLINE_MS }).catch((cause: unknown) => {
      const isLate = cause instanceof AgentError && cause.code === "HELPER_TIMEOUT";
      const code = isLate ? "HELPER_TIMEOUT" : "HELPER_FAILED";
      throw new AgentError(
        code,
        `no DHCP server gave ${interfaceName} an address within ${DEADLINE_MS / 1000} s`,
        {
          cause,
        },
      );
    });
    return parseLease(await readFile(lease, "utf8"));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** @param text `name=value` lines, of which a server wrote the values */
export function parseLease(text: string): Lease {
  const values = new Map(
    text.split("\n").map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at), line.slice(at + 1).trim()] as const;
    }),
  );
  const list = (name: string) => (values.get(name) ?? "").split(/\s+/).filter(Boolean);
  const [address = ""] = list("ip");
  checkAddress(address, "the DHCP server's address");
  const bits = Number(values.get("mask"));
  return {
    IPConfigs: [
      { IPAddress: address, PrefixLength: Number.isInteger(bits) && bits > 0 && bits <= 32 ? bits : 32 },
    ],
    Routes: list("router")
      .slice(0, 1)
      .map((NextHop) => ({ NextHop, DestinationPrefix: "0.0.0.0/0" })),
    DNSSuffix: list("domain").join(","),
    DNSServerList: list("dns").join(","),
  };
}
