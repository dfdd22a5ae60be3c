import { build, type Plugin } from "esbuild";

export interface Bundle {
  readonly code: Buffer;
  readonly map: Buffer;
}

/**
 * The bundle is the body of a function, as start.cjs calls it; no ES module, since loading Node's own modules through
 * the ES loader takes 5 ms more. What an ES module says of itself is put together here.
 */
const banner =
  '((require, __filename, __dirname) => { "use strict"; const module = { exports: {} }, exports = module.exports, ' +
  'importMetaUrl = require("node:url").pathToFileURL(__filename).href;';
const footer = "})";

/**
 * What pino has for writing lines itself, in threads or without: the agent gives it a stream of its own
 * (src/gcs/services/log-stream.ts), and loading these parts would take a tenth of what the agent adds to Node's start.
 */
const unused: readonly { readonly file: RegExp; readonly contents: string }[] = [
  {
    file: /\/pino\/lib\/transport\.js$/,
    contents: 'module.exports = () => { throw new Error("pino\'s transports are not in this bundle"); };',
  },
  { file: /\/sonic-boom\/index\.js$/, contents: "module.exports = class SonicBoom {};" },
];

/**
 * How npm packages find their native part when all of them are one file: beside it. Each file that searches
 * directories of node_modules is replaced. (Our own addon looks beside the bundle by itself.)
 */
const nativeLoaders: readonly { readonly file: RegExp; readonly contents: string }[] = [
  {
    file: /\/koffi\/src\/koffi\/src\/static\.js$/,
    contents: 'export function loadStatic() { return require("./koffi.node"); }',
  },
];

/**
 * Bundles the agent and its npm packages into one script for start.cjs. Native addons stay files: koffi.node and hvsock.node
 * belong into the directory of the bundle.
 *
 * @throws what esbuild throws, with the messages of its errors.
 */
export async function bundle(entry: string, root: string): Promise<Bundle> {
  const result = await build({
    entryPoints: [entry],
    absWorkingDir: root,
    outfile: "gcs.cjs",
    bundle: true,
    write: false,
    platform: "node",
    format: "cjs",
    target: "node26",
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: "external",
    sourcesContent: false,
    legalComments: "none",
    logLevel: "silent",
    banner: { js: banner },
    footer: { js: footer },
    define: {
      "import.meta.url": "importMetaUrl",
      "import.meta.dirname": "__dirname",
      "import.meta.filename": "__filename",
    },
    external: ["*.node"],
    plugins: [replacements],
  });
  const find = (ending: string) =>
    Buffer.from(result.outputFiles.find((file) => file.path.endsWith(ending))?.contents ?? []);
  return { code: find("gcs.cjs"), map: find("gcs.cjs.map") };
}

const replacements: Plugin = {
  name: "replacements",
  setup(builder) {
    // pino asks it for a single flag, which start.cjs, on the main thread, knows.
    builder.onResolve({ filter: /^worker_threads$/ }, ({ importer }) =>
      importer.includes("/node_modules/pino/")
        ? { path: "main-thread", namespace: "replacement" }
        : undefined,
    );
    builder.onLoad({ filter: /^main-thread$/, namespace: "replacement" }, () => ({
      contents: "exports.isMainThread = true;",
      loader: "js",
    }));
    for (const { file, contents } of [...nativeLoaders, ...unused])
      builder.onLoad({ filter: file }, () => ({ contents, loader: "js" }));
  },
};
