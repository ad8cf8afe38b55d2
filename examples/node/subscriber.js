// A wabus subscriber in Node: kafkajs and the CloudEvents SDK.
//
//   node subscriber.js [--brokers 127.0.0.1:19092] [--prefix wabus.] [--group node-example] [TYPE …]
//
// It prints each event of the types named (all, if none is) as a line of JSON, commits it once it is printed, and
// ends after SIGTERM or Ctrl-C with what is in hand committed.
import { parseArgs } from "node:util";
import { Kafka as CloudEventsKafka } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const text = (fallback) => ({ type: "string", default: fallback });
const { values: options, positionals: types } = parseArgs({
  allowPositionals: true,
  options: {
    brokers: text("127.0.0.1:19092"),
    prefix: text("wabus."),
    group: text("node-example"),
  },
});

/** The CloudEvent of a Kafka record in binary mode: attributes are `ce_` headers, the value is the data. */
function decode({ key, value, timestamp, headers }) {
  const asText = Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, bytes.toString()]));
  return CloudEventsKafka.toEvent({ key: key?.toString(), value: value.toString(), timestamp, headers: asText });
}

/** The same event can come twice, with the same id: a subscriber that can't bear that remembers ids. */
function handle(event) {
  const line = { id: event.id, type: event.type, time: event.time, subject: event.subject, org: event.orgid };
  if (event.type === "wabus.TemplatesSynced.v1") line.approved = event.data.approved;
  console.log(JSON.stringify(line));
}

const kafka = new Kafka({ clientId: "node-example", brokers: options.brokers.split(","), logLevel: logLevel.WARN });
// Reads committed records only, unless `readUncommitted` is set: events that belong together are one transaction.
const consumer = kafka.consumer({ groupId: options.group });
const stop = async () => {
  await consumer.disconnect();
  process.exit(0);
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);

await consumer.connect();
await consumer.subscribe({ topics: ["accounts.v1", "templates.v1"].map((t) => options.prefix + t), fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachMessage: async ({ topic, partition, message }) => {
    const event = decode(message);
    if (types.length === 0 || types.includes(event.type)) handle(event);
    await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }]);
  },
});
