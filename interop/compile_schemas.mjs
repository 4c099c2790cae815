// Compile the output schemas of the tools in a file as a client of the TypeScript SDK does; print the CPU milliseconds.

import { readFileSync } from "node:fs";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/ajv";

const tools = JSON.parse(readFileSync(process.argv[2], "utf8"));
const before = process.cpuUsage();
const validator = new AjvJsonSchemaValidator();
for (const tool of tools) validator.getValidator(tool.outputSchema);
const { user, system } = process.cpuUsage(before);
console.log((user + system) / 1000);
