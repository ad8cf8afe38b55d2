// The same way through an engine written in Go: Benthos, the open core of Redpanda Connect, with franz-go to Kafka.
// Its own Kafka output is not in the open core; this one does for each batch what that one does: acks=all, no linger.
package main

import (
	"context"
	"sync"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

type output struct {
	broker, topic string
	client        *kgo.Client
}

func (o *output) Connect(context.Context) (err error) {
	o.client, err = kgo.NewClient(kgo.SeedBrokers(o.broker), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0))
	return err
}

func (o *output) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	var waiting sync.WaitGroup
	var mutex sync.Mutex
	var failure error
	for _, message := range batch {
		value, err := message.AsBytes()
		if err != nil {
			return err
		}
		key, _ := message.MetaGet("key")
		waiting.Add(1)
		record := &kgo.Record{Topic: o.topic, Key: []byte(key), Value: value}
		o.client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				mutex.Lock()
				failure = err
				mutex.Unlock()
			}
			waiting.Done()
		})
	}
	waiting.Wait()
	return failure
}

func (o *output) Close(context.Context) error {
	if o.client != nil {
		o.client.Close()
	}
	return nil
}

func main() {
	spec := service.NewConfigSpec().Fields(
		service.NewStringField("broker"), service.NewStringField("topic"), service.NewIntField("max_in_flight"),
	)
	create := func(config *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		broker, err := config.FieldString("broker")
		if err != nil {
			return nil, service.BatchPolicy{}, 0, err
		}
		topic, err := config.FieldString("topic")
		if err != nil {
			return nil, service.BatchPolicy{}, 0, err
		}
		most, err := config.FieldInt("max_in_flight")
		return &output{broker: broker, topic: topic}, service.BatchPolicy{}, most, err
	}
	if err := service.RegisterBatchOutput("franz", spec, create); err != nil {
		panic(err)
	}
	service.RunCLI(context.Background())
}
