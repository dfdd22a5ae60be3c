/**
 * Where this project's own files are: in a checkout, whose sources Node runs as they are, or in the npm package, whose
 * files below dist/ were built of them.
 */
import { fileURLToPath } from "node:url";

/** In the package, not in a checkout (and not in the image's bundle, where the agent is one file). */
export const isPackaged: boolean = import.meta.url.endsWith("/dist/src/common/installation.js");

/** The directory of package.json. */
export const packageRoot: string = fileURLToPath(
  new URL(isPackaged ? "../../../" : "../../", import.meta.url),
);

/**
 * One of this project's programs, for a Node to run.
 * @param name from the root of the sources, without its ending: "src/gcs/main"
 */
export function programFile(name: string): string {
  return `${packageRoot}${isPackaged ? `dist/${name}.js` : `${name}.ts`}`;
}
