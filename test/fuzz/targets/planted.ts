/** Faults on purpose: what the runner has to find, keep and run again. */
import fc from "fast-check";
import { hold, property } from "../target.ts";

export const planted = property<{ readonly text: string }>({
  inputs: fc.record({ text: fc.string({ maxLength: 40 }) }),
  check({ text }) {
    hold(!text.includes("x"), "there is an x");
  },
});

export const plantedDeath = property<{ readonly number: number }>({
  inputs: fc.record({ number: fc.nat(10) }),
  check({ number }) {
    if (number === 7) process.kill(process.pid, "SIGKILL");
  },
});

export const plantedRejection = property<{ readonly number: number }>({
  inputs: fc.record({ number: fc.nat(10) }),
  check({ number }) {
    if (number === 7) void Promise.reject(new Error("seven"));
  },
});
