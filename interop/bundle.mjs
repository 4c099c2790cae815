// Print how a host starts the unpacked bundle: command, args and env, filled in by mcpb.
// `node bundle.mjs FOLDER SETTINGS`
import { readFileSync } from "node:fs";
import path from "node:path";
import { getMcpConfigForManifest } from "@anthropic-ai/mcpb";

const [extensionPath, settings] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(path.join(extensionPath, "manifest.json"), "utf8"));
const config = await getMcpConfigForManifest({
  manifest,
  extensionPath,
  systemDirs: {},
  userConfig: JSON.parse(settings),
  pathSeparator: path.sep,
});
console.log(JSON.stringify(config));
