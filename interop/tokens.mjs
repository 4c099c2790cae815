// Reads a JSON list of texts, prints the list of their lengths in tokens of o200k_base; nothing is fetched.
import { readFileSync } from "node:fs";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map((text) => countTokens(text))));
