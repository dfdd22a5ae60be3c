/**
 * Who in a virtual machine can be taken for its host, or cut it off: nobody but root outside the containers, whose end
 * ends the machine. All in one machine that the host side boots as it does for anybody.
 */
import { copyFileSync, globSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import tap from "tap";
import { buildImage } from "../../src/cli/image.ts";
import { makeDefaultSpec } from "../../src/hcs/uvm/default-spec.ts";
import { builtImage } from "../../src/hcs/uvm/qemu/built-image.ts";
import { QemuUvm } from "../../src/hcs/uvm/qemu/qemu-uvm.ts";
import { compileProgram } from "../helpers/c-program.ts";
import { copyRootfs } from "../helpers/rootfs.ts";

const ROOT = join(import.meta.dirname, "../..");
/** The kernel's own limit in a machine of 512 MiB is below it, and the memory of so many above what is not needed. */
const WATCHES = 150_000;

tap.setTimeout(300_000);

function rootWithPrograms(directory: string): string {
  const root = copyRootfs(join(directory, "root"));
  for (const name of ["take-watches", "vsock-host"])
    copyFileSync(compileProgram(name), join(root, "bin", name));
  // Not in the image; guest root could bring it.
  for (const name of ["vmw_vsock_virtio_transport_common", "vsock_loopback"]) {
    const pattern = `out/cache/unpacked/linux-image-*/lib/modules/*/kernel/net/vmw_vsock/${name}.ko`;
    const [module] = globSync(pattern, { cwd: ROOT });
    if (module === undefined) throw new Error(`${pattern} is missing; build the image`);
    copyFileSync(join(ROOT, module), join(root, "bin", `${name}.ko`));
  }
  return root;
}

tap.test("nobody in the machine is taken for its host", async (t) => {
  t.equal(await buildImage(), 0);
  const uvm = await QemuUvm.start({
    ...builtImage(),
    logLevel: "warning",
    // The hardened machine takes no module any more: what is tried here must not rest on that.
    kernelArguments: ["lcow.harden=off"],
  });
  t.teardown(() => uvm.close());
  const root = await uvm.prepareRoot(rootWithPrograms(t.testdir()));
  const inMachine = async (script: string) => {
    const process = await uvm.guest.createProcess({
      commandArgs: ["/bin/sh", "-c", `exec 2>&1; ${script}`],
      stdout: true,
    });
    return process.stdout === undefined ? "" : await text(process.stdout);
  };
  const spec = makeDefaultSpec({
    args: ["/bin/sh", "-c", `ls /run; take-watches ${WATCHES}`],
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    cgroupNamespace: uvm.hasUnifiedCgroups,
  });
  const container = await uvm.guest.createContainer("c1", { bundlePath: uvm.bundlePath("c1"), spec });
  const init = await container.createProcess({ stdin: true, stdout: true });
  let said = "";
  init.stdout?.setEncoding("utf8").on("data", (part: string) => {
    said += part;
  });
  while (!said.includes("\n")) await new Promise((resolve) => init.stdout?.once("data", resolve));

  const [, got] = /^(\d+) watches: Success\n$/.exec(said) ?? [];
  t.ok(Number(got) >= WATCHES, `its /run is its own, and watches are not short: ${said}`);
  const exec = await container.createProcess({
    process: { args: ["/bin/echo", "still served"], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } },
    stdout: true,
  });
  t.equal(exec.stdout && (await text(exec.stdout)), "still served\n", "with all those watches taken");
  init.stdin?.end();
  t.equal(await init.wait(), 0);

  t.match(
    await inMachine("stat -c '%n %a %U' /run/vsock /run/vsock/host_1073741824; ls /run/vsock"),
    /^\/run\/vsock 700 root\n/,
    "the way to the host is for root alone",
  );
  t.equal(
    // By name: a list of all races with the sockets of this very process, which serve once as well.
    await inMachine("for port in 1 109 1073741824; do ls /run/vsock/*_$port 2>/dev/null; done; echo listed"),
    "listed\n",
    "ports that serve once take no further dial",
  );

  const bin = `${root.path}/bin`;
  const modules = `insmod ${bin}/vmw_vsock_virtio_transport_common.ko; insmod ${bin}/vsock_loopback.ko`;
  const posing = `${bin}/vsock-host 0x40000000 > /tmp/bridge & ${bin}/vsock-host 109 > /tmp/log &`;
  const listening = "until grep -q listening /tmp/bridge && grep -q listening /tmp/log; do sleep 0.1; done";
  t.equal(await inMachine(`${modules}; (${posing}) </dev/null; ${listening}; echo up`), "up\n");
  t.match(
    await inMachine("/bin/vsockexec -e 109 /bin/sh -c 'echo secret >&2'; echo $?"),
    /^vsockexec: connect to host port 109: No route to host\n1\n$/,
    "vsockexec does not speak to it",
  );
  t.match(
    await inMachine(
      "/bin/gcs -transport vsock -exit-with-host -private-directory /run/other -loglevel info; echo $?",
    ),
    /who answers at the host's address is not the host.*\n1\n$/s,
    "nor does an agent",
  );
  t.equal(await inMachine("cat /tmp/bridge /tmp/log"), "listening\nlistening\n", "it heard nothing");

  const before = performance.now();
  const killing = t.rejects(inMachine("kill -9 $(pidof vsock-forwarder)"), { code: "TRANSPORT_CLOSED" });
  const reason = await uvm.died;
  t.match(
    reason.message,
    /init: the vsock forwarder ended with status 137/,
    "a lost forwarder ends the machine",
  );
  await killing;
  t.comment(`told after ${Math.round(performance.now() - before)} ms`);
});
