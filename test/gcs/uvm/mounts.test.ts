import t from "tap";
import { UvmMounts } from "../../../src/gcs/uvm/mounts.ts";

const mounted = (target: string) => async () => ({ target, place: target, unmount: async () => {} });

await t.test("mounts go where the documentation says, strictly below", async (t) => {
  const mounts = new UvmMounts("/tmp/private");
  for (const target of [
    "/run/gcs/c/x/rootfs",
    "/run/gcs/pods/p/c",
    "/run/mounts/scsi/m0",
    "/mounts/m1",
    "/run/hot",
    "/tmp/private/r",
  ])
    await mounts.add(target, mounted(target));
  for (const target of [
    ...[
      "/",
      "",
      "/proc",
      "/proc/1",
      "/usr",
      "/usr/x",
      "/etc/x",
      "/dev/shm",
      "/sys/x",
      "/bin",
      "/lib/modules",
    ],
    ...[
      "/run",
      "/run/gcs",
      "/run/gcs/",
      "/run/gcs/c",
      "/run/gcs/c/",
      "/run/gcs/cx/y",
      "/run/runc",
      "/run/gcs/runtime/x",
    ],
    ...[
      "/run/mounts/../../usr",
      "/run/mounts/../gcs",
      "/run/gcs/c/../../../etc",
      "relative",
      "/tmp",
      "/tmp/privatex/r",
    ],
  ]) {
    await t.rejects(
      mounts.add(target, mounted(target)),
      { code: "INVALID_ARGUMENT", message: /is no place for a mount; use one below/ },
      JSON.stringify(target),
    );
  }
  await t.rejects(mounts.add("/mounts/m1", mounted("/mounts/m1")), { code: "INVALID_STATE" });
  t.same(await mounts.close(), []);
});
