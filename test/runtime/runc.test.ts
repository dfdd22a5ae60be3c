import { runSuite } from "./suite/suite.ts";

await runSuite("runc");
