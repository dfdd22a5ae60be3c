import { test } from "tap";
import { Supervisor } from "../../../src/linux/supervisor.ts";
import { type Member, RuntimeContext, warmUp } from "./context.ts";
import { exec } from "./exec.ts";
import { failures } from "./failures.ts";
import { kill } from "./kill.ts";
import { lifecycle } from "./lifecycle.ts";
import { wall } from "./wall.ts";

/** Every member of the contract against a real runtime. */
export async function runSuite(command: string): Promise<void> {
  const supervisor = new Supervisor();
  await warmUp(command, supervisor);
  const members: Record<string, Member> = { ...lifecycle, ...exec, ...kill, ...failures, ...wall };
  for (const [name, member] of Object.entries(members)) {
    await test(`${command}: ${name}`, async (t) => {
      const context = new RuntimeContext(command, supervisor);
      try {
        await member(t, context);
      } finally {
        await context.close(t);
      }
    });
  }
  supervisor.close();
}
