// What a template asks for, and a message made of what somebody has typed. Parts are named as POST /messages/check does. Pure.

const VARIABLE = /\{\{\s*(\w+)\s*\}\}/g;
const MEDIA = { IMAGE: "picture", VIDEO: "film", GIF: "film", DOCUMENT: "document" };

export const keyOf = (part, parameter) => `${part}|${parameter ?? ""}`;

/** The fields of a template: `{key, part, parameter, label, kind, example, optional}`. */
export function fieldsOf({ components }) {
  return partsOf(components, "");
}

function partsOf(components, path) {
  const place = path ? `Card ${Number(path.match(/\d+/)[0]) + 1}, ` : "";
  const field = (part, parameter, label, kind, example = "", optional = false) => ({
    key: keyOf(path + part, parameter), part: path + part, parameter, kind, example, optional, label: place ? place + label.charAt(0).toLowerCase() + label.slice(1) : label,
  });
  return list(components).flatMap((component) => {
    const kind = kindOf(component);
    switch (kind) {
      case "HEADER":
        return headerFields(component, field);
      case "BODY":
        return variables(component.text).map((name) => field("body", name, `Text {{${name}}}`, "text", exampleOf(component, "body_text", name)));
      case "LIMITED_TIME_OFFER":
        return component.limited_time_offer?.has_expiration ? [field("limited_time_offer", "expiration_time_ms", "The offer ends", "moment")] : [];
      case "BUTTONS":
        return list(component.buttons).flatMap((button, at) => buttonFields(button, at, field));
      case "CAROUSEL":
        return list(component.cards).flatMap((card, at) => partsOf(card.components, `carousel[${at}].`));
      default:
        return [];
    }
  });
}

function headerFields(component, field) {
  const format = String(component.format ?? "").toUpperCase();
  if (format === "TEXT") return variables(component.text).map((name) => field("header", name, `Header {{${name}}}`, "text", exampleOf(component, "header_text", name)));
  if (format === "LOCATION") {
    return [
      field("header", "latitude", "Latitude of the place", "number", "52.52"),
      field("header", "longitude", "Longitude of the place", "number", "13.405"),
      field("header", "name", "Name of the place", "text", "", true),
      field("header", "address", "Address of the place", "text", "", true),
    ];
  }
  return MEDIA[format] ? [field("header", null, `Address of the ${MEDIA[format]} (https)`, "url")] : [];
}

function buttonFields(button, at, field) {
  const name = text(button.text) || `button ${at + 1}`;
  const whole = text(list2(button.example)[0]);
  const [beginning] = text(button.url).split("{{");
  const example = whole.startsWith(beginning) ? whole.slice(beginning.length) : whole;
  switch (String(button.type ?? "").toUpperCase()) {
    case "URL":
      return variables(button.url).length ? [field(`buttons[${at}]`, null, `End of the address of “${name}”`, "text", example)] : [];
    case "COPY_CODE":
      return [field(`buttons[${at}]`, null, `Code of “${name}”`, "text", example)];
    case "OTP":
      return [field(`buttons[${at}]`, null, `Code of “${name}”`, "text", "123456")];
    default:
      return [];
  }
}

/** The components of a template message: what is empty is left out, so that the check says that it is missing. */
export function componentsOf({ components, parameter_format }, values) {
  return filledIn(components, parameter_format, values, "");
}

function filledIn(components, format, values, path) {
  const valueOf = (part, parameter) => String(values[keyOf(path + part, parameter)] ?? "").trim();
  const texts = (part, names) => names.filter((name) => valueOf(part, name)).map((name) => ({
    type: "text", text: valueOf(part, name), ...(String(format).toUpperCase() === "NAMED" ? { parameter_name: name } : {}),
  }));
  return list(components).flatMap((component) => {
    switch (kindOf(component)) {
      case "HEADER":
        return some("header", header(component, valueOf, texts));
      case "BODY":
        return some("body", texts("body", variables(component.text)));
      case "LIMITED_TIME_OFFER": {
        const end = Date.parse(valueOf("limited_time_offer", "expiration_time_ms"));
        return Number.isNaN(end) ? [] : some("limited_time_offer", [{ type: "limited_time_offer", limited_time_offer: { expiration_time_ms: end } }]);
      }
      case "BUTTONS":
        return list(component.buttons).flatMap((button, at) => filledButton(button, at, valueOf(`buttons[${at}]`, null)));
      case "CAROUSEL":
        return [{ type: "carousel", cards: list(component.cards).map((card, at) => ({ card_index: at, components: filledIn(card.components, format, values, `carousel[${at}].`) })) }];
      default:
        return [];
    }
  });
}

const some = (type, parameters) => (parameters.length ? [{ type, parameters }] : []);

function header(component, valueOf, texts) {
  const format = String(component.format ?? "").toUpperCase();
  if (format === "TEXT") return texts("header", variables(component.text));
  if (format === "LOCATION") {
    const place = Object.fromEntries(["latitude", "longitude", "name", "address"].map((name) => [name, valueOf("header", name)]).filter(([, value]) => value));
    return place.latitude || place.longitude ? [{ type: "location", location: place }] : [];
  }
  const link = valueOf("header", null);
  return MEDIA[format] && link ? [{ type: format.toLowerCase(), [format.toLowerCase()]: { link } }] : [];
}

function filledButton(button, at, value) {
  const component = (sub_type, parameter) => [{ type: "button", sub_type, index: String(at), parameters: [parameter] }];
  switch (String(button.type ?? "").toUpperCase()) {
    case "URL":
      return variables(button.url).length && value ? component("url", { type: "text", text: value }) : [];
    case "OTP":
      return value ? component("url", { type: "text", text: value }) : [];
    case "COPY_CODE":
      return value ? component("copy_code", { type: "coupon_code", coupon_code: value }) : [];
    case "FLOW":
      return component("flow", { type: "action", action: {} });
    default:
      return [];
  }
}

/** What was filled into a message that was sent, by the same keys. */
export function valuesOf({ components }, sent) {
  return readBack(components, sent, "");
}

function readBack(components, sent, path) {
  const found = {};
  const partOf = (type) => list(sent).find((component) => String(component.type).toLowerCase() === type);
  const note = (part, names) => {
    const given = list(partOf(part)?.parameters);
    names.forEach((name, at) => {
      const parameter = given.find(({ parameter_name }) => parameter_name === name) ?? given[at];
      found[keyOf(path + part, name)] = text(parameter?.text) || text(parameter?.currency?.fallback_value) || text(parameter?.date_time?.fallback_value);
    });
  };
  for (const component of list(components)) {
    const kind = kindOf(component);
    if (kind === "HEADER" && component.text) note("header", variables(component.text));
    if (kind === "BODY") note("body", variables(component.text));
    if (kind === "CAROUSEL") {
      const cards = list(partOf("carousel")?.cards);
      list(component.cards).forEach((card, at) => Object.assign(found, readBack(card.components, cards[at]?.components, `carousel[${at}].`)));
    }
  }
  return found;
}

/** A template's components with what was typed in place of Meta's examples, for the preview. */
export function withValues(components, values, path = "") {
  return list(components).map((component) => {
    switch (kindOf(component)) {
      case "HEADER":
        return String(component.format).toUpperCase() === "TEXT" ? { ...component, example: exampleFrom("header", component.text, values, path) } : component;
      case "BODY":
        return { ...component, example: exampleFrom("body", component.text, values, path) };
      case "CAROUSEL":
        return { ...component, cards: list(component.cards).map((card, at) => ({ ...card, components: withValues(card.components, values, `carousel[${at}].`) })) };
      default:
        return component;
    }
  });
}

function exampleFrom(part, source, values, path) {
  const named = variables(source).map((name) => ({ param_name: name, example: String(values[keyOf(path + part, name)] ?? "") }));
  return { [`${part}_text_named_params`]: named };
}

function variables(source) {
  return [...new Set([...text(source).matchAll(VARIABLE)].map(([, name]) => name))];
}

function exampleOf({ example = {} }, kind, name) {
  const named = list(example?.[`${kind}_named_params`]).find(({ param_name }) => param_name === name);
  return text(named?.example) || text(list2(example?.[kind]).flat()[Number(name) - 1]);
}

const kindOf = ({ type }) => String(type ?? "").toUpperCase();
const text = (value) => (typeof value === "string" ? value : typeof value === "number" ? String(value) : "");
const list = (value) => (Array.isArray(value) ? value.filter((each) => each && typeof each === "object") : []);
const list2 = (value) => (Array.isArray(value) ? value : []);
