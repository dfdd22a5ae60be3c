/** Whom a container runs as, as it is said on the command line; the rules are in test/gcs/users.test.ts. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import t from "tap";
import { TestService } from "../hcs/serve/support.ts";
import { copyRootfs } from "../helpers/rootfs.ts";
import { run } from "./lcow.ts";

await t.test("users and groups of run", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/users-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const root = makeRoot(directory);
  const groups = (...options: string[]) =>
    run(t, "--root", root, ...options, "/bin/sh", "-c", "id -u; id -g; id -G");

  t.match(await groups("-u", "alice"), { stdout: "1500\n1600\n1600 29\n", status: 0 });
  t.match(await groups("-u", "1000"), { stdout: "1000\n0\n0\n", status: 0 });
  t.match(await groups("-u", "alice", "--group-add", "video", "--group-add=77"), {
    stdout: "1500\n1600\n1600 29 45 77\n",
  });
  t.match(await groups("--group-add", "video"), { stdout: "0\n0\n0 45\n" });
  t.match(await groups("-u", "nonesuch"), { status: 125, stderr: /user "nonesuch" is not in the container/ });
  t.match(await groups("--group-add", "nonesuch"), { status: 125, stderr: /group "nonesuch" is not in/ });
});

await t.test("users and groups of create, and of exec in it", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/users-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const root = makeRoot(directory);
  const service = new TestService(t);
  await service.start();
  const options = ["--local", "--root", root, "-u", "alice", "--group-add", "video", "--group-add", "77"];
  await service.ok("create", ...options, "c", "--", "/bin/sleep", "1000");
  await service.ok("start", "c");
  const ids = ["/bin/sh", "-c", "id -u; id -G"];
  t.match(await service.lcow(["exec", "c", "--", ...ids]), { stdout: "1500\n1600 29 45 77\n" });
  t.match(await service.lcow(["exec", "-u", "root", "c", "--", ...ids]), { stdout: "0\n0 45 77\n" });
  t.match(await service.lcow(["exec", "-u", "1000", "c", "--", ...ids]), { stdout: "1000\n0 45 77\n" });
  t.match(await service.lcow(["exec", "-u", "5:29", "c", "--", ...ids]), { stdout: "5\n29 45 77\n" });
});

function makeRoot(directory: string): string {
  const root = copyRootfs(`${directory}/root`);
  chmodSync(root, 0o755);
  writeFileSync(`${root}/etc/passwd`, "root:x:0:0::/:\n1000:x:0:0::/:\nalice:x:1500:1600::/:\n");
  writeFileSync(`${root}/etc/group`, "root:x:0:\nalice:x:1600:\naudio:x:29:alice\nvideo:x:45:\n");
  return root;
}
