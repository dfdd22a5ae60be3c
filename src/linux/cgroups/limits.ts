/**
 * Resources of an OCI spec as writes to control files, for a cgroup that no runtime makes: a pod's.
 * Sources: the OCI runtime specification, config-linux.md; Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
 */
export interface ControlWrite {
  /** By which the hierarchy of v1 is found. */
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** Of what a pod is limited by; devices, classes and block rates are its containers' own. */
export function limitWrites(resources: Fields, version: 1 | 2): ControlWrite[] {
  const [memory, cpu, pids] = [fieldsOf(resources.memory), fieldsOf(resources.cpu), fieldsOf(resources.pids)];
  return version === 1 ? writesV1(memory, cpu, pids) : writesV2(memory, cpu, pids);
}

function writesV1(memory: Fields, cpu: Fields, pids: Fields): ControlWrite[] {
  const limit = numberOf(memory.limit);
  return [
    ...write("memory", "memory.limit_in_bytes", limit),
    ...write("memory", "memory.soft_limit_in_bytes", numberOf(memory.reservation)),
    // Memory and swap together: after the other, which it may not be below.
    ...write("memory", "memory.memsw.limit_in_bytes", numberOf(memory.swap)),
    ...write("cpu", "cpu.shares", positive(cpu.shares)),
    ...write("cpu", "cpu.cfs_period_us", positive(cpu.period)),
    ...write("cpu", "cpu.cfs_quota_us", numberOf(cpu.quota)),
    ...write("cpuset", "cpuset.cpus", textOf(cpu.cpus)),
    ...write("cpuset", "cpuset.mems", textOf(cpu.mems)),
    ...write("pids", "pids.max", maximum(numberOf(pids.limit))),
  ];
}

function writesV2(memory: Fields, cpu: Fields, pids: Fields): ControlWrite[] {
  const [limit, swap] = [numberOf(memory.limit), numberOf(memory.swap)];
  const [quota, period, shares] = [numberOf(cpu.quota), positive(cpu.period), positive(cpu.shares)];
  const onlySwap =
    swap === undefined || swap < 0n ? swap : limit === undefined || limit < 0n ? undefined : swap - limit;
  return [
    ...write("memory", "memory.max", maximum(limit)),
    ...write("memory", "memory.low", numberOf(memory.reservation)),
    ...write("memory", "memory.swap.max", maximum(onlySwap)),
    ...write("cpu", "cpu.weight", shares === undefined ? undefined : weightOf(shares)),
    ...(quota === undefined && period === undefined
      ? []
      : write(
          "cpu",
          "cpu.max",
          `${quota === undefined || quota <= 0n ? "max" : quota}${period === undefined ? "" : ` ${period}`}`,
        )),
    ...write("cpuset", "cpuset.cpus", textOf(cpu.cpus)),
    ...write("cpuset", "cpuset.mems", textOf(cpu.mems)),
    ...write("pids", "pids.max", maximum(numberOf(pids.limit))),
  ];
}

/** Shares 2 to 262144 of v1 as weight 1 to 10000, as runtimes do it. */
function weightOf(shares: bigint): bigint {
  const within = shares < 2n ? 2n : shares > 262_144n ? 262_144n : shares;
  return 1n + ((within - 2n) * 9999n) / 262_142n;
}

function write(controller: string, file: string, value: bigint | string | undefined): ControlWrite[] {
  return value === undefined ? [] : [{ controller, file, value: String(value) }];
}

/** Negative, and for processes 0, is no limit. */
function maximum(value: bigint | undefined): bigint | "max" | undefined {
  return value !== undefined && value <= 0n ? "max" : value;
}

function positive(value: unknown): bigint | undefined {
  const number = numberOf(value);
  return number !== undefined && number > 0n ? number : undefined;
}

function numberOf(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}
