/** How the wall around a container is loosened, as it is typed and as documents say it; the wall: test/hcs/uvm/default-spec.test.ts. */
import t from "tap";
import { localService, run as runIn, runningContainer, runningVm } from "../hcs/compute/support.ts";
import { run } from "./lcow.ts";

const PROFILE = {
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }],
};
const WALL =
  "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max";
const shell = (script: string) => ["/bin/sh", "-c", `{ ${script}; } 2>/dev/null | tr '\\t\\n' '  '`];

await t.test("run and create loosen each part by name", async (t) => {
  const directory = t.testdir({ "profile.json": JSON.stringify(PROFILE) });
  t.match(await run(t, ...shell(WALL)), { stdout: "NoNewPrivs: 1 Seccomp: 2 4096 " });
  t.match(await run(t, "--security-opt", "no-new-privileges=false", "--pids-limit=-1", ...shell(WALL)), {
    stdout: "NoNewPrivs: 0 Seccomp: 2 max ",
  });
  const script = "mkdir /tmp/x && echo made || echo denied; head -c 4 /proc/kallsyms | wc -c";
  t.match(await run(t, ...shell(script)), { stdout: "made 0 " });
  t.match(await run(t, `--security-opt=seccomp=${directory}/profile.json`, ...shell(script)), {
    stdout: "denied 0 ",
  });
  t.match(await run(t, "--security-opt", "systempaths=unconfined", ...shell(script)), { stdout: "made 4 " });
});

await t.test("what cannot be understood is a usage error before anything is made", async (t) => {
  const directory = t.testdir({ text: "hello", list: "[1]", docker: '{"defaultAction":"x","archMap":[]}' });
  const bad: [string, RegExp][] = [
    ["--security-opt=", /expected seccomp=/],
    ["--security-opt=apparmor=x", /expected seccomp=/],
    ["--security-opt=seccomp=", /expected seccomp=/],
    ["--security-opt=no-new-privileges=maybe", /expected seccomp=/],
    [`--security-opt=seccomp=${directory}/absent`, /cannot be read/],
    [`--security-opt=seccomp=${directory}`, /cannot be read/],
    ["--security-opt=seccomp=/dev/zero", /larger than 1 MiB/],
    [`--security-opt=seccomp=${directory}/text`, /is no JSON/],
    [`--security-opt=seccomp=${directory}/list`, /is no profile/],
    [`--security-opt=seccomp=${directory}/docker`, /archMap/],
    ["--pids-limit=0", /1 to 4194304/],
    ["--pids-limit=-2", /1 to 4194304/],
    ["--pids-limit=1e3", /1 to 4194304/],
  ];
  for (const [option, message] of bad)
    t.match(await run(t, option, "true"), { status: 2, stderr: message }, option);
});

await t.test("documents loosen it likewise", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const loose = await runningContainer(service, "loose", {
    Security: { Seccomp: "unconfined", SystemPaths: "unconfined", NoNewPrivileges: false, PidsLimit: 77 },
  });
  t.match(await runIn(loose, { CommandArgs: shell(WALL) }), { output: "NoNewPrivs: 0 Seccomp: 2 77 " });
  const profiled = await runningContainer(service, "profiled", { Security: { Seccomp: PROFILE } });
  t.match(await runIn(profiled, { CommandArgs: shell("mkdir /tmp/x || echo denied") }), {
    output: "denied ",
  });
  for (const Security of [{ Seccomp: "off" }, { PidsLimit: -2 }, { SystemPaths: "masked" }, { Seccmp: {} }])
    await t.rejects(
      service.createComputeSystem("bad", {
        HostingSystemId: "vm",
        HostedSystem: { Container: { Security } },
      } as never),
    );
});
