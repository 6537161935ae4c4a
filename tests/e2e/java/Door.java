import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

/** What a Java client does at the agent's door: BROKERS STEP TOPIC [property=value …]; the outcome goes to the output. */
public class Door {
    static final Properties GIVEN = new Properties();

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0], step = arguments[1], topic = arguments[2];
        GIVEN.put("bootstrap.servers", brokers);
        for (String setting : Arrays.asList(arguments).subList(3, arguments.length)) {
            int at = setting.indexOf('=');
            GIVEN.put(setting.substring(0, at), setting.substring(at + 1));
        }
        try {
            switch (step) {
                case "produce": produce(topic); break;
                case "transactions": transactions(topic); break;
                case "fence": fence(topic); break;
                case "read": read(topic); break;
                case "group": group(topic); break;
                case "copy": copy(topic); break;
                case "delete": delete(topic); break;
                default: throw new IllegalArgumentException(step);
            }
        } catch (KafkaException refused) {
            System.out.println("refused " + refused.getClass().getSimpleName() + ": " + refused.getMessage());
        }
    }

    static KafkaProducer<String, String> producer(String... more) {
        Properties all = new Properties();
        all.putAll(GIVEN);
        for (int at = 0; at < more.length; at += 2) all.put(more[at], more[at + 1]);
        all.putIfAbsent("max.block.ms", "20000");
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String... more) {
        Properties all = new Properties();
        all.putAll(GIVEN);
        for (int at = 0; at < more.length; at += 2) all.put(more[at], more[at + 1]);
        all.put("isolation.level", "read_committed");
        all.put("auto.offset.reset", "earliest");
        all.putIfAbsent("default.api.timeout.ms", "20000");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static void produce(String topic) throws Exception {
        try (var producer = producer()) {
            for (String value : List.of("one", "two")) producer.send(new ProducerRecord<>(topic, value)).get();
        } catch (java.util.concurrent.ExecutionException failed) {
            System.out.println("refused " + failed.getCause().getClass().getSimpleName());
        }
    }

    /** By name, then once more, then made again and deleted by its id. */
    static void delete(String topic) throws Exception {
        try (var admin = org.apache.kafka.clients.admin.Admin.create(GIVEN)) {
            for (int time = 0; time < 2; time++) {
                try {
                    admin.deleteTopics(List.of(topic)).all().get();
                    System.out.println("deleted");
                } catch (java.util.concurrent.ExecutionException failed) {
                    var cause = failed.getCause();
                    System.out.println("refused " + cause.getClass().getSimpleName() + ": " + cause.getMessage());
                }
            }
            var again = new org.apache.kafka.clients.admin.NewTopic(topic, 2, (short) 1);
            var made = admin.createTopics(List.of(again));
            made.all().get();
            admin.deleteTopics(TopicCollection.ofTopicIds(List.of(made.topicId(topic).get()))).all().get();
            System.out.println("topics " + admin.listTopics().names().get());
        }
    }

    /** Two that are committed, around one that is not. */
    static void transactions(String topic) throws Exception {
        try (var producer = producer("transactional.id", "java", "linger.ms", "5")) {
            producer.initTransactions();
            for (String name : List.of("first", "aborted", "last")) {
                producer.beginTransaction();
                var sent = new ArrayList<java.util.concurrent.Future<RecordMetadata>>();
                for (int number = 0; number < 3; number++)
                    sent.add(producer.send(new ProducerRecord<>(topic, name + " " + number)));
                producer.flush();
                for (var one : sent) System.out.println("sent " + name + " " + one.get().offset());
                if (name.equals("aborted")) producer.abortTransaction(); else producer.commitTransaction();
            }
        }
    }

    /** The later of two with one id ends the earlier. */
    static void fence(String topic) {
        var earlier = producer("transactional.id", "java");
        earlier.initTransactions();
        earlier.beginTransaction();
        earlier.send(new ProducerRecord<>(topic, "of the earlier"));
        earlier.flush();
        try (var later = producer("transactional.id", "java")) {
            later.initTransactions();
            try {
                earlier.commitTransaction();
            } catch (KafkaException fenced) {
                System.out.println("fenced " + fenced.getClass().getSimpleName());
            }
            earlier.close(Duration.ZERO);
            later.beginTransaction();
            later.send(new ProducerRecord<>(topic, "of the later"));
            later.commitTransaction();
        }
    }

    static void print(ConsumerRecords<String, String> records) {
        for (var record : records) System.out.println(record.offset() + " " + record.value());
    }

    static void read(String topic) {
        try (var consumer = consumer()) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            while (consumer.position(partition) < end) print(consumer.poll(Duration.ofMillis(500)));
        }
    }

    /** Reads to the end as a member of a group, and commits. */
    static void group(String topic) {
        try (var consumer = consumer("group.id", "java", "enable.auto.commit", "false")) {
            consumer.subscribe(List.of(topic));
            drain(consumer, topic);
            consumer.commitSync();
        }
    }

    static void drain(KafkaConsumer<String, String> consumer, String topic) {
        var partition = new TopicPartition(topic, 0);
        while (consumer.assignment().isEmpty()) print(consumer.poll(Duration.ofMillis(200)));
        long end = consumer.endOffsets(List.of(partition)).get(partition);
        while (consumer.position(partition) < end) print(consumer.poll(Duration.ofMillis(200)));
    }

    /** Consume, process, produce: the group's offsets go with the transaction. */
    static void copy(String topic) {
        var partition = new TopicPartition(topic, 0);
        try (var consumer = consumer("group.id", "copy", "enable.auto.commit", "false");
                var producer = producer("transactional.id", "copy")) {
            producer.initTransactions();
            consumer.subscribe(List.of(topic));
            for (boolean commit : List.of(false, true)) {
                var records = ConsumerRecords.<String, String>empty();
                while (records.isEmpty()) records = consumer.poll(Duration.ofMillis(200));
                producer.beginTransaction();
                for (var record : records) producer.send(new ProducerRecord<>(topic + ".copy", record.value()));
                var offset = new OffsetAndMetadata(consumer.position(partition));
                producer.sendOffsetsToTransaction(Map.of(partition, offset), consumer.groupMetadata());
                if (commit) producer.commitTransaction(); else producer.abortTransaction();
                var committed = consumer.committed(Set.of(partition)).get(partition);
                System.out.println("committed " + (committed == null ? "nothing" : committed.offset()));
                if (!commit) consumer.seekToBeginning(List.of(partition));
            }
        }
    }
}
