/**
 * Which room may import which: read by check-imports.ts, and compared with the table in docs/architecture.md by
 * test/docs/tables.test.ts. A room is a directory or a file; the longest name that begins a file's is its room.
 */

/** What everyone may import, on both sides; it imports nothing but itself. */
export const LEAVES = "src/common/";

/** All of src and native, for what wires them. */
const ANYTHING = ["src/", "native/"];
/** The addon, and what else is outside the agent and the host but below both. */
const BELOW = ["src/linux/", "native/hvsock/"];

/** From upper rooms to lower ones. `(types)` behind a name: nothing that is loaded. */
export const RULES: Readonly<Record<string, readonly string[]>> = {
  "src/gcs/main.ts": ANYTHING,
  "src/cli/": ANYTHING,
  "src/gcs/bridge/": ["src/gcs/uvm/", "src/protocol/"],
  "src/gcs/uvm/": [
    "src/runtime/",
    "src/storage/",
    "src/network/",
    "src/stdio/",
    "src/linux/",
    "src/protocol/ (types)",
  ],
  "src/gcs/services/": ["src/gcs/flags.ts (types)", ...BELOW],
  // flags and other small parts of main
  "src/gcs/": ["src/gcs/bridge/ (types)", "src/stdio/", "native/hvsock/"],
  "src/runtime/": ["src/stdio/", ...BELOW],
  "src/storage/": BELOW,
  "src/network/": BELOW,
  "src/stdio/": BELOW,
  "src/linux/": ["native/hvsock/"],
  "src/hcs/index.ts": ["src/hcs/"],
  "src/hcs/v1/": ["src/hcs/compute/", "src/protocol/ (types)"],
  "src/hcs/serve/": [
    "src/hcs/compute/",
    "src/hcs/uvm/",
    "src/hcs/guest/ (types)",
    "src/hcs/transport/",
    "src/protocol/",
  ],
  "src/hcs/compute/": ["src/hcs/uvm/", "src/hcs/guest/ (types)", "src/protocol/"],
  "src/hcs/uvm/": ["src/hcs/guest/", "src/hcs/transport/", "src/protocol/", "native/hvsock/"],
  "src/hcs/guest/": ["src/hcs/transport/", "src/protocol/"],
  "src/hcs/transport/": ["native/hvsock/"],
  "src/protocol/": [],
  [LEAVES]: [],
  "native/hvsock/": [],
};
