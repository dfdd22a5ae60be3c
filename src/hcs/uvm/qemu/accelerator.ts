import { randomUUID } from "node:crypto";
import { access, constants, readFile, rename, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { cacheDirectory, cacheHome } from "../../../common/cache/cache-directory.ts";
import { within } from "../../../common/deadline.ts";
import { confine } from "./confinement.ts";
import { PassedFiles } from "./passed-files.ts";
import { spawnQemu } from "./spawn-qemu.ts";

/** A kernel under working KVM prints its first line within tenths of a second. */
const PROBE_TIMEOUT_MS = 5_000;

/**
 * Whether KVM really runs a guest here: within nested virtualisation /dev/kvm may be there and hang. The answer is
 * found by booting the kernel until it prints, and is remembered until this machine boots anew.
 * @param device for tests.
 */
export async function kvmWorks(qemu: string, kernel: string, device = "/dev/kvm"): Promise<boolean> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  const file = answerFile(await cacheDirectory("qemu"));
  const remembered = await readAnswer(file);
  if (remembered !== undefined) return remembered;
  const works = await bootsUnderKvm(qemu, kernel);
  // Renamed into place: another process may read it now.
  const fresh = `${file}.${randomUUID()}`;
  await writeFile(fresh, JSON.stringify({ key: await machineKey(), works }), { flag: "wx", mode: 0o600 });
  await rename(fresh, file);
  return works;
}

/** What kvmWorks() would answer without a try; undefined when it would try. Makes nothing. */
export async function rememberedKvm(cache = cacheHome()): Promise<boolean | undefined> {
  return await readAnswer(answerFile(join(cache, "qemu")));
}

function answerFile(directory: string): string {
  return join(directory, "kvm.json");
}

/** Changes when this machine boots anew. */
async function machineKey(): Promise<string> {
  return `${release()} ${(await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim()}`;
}

async function readAnswer(file: string): Promise<boolean | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  const answer = text === undefined ? undefined : parse(text);
  return answer?.key === (await machineKey()) ? answer.works : undefined;
}

/** For a message, when kvmWorks() says no. */
export async function whyNoKvm(device = "/dev/kvm"): Promise<string> {
  const problem = await access(device, constants.R_OK | constants.W_OK).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
  if (problem === undefined) return "KVM does not run a guest on this machine";
  if (problem === "ENOENT") return `there is no ${device} on this machine`;
  return `this user may not use ${device} (${problem}); is the group kvm missing?`;
}

function parse(text: string): { key: unknown; works: boolean } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("key" in value) || !("works" in value))
      return undefined;
    return { key: value.key, works: value.works === true };
  } catch {
    return undefined; // cut short by a full disk, say: asked again and written anew
  }
}

/** Boots the kernel until it prints, within a deadline; leaves nothing, remembers nothing. */
export async function bootsUnderKvm(qemu: string, kernel: string): Promise<boolean> {
  const { options } = await confine({ kernel }, { program: qemu, accelerator: "kvm", usesVsock: false });
  using files = new PassedFiles();
  const passed = files.pass({ kernel });
  const parameters = [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35,accel=kvm"],
    ...["-m", "256M", "-cpu", "host", "-kernel", passed.kernel],
    ...["-append", "console=ttyS0 earlyprintk=serial panic=-1", "-serial", "stdio"],
  ];
  const child = spawnQemu({ path: qemu, parameters, confinement: options, fds: files.fds });
  const begun = Promise.withResolvers<boolean>();
  const exited = new Promise<void>((done) => child.once("exit", () => done()).once("error", () => done()));
  let printed = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => {
    printed += text;
    if (printed.includes("Linux version")) begun.resolve(true);
  });
  child.stderr.resume();
  const works = await within(Promise.race([begun.promise, exited.then(() => false)]), PROBE_TIMEOUT_MS);
  child.kill("SIGKILL");
  await exited;
  return works === true;
}
