// What Go's Kafka clients do at the agent's door: BROKERS BASE_MS COUNT. Each client writes the same records with
// each codec, once idempotent and once not, reads them back and compares; a line says so for each topic.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

type record struct {
	key, value, header []byte
	time               int64
}

// The record of a number; the test that calls this knows the rule.
func made(base int64, n int) record {
	var r record
	r.time = base + int64(n)
	if n%5 != 0 {
		r.key = []byte(fmt.Sprintf("k%d", n%7))
	}
	if n%11 != 0 || r.key == nil {
		r.value = []byte(fmt.Sprintf("%d %s", n, strings.Repeat("x", n*7%300)))
	}
	if n%3 == 0 {
		r.header = []byte(strconv.Itoa(n))
	}
	return r
}

func main() {
	brokers := os.Args[1]
	base, err := strconv.ParseInt(os.Args[2], 10, 64)
	check(err)
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	for _, codec := range codecs {
		for _, idempotent := range []bool{true, false} {
			franz(brokers, base, count, codec, idempotent)
			for _, version := range []sarama.KafkaVersion{sarama.DefaultVersion, sarama.MaxVersion} {
				saramas(brokers, base, count, codec, idempotent, version)
			}
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func name(client, codec string, idempotent bool) string {
	return fmt.Sprintf("%s.%s.%t", client, codec, idempotent)
}

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 60*time.Second)
}

func franz(brokers string, base int64, count int, codec string, idempotent bool) {
	topic := name("franz", codec, idempotent)
	packing := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(brokers), kgo.ProducerBatchCompression(packing[codec]), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()),
	}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	check(err)
	context, cancel := limited()
	defer cancel()
	var all []*kgo.Record
	for n := 0; n < count; n++ {
		want := made(base, n)
		one := &kgo.Record{Topic: topic, Key: want.key, Value: want.value, Timestamp: time.UnixMilli(want.time)}
		if want.header != nil {
			one.Headers = []kgo.RecordHeader{{Key: "n", Value: want.header}}
		}
		all = append(all, one)
	}
	check(client.ProduceSync(context, all...).FirstErr())
	client.Close()
	reading := [][]kgo.Opt{
		{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}})},
		{kgo.ConsumerGroup("group." + topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())},
	}
	for _, how := range reading {
		reader, err := kgo.NewClient(append(how, kgo.SeedBrokers(brokers))...)
		check(err)
		for n := 0; n < count; {
			fetched := reader.PollFetches(context)
			check(fetched.Err())
			fetched.EachRecord(func(got *kgo.Record) {
				r := record{key: got.Key, value: got.Value, time: got.Timestamp.UnixMilli()}
				for _, header := range got.Headers {
					r.header = header.Value
				}
				same(topic, base, n, r)
				n++
			})
		}
		reader.Close()
	}
	fmt.Println("ok", topic)
}

func saramas(brokers string, base int64, count int, codec string, idempotent bool, version sarama.KafkaVersion) {
	topic := name("sarama-"+version.String(), codec, idempotent)
	config := sarama.NewConfig()
	config.Version = version
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = idempotent
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[codec]
	if idempotent {
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer([]string{brokers}, config)
	check(err)
	var all []*sarama.ProducerMessage
	for n := 0; n < count; n++ {
		want := made(base, n)
		one := &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(want.time)}
		if want.key != nil {
			one.Key = sarama.ByteEncoder(want.key)
		}
		if want.value != nil {
			one.Value = sarama.ByteEncoder(want.value)
		}
		if want.header != nil {
			one.Headers = []sarama.RecordHeader{{Key: []byte("n"), Value: want.header}}
		}
		all = append(all, one)
	}
	check(producer.SendMessages(all))
	check(producer.Close())
	consumer, err := sarama.NewConsumer([]string{brokers}, config)
	check(err)
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	check(err)
	context, cancel := limited()
	defer cancel()
	for n := 0; n < count; n++ {
		select {
		case got := <-partition.Messages():
			r := record{key: got.Key, value: got.Value, time: got.Timestamp.UnixMilli()}
			for _, header := range got.Headers {
				r.header = header.Value
			}
			same(topic, base, n, r)
		case <-context.Done():
			check(fmt.Errorf("%s: record %d does not come", topic, n))
		}
	}
	check(partition.Close())
	check(consumer.Close())
	fmt.Println("ok", topic)
}

func same(topic string, base int64, n int, got record) {
	want := made(base, n)
	differs := !bytes.Equal(want.key, got.key) || !bytes.Equal(want.value, got.value) ||
		(want.key == nil) != (got.key == nil) || (want.value == nil) != (got.value == nil) ||
		!bytes.Equal(want.header, got.header) || want.time != got.time
	if differs {
		check(fmt.Errorf("%s: record %d is %+v, wanted %+v", topic, n, got, want))
	}
}
