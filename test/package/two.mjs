// Two copies of the package in one program. Argument: the second copy's runtime.
import { Supervisor } from "lcow-gcs/runtime";

const other = await import(process.argv[2]);
const first = new Supervisor();
try {
  new other.Supervisor();
} catch ({ code, message }) {
  console.log(code, message);
}
first.close();
const second = new other.Supervisor();
const child = await second.spawn({ path: "/bin/sh", args: ["sh", "-c", "exit 7"] });
console.log(await child.exited);
second.close();
