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
 * How npm packages find their native part when all of them are one file: beside it. Each file that searches
 * directories of node_modules is replaced. (Our own addon looks beside the bundle by itself.)
 */
const nativeLoaders: readonly { readonly file: RegExp; readonly contents: string }[] = [
  {
    file: /\/koffi\/src\/koffi\/src\/static\.js$/,
    contents: 'export function loadStatic() { return require("./koffi.node"); }',
  },
  {
    file: /\/node-pty\/lib\/utils\.js$/,
    contents:
      "exports.assign = (target, ...sources) => Object.assign(target, ...sources);\n" +
      'exports.loadNativeModule = (name) => ({ dir: "./", module: require("./pty.node") });',
  },
];

/**
 * Bundles the agent and its npm packages into one script for start.cjs. Native addons stay files: koffi.node, pty.node and
 * hvsock.node belong into the directory of the bundle.
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
    plugins: [nativeParts],
  });
  const find = (ending: string) =>
    Buffer.from(result.outputFiles.find((file) => file.path.endsWith(ending))?.contents ?? []);
  return { code: find("gcs.cjs"), map: find("gcs.cjs.map") };
}

const nativeParts: Plugin = {
  name: "native-parts",
  setup(builder) {
    for (const { file, contents } of nativeLoaders)
      builder.onLoad({ filter: file }, () => ({ contents, loader: "js" }));
  },
};
