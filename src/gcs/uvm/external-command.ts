/** What the host wants run in the utility VM, outside any container. */
export interface ExternalCommand {
  /** The program, looked up in PATH, and its arguments. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly terminal: boolean;
  readonly consoleSize: { readonly height: number; readonly width: number } | undefined;
}
