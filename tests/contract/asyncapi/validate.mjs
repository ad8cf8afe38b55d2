// Prints what the official AsyncAPI parser finds wrong in a document, one line each; exits 1 if there is an error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Packages are installed beside the working directory, not beside this file.
const require = createRequire(process.cwd() + "/");
const { Parser, DiagnosticSeverity } = require("@asyncapi/parser");

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, message, path } of diagnostics) {
  if (severity <= DiagnosticSeverity.Warning) console.log(`${DiagnosticSeverity[severity]} ${path.join(".")}: ${message}`);
}
const failed = !document || diagnostics.some((found) => found.severity === DiagnosticSeverity.Error);
if (!failed) console.log(`valid: ${document.channels().length} channels, ${document.allMessages().length} messages`);
process.exit(failed ? 1 : 0);
