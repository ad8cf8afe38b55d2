// A template as it was sent: with what was filled into it.

import { message } from "../shared/preview.js";
import { valuesOf, withValues } from "./fill.js";

/** The message that became of a template with these components of Meta's. */
export function drawn(template, components, code) {
  return message(withValues(template.components, valuesOf(template, components)), code, { when: null });
}
