// A wabus subscriber in Go: franz-go and the CloudEvents SDK.
//
// It prints each event of the types named on the command line as a line of JSON, commits it once it is printed,
// and ends after SIGTERM or Ctrl-C with what is in hand committed.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TemplatesSynced has the fields of wabus.TemplatesSynced.v1 that this subscriber uses; see libs/events/schemas.
type TemplatesSynced struct {
	WabaID   string         `json:"waba_id"`
	Approved int            `json:"approved"`
	ByStatus map[string]int `json:"by_status"`
}

func main() {
	servers := flag.String("brokers", "127.0.0.1:19092", "Kafka brokers, comma separated")
	prefix := flag.String("prefix", "wabus.", "topic prefix of the deployment")
	group := flag.String("group", "go-example", "consumer group")
	flag.Parse()
	types := flag.Args()

	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*servers, ",")...),
		kgo.ConsumerGroup(*group),
		kgo.ConsumeTopics(*prefix+"accounts.v1", *prefix+"templates.v1"),
		// Events that belong together are written in one transaction.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()

	for stopped.Err() == nil {
		fetched := client.PollRecords(stopped, 100)
		if stopped.Err() != nil && fetched.NumRecords() == 0 {
			return
		}
		fetched.EachError(func(topic string, partition int32, err error) {
			log.Printf("%s/%d: %v", topic, partition, err)
		})
		for _, record := range fetched.Records() {
			if err := handle(record, types); err != nil {
				log.Fatalf("%s/%d@%d: %v", record.Topic, record.Partition, record.Offset, err)
			}
		}
		if err := client.CommitRecords(context.Background(), fetched.Records()...); err != nil {
			log.Fatal(err)
		}
	}
}

// decode makes a CloudEvent of a Kafka record in binary mode: attributes are `ce_` headers, the value is the data.
// The same event can come twice, with the same id: a subscriber that can't bear that remembers ids.
func decode(record *kgo.Record) (*event.Event, error) {
	decoded := event.New()
	contentType := event.ApplicationJSON
	for _, header := range record.Headers {
		value := string(header.Value)
		switch name, isAttribute := strings.CutPrefix(header.Key, "ce_"); {
		case header.Key == "content-type":
			contentType = value
		case !isAttribute:
		case name == "specversion":
			decoded.SetSpecVersion(value)
		case name == "id":
			decoded.SetID(value)
		case name == "source":
			decoded.SetSource(value)
		case name == "type":
			decoded.SetType(value)
		case name == "subject":
			decoded.SetSubject(value)
		case name == "time":
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return nil, err
			}
			decoded.SetTime(at)
		default:
			decoded.SetExtension(name, value)
		}
	}
	if err := decoded.SetData(contentType, record.Value); err != nil {
		return nil, err
	}
	return &decoded, decoded.Validate()
}

func handle(record *kgo.Record, types []string) error {
	decoded, err := decode(record)
	if err != nil {
		return err
	}
	if len(types) > 0 && !slices.Contains(types, decoded.Type()) {
		return nil
	}
	line := map[string]any{
		"id": decoded.ID(), "type": decoded.Type(), "time": decoded.Time().Format(time.RFC3339Nano),
		"subject": decoded.Subject(), "org": decoded.Extensions()["orgid"],
	}
	if decoded.Type() == "wabus.TemplatesSynced.v1" {
		var synced TemplatesSynced
		if err := decoded.DataAs(&synced); err != nil {
			return err
		}
		line["approved"] = synced.Approved
	}
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}
