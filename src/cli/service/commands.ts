/** The commands that speak to the service, for main.ts's table. */
export const serviceCommands = {
  serve: { summary: "keep containers beyond a command's life", load: () => import("./serve.ts") },
  create: { summary: "make a container for start", load: () => import("./create.ts") },
  start: { summary: "start a container", load: () => import("./start.ts") },
  exec: { summary: "run a further command in a container", load: () => import("./exec.ts") },
  ps: { summary: "show a container's processes", load: () => import("./ps.ts") },
  stats: { summary: "show what containers use", load: () => import("./stats.ts") },
  logs: { summary: "show what a container has written", load: () => import("./logs.ts") },
  signal: { summary: "send a signal", load: () => import("./signal.ts") },
  pause: { summary: "stop a container where it is", load: () => import("./pause.ts") },
  resume: { summary: "let a paused container go on", load: () => import("./resume.ts") },
  stop: { summary: "end a container", load: () => import("./stop.ts") },
  wait: { summary: "wait for a container's end", load: () => import("./wait.ts") },
  rm: { summary: "remove a stopped container", load: () => import("./rm.ts") },
  list: { summary: "show all systems", load: () => import("./list.ts") },
  completion: {
    summary: "print a script of completions for bash",
    load: async () => {
      const { completionMain } = await import("./completion.ts");
      return { main: completionMain(["run", "boot", "image", ...Object.keys(serviceCommands)]) };
    },
  },
};
